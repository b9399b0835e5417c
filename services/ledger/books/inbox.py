"""The inbox: manifests that wait for an earlier one of their run, or for a day to be closed.

If the process dies here: a manifest lies in the inbox until the transaction that books it or quarantines it.
"""

from typing import Final

import msgspec
from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.ledger import tables
from services.ledger.books.refused_messages import keep_refused
from shared.contracts.manifests import PremiumsCharged
from shared.contracts.quarantine import QuarantineReason
from shared.contracts.topics import MANIFESTS

DECODER: Final = msgspec.json.Decoder(PremiumsCharged)


async def put_into_inbox(connection: AsyncConnection, manifest: PremiumsCharged) -> None:
    """Keep it until it is booked; the same again changes nothing."""
    row = {"run": manifest.run, "number": manifest.number, "payload": msgspec.json.encode(manifest)}
    await connection.execute(upsert(tables.manifest_inbox).values(row).on_conflict_do_nothing())


async def next_in_inbox(connection: AsyncConnection, run: str) -> PremiumsCharged | None:
    """The manifest that follows on what is booked of the run, if it is here."""
    number = await booked_through(connection, run) + 1
    inbox = tables.manifest_inbox
    query = select(inbox.c.payload).where(inbox.c.run == run, inbox.c.number == number)
    payload = await connection.scalar(query)
    if payload is None:
        return None
    manifest = DECODER.decode(payload)
    if manifest.signature is not None:
        return manifest
    # It has waited since a version that required no signature: it is requested from charging again, which signs it.
    taken = (inbox.c.run == run, inbox.c.number == number)
    await connection.execute(delete(inbox).where(*taken))
    detail = f"manifest {run}/{number} waited without a signature"
    await keep_refused(connection, MANIFESTS, QuarantineReason.UNSIGNED, detail, payload)
    return None


async def booked_through(connection: AsyncConnection, run: str) -> int:
    """The last number of the run in the books; 0 for a run not seen before."""
    booked = tables.manifest_booked
    return await connection.scalar(select(func.max(booked.c.number)).where(booked.c.run == run)) or 0


async def has_waiting(connection: AsyncConnection, run: str) -> bool:
    """Whether manifests of the run wait in the inbox."""
    query = select(func.count()).where(tables.manifest_inbox.c.run == run)
    return bool(await connection.scalar(query))
