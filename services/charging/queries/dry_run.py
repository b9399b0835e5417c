"""Dry run: what would happen to an event if it were sent now. Read like a batch, and written nowhere."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

from msgspec import Struct
from sqlalchemy import SmallInteger, Text, bindparam, select

from services.charging.ingest.batch_reader import EventReader
from services.charging.rows.batch import Batch
from services.charging.rows.row_kinds import LEAF_INDEX
from services.charging.store.duplicates import compare_rows, fill_inbox
from services.charging.tables import declaration
from shared.adapters.postgres.pool import Connection, Pool
from shared.adapters.postgres.queries.statements import query
from shared.contracts.events import DayDeclared
from shared.contracts.manifests import Outcome
from shared.contracts.topics import orders_topic
from shared.domain.calendar import numbered_day, since_epoch_ms
from shared.domain.money import Amount, yuan
from shared.domain.scheme.region import Region
from shared.intake.strict_decoder import Parked, decode


class _Content(Struct, frozen=True):
    body: bytes
    revision: int | None


_DECLARED: Final = query(
    select(declaration.c.body, declaration.c.revision).where(
        declaration.c.enterprise == bindparam("enterprise", type_=SmallInteger),
        declaration.c.declaration_id == bindparam("declaration_id", type_=Text),
    ),
    _Content,
)


@dataclass(slots=True)
class UnsentRecord:
    """A record that is on no topic."""

    topic: str
    timestamp: int
    value: bytes | None
    partition: int = 0
    offset: int = 0
    key: bytes | None = None
    headers: Sequence[tuple[str, bytes]] = ()


class DryRunResult(Struct, frozen=True):
    """What would happen to the event: an outcome, as manifests count it, with its reason and rate.

    `reason`: why it is excluded or parked, or what is recorded; `detail`: where it is parked, the reason in words, else
    what is odd about its region.
    """

    outcome: Outcome
    reason: str | None
    detail: str | None
    insured_on: date | None
    province: str | None
    industry: str | None
    tariff_line: int | None
    amount_yuan: str | None


class DryRun:
    """Runs events dry; `make_reader` makes a reader that no worker uses, for the first of them."""

    def __init__(self, pool: Pool, make_reader: Callable[[], EventReader], regions: Mapping[str, Region]) -> None:
        self._pool = pool
        self._regions = regions
        self._make_reader = make_reader
        self._reader: EventReader | None = None
        self._lock = asyncio.Lock()  # one at a time: dry runs must not take the workers' connections

    async def run(self, enterprise: str, value: bytes, as_of: datetime) -> DryRunResult:
        """Find the outcome of an event on this enterprise's topic with this record time."""
        if self._reader is None:
            self._reader = self._make_reader()
        batch = self._reader.read([UnsentRecord(orders_topic(enterprise), since_epoch_ms(as_of), value)], 1)
        if batch.rows or batch.declarations:
            async with self._lock, self._pool.acquire() as connection:
                await _mark_stored(connection, batch)
        return _result_of(batch, self._detail(batch, value))

    def _detail(self, batch: Batch, value: bytes) -> str | None:
        """Why it is parked, or what is odd about the code of its region."""
        if batch.parked:
            return batch.parked[0].detail
        if batch.unlisted_regions:
            return (
                f"{batch.unlisted_regions[0]:06} is in no list of regions: its province decides, and we have an alarm"
            )
        event = decode(value, len(value))
        if (
            isinstance(event, Parked | DayDeclared)
            or (region := self._regions.get(event.data.acceptance_region)) is None
        ):
            return None
        return region.remark(numbered_day(batch.totals[0].insured_on))


async def _mark_stored(connection: Connection, batch: Batch) -> None:
    """Correct `batch.totals` by what `write_batch` would find stored already: repeats and conflicts."""
    undone = connection.transaction()
    await undone.start()
    try:
        await fill_inbox(connection, batch.rows)
        same = await compare_rows(connection, [row[LEAF_INDEX] for row in batch.rows])
    finally:
        await undone.rollback()
    for row in batch.declarations:
        known = await _DECLARED.fetch_first(connection, enterprise=row.enterprise, declaration_id=row.declaration_id)
        if known is not None:
            same[row.leaf_index] = row.repeats(known.body, known.revision)
    for index, is_same in same.items():
        batch.totals[index] = batch.totals[index]._replace(
            outcome=Outcome.REPEAT if is_same else Outcome.CONFLICT, reason=None, tariff_line=None, base_amount=0
        )


def _result_of(batch: Batch, detail: str | None) -> DryRunResult:
    (total,) = batch.totals
    return DryRunResult(
        outcome=total.outcome,
        reason=total.reason,
        detail=detail,
        insured_on=None if total.insured_on < 0 else numbered_day(total.insured_on),
        province=total.province,
        industry=total.industry,
        tariff_line=total.tariff_line,
        amount_yuan=yuan(Amount(total.base_amount)) if total.outcome is Outcome.CHARGED else None,
    )
