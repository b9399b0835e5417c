"""Count recent arrivals by enterprise, minute and outcome; kept for a day, and not part of a rebuild.

Fed by the manifests of batches. The minute is that of the manifest's record, so a topic that is read again gives equal
counts; what is older than a day when it is read is left out.
"""

from collections import Counter
from datetime import datetime, timedelta
from typing import Annotated, Final

import msgspec
from pydantic import Field
from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert as insert_once
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.reporting.read_model.read_model_tables import ARRIVAL, ARRIVED_MANIFEST
from services.reporting.read_model.responses import Answer, Uscc
from shared.contracts.manifests import PremiumsCharged
from shared.runtime.clock import now

KEPT: Final = timedelta(days=1)
DECODER: Final = msgspec.json.Decoder(PremiumsCharged)


class Arrived(Answer):
    """Events of an enterprise that charging took in one minute and that ended alike."""

    minute: datetime
    enterprise: Uscc
    outcome: Annotated[str, Field(examples=["charged"])]
    reason: Annotated[str, Field(description="empty where the outcome needs none", examples=["no_tariff_line"])]
    events: Annotated[int, Field(examples=[1_200])]


async def take_manifest(engine: AsyncEngine, body: bytes, recorded_at: datetime) -> None:
    """Count a batch of events, once; raises for one that cannot be read.

    A record may name any time. One that names a future time is counted now: it would make all records until then
    seem too old.
    """
    manifest = DECODER.decode(body)
    if manifest.kind != "orders":
        return
    minute = min(recorded_at, now()).replace(second=0, microsecond=0)
    async with engine.begin() as connection:
        newest = await connection.scalar(select(func.max(ARRIVED_MANIFEST.c.minute)))
        if newest is not None and minute < newest - KEPT:
            return
        mark = insert_once(ARRIVED_MANIFEST).values(run=manifest.run, number=manifest.number, minute=minute)
        if await connection.scalar(mark.on_conflict_do_nothing().returning(ARRIVED_MANIFEST.c.number)) is None:
            return
        await _add(connection, manifest, minute)
        if newest is None or minute > newest:
            for table in (ARRIVAL, ARRIVED_MANIFEST):
                await connection.execute(delete(table).where(table.c.minute < minute - KEPT))


async def _add(connection: AsyncConnection, manifest: PremiumsCharged, minute: datetime) -> None:
    events_by = Counter[tuple[str, str, str]]()
    for total in manifest.totals:
        events_by[total.enterprise, total.outcome.value, total.reason or ""] += total.orders
    rows = [
        {"minute": minute, "enterprise": enterprise, "outcome": outcome, "reason": reason, "events": events}
        for (enterprise, outcome, reason), events in sorted(events_by.items())
    ]
    if rows:
        statement = insert_once(ARRIVAL)
        more = {"events": ARRIVAL.c.events + statement.excluded.events}
        await connection.execute(statement.on_conflict_do_update(constraint="arrival_pkey", set_=more), rows)


async def read_arrivals(
    connection: AsyncConnection, as_of: datetime, minutes: int = 60, enterprise: str | None = None
) -> list[Arrived]:
    """The last minutes before `as_of`, newest first; minutes in which nothing arrived have no row."""
    query = select(ARRIVAL).where(ARRIVAL.c.minute > as_of - timedelta(minutes=minutes), ARRIVAL.c.minute <= as_of)
    if enterprise is not None:
        query = query.where(ARRIVAL.c.enterprise == enterprise)
    order = (ARRIVAL.c.minute.desc(), ARRIVAL.c.enterprise, ARRIVAL.c.outcome, ARRIVAL.c.reason)
    return [Arrived.model_validate(dict(row)) for row in (await connection.execute(query.order_by(*order))).mappings()]
