"""Hand the newest checkpoint to the witness and keep its cosignature (C2SP tlog-witness).

If the process dies here: the witness may have cosigned what is not kept; on another request it cosigns that again.
"""

from datetime import UTC, datetime
from typing import Final

import httpx
import structlog
from sqlalchemy import func, select, text
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.ledger import tables
from services.ledger.log.checkpoints import LogKeys, keep_fault
from services.ledger.log.entries import read_roots
from shared.adapters.crypto.signing import is_signed
from shared.contracts.witnessing import AddCheckpoint
from shared.domain.errors import Refused, Retry
from shared.domain.evidence import merkle
from shared.domain.evidence.signed_note import Note, Signature, check_note

log = structlog.get_logger(__name__)
REFUSALS: Final = frozenset({400, 403, 404, 422})
"""Answers that say no; any other that is not 200 or 409 is no answer, and is requested again."""

# One sender at a time, so that the witness never sees an older checkpoint after a newer one.
_TRY_LOCK: Final = text("select pg_try_advisory_xact_lock(hashtextextended('ledger.cosignature', 0))")


async def request_cosignature(engine: AsyncEngine, keys: LogKeys, witness: httpx.AsyncClient) -> str:
    """Request a cosignature of the newest checkpoint if it has none; returns what became of it.

    `nothing` to request, `cosigned`, `refused` (kept as a fault), or raises `Retry` when the witness does not answer.
    """
    async with engine.begin() as connection:
        if not await connection.scalar(_TRY_LOCK):
            return "nothing"
        size = await connection.scalar(select(func.max(tables.checkpoint.c.size)))
        known = await connection.scalar(select(func.max(tables.cosignature.c.size)))
        if size is None or known == size:
            return "nothing"
        answer = await _post(connection, witness, size, known or 0)
        if answer.status_code == httpx.codes.CONFLICT:
            # After a crash it remembers another size than the ledger: it says which, and the request begins there.
            old = _known_size(answer, size)
            answer = await _post(connection, witness, size, old) if old is not None else answer
        if answer.status_code == httpx.codes.OK:
            await _keep(connection, keys, size, answer.text)
            return "cosigned"
    if answer.status_code in REFUSALS or answer.status_code == httpx.codes.CONFLICT:
        detail = f"{answer.status_code}: {' '.join(answer.text.split())[:200]}"
        await keep_fault(engine, "refused_by_witness", size, detail)
        return "refused"
    raise Retry(f"the witness answers {answer.status_code}: {' '.join(answer.text.split())[:200]}")


async def _post(connection: AsyncConnection, witness: httpx.AsyncClient, size: int, old: int) -> httpx.Response:
    column = tables.checkpoint.c
    note = await connection.scalar(select(column.note).where(column.size == size))
    proof = await read_roots(connection, size, merkle.consistency_ranges(old, size))
    body = bytes(AddCheckpoint(old, tuple(proof), Note.parse(note or b"")))
    try:
        return await witness.post("/witness/add-checkpoint", content=body)
    except httpx.HTTPError as error:
        raise Retry(f"the witness cannot be reached: {error!r}") from error


def _known_size(answer: httpx.Response, size: int) -> int | None:
    """The size the witness knows, if the log extends it; a larger one means that the log's history was taken back."""
    known = answer.text.removesuffix("\n")
    return int(known) if known.isascii() and known.isdigit() and int(known) <= size else None


async def _keep(connection: AsyncConnection, keys: LogKeys, size: int, lines: str) -> None:
    """Keep the lines that a configured witness signed; `Retry` when there is none, or one does not hold."""
    note = await connection.scalar(select(tables.checkpoint.c.note).where(tables.checkpoint.c.size == size))
    parsed = Note.parse(note or b"")
    try:
        signatures = [Signature.parse(line) for line in lines.splitlines()]
        held = check_note(Note(parsed.text, tuple(signatures)), keys.witnesses, is_signed)
    except Refused as error:
        raise Retry(f"the witness answers with what is no cosignature: {error}") from error
    times = {(key.name, key.key_id): time for key, time in held.items()}
    rows = [
        {
            "size": size,
            "name": signature.name,
            "key_id": signature.key_id,
            "line": signature.line,
            "cosigned_at": datetime.fromtimestamp(times[signature.name, signature.key_id] or 0, UTC),
        }
        for signature in signatures
        if (signature.name, signature.key_id) in times
    ]
    if not rows:
        raise Retry("the witness answers without a cosignature of a key that is known here")
    await connection.execute(upsert(tables.cosignature).values(rows).on_conflict_do_nothing())
    log.info("cosigned", size=size, by=[row["name"] for row in rows])
