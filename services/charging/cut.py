"""A cut (截点) as queries see it: which batches a close reaches, and the rows that it counts."""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final, Generic, NamedTuple, TypeVar

import msgspec
from sqlalchemy import ColumnElement, Text, any_, bindparam, func, select
from sqlalchemy.dialects.postgresql import ARRAY

from services.charging.predicates import DAY, late, new_in_cut, on_day
from services.charging.store.manifests import RUN_SHIFT
from services.charging.tables import batch_day, day_count, entry, run
from shared.adapters.postgres.pool import Connection
from shared.adapters.postgres.queries.statements import Query, Selection, query, values
from shared.contracts.manifests import DayCounted
from shared.domain.calendar import day_bounds, day_start

RowT = TypeVar("RowT", bound=msgspec.Struct)
Scope = ColumnElement[bool]
"""Which rows of `charging.entry` a statement reads: those of the closing day, or late ones."""


@dataclass(frozen=True, slots=True)
class Batches:
    """How far a cut reaches: at place n - 1 the last batch of run n that is within, 0 for a run that is not."""

    lasts: list[int]

    @classmethod
    def of(cls, last: Iterable[int]) -> "Batches":
        """From the last batch of each run within."""
        by_run = {batch >> RUN_SHIFT: batch for batch in last}
        return cls([by_run.get(run, 0) for run in range(1, max(by_run, default=0) + 1)])

    def with_batch(self, batch: int) -> "Batches":
        """A copy with one more run, of which this is the last batch."""
        return Batches.of([*filter(None, self.lasts), batch])


class Late(NamedTuple):
    """Batches of a cut that hold rows of days before the closing one, and where the earliest such day begins."""

    batches: list[int]
    begin: datetime


class _LastBatch(msgspec.Struct, frozen=True):
    id: int
    run: str


class _LateBatch(msgspec.Struct, frozen=True):
    batch: int
    first_on: date


_RUNS: Final = query(
    select(run.c.id, run.c.run).where(run.c.run == any_(bindparam("runs", type_=ARRAY(Text)))), _LastBatch
)
_LATE_BATCHES: Final = query(
    select(batch_day.c.batch, func.min(batch_day.c.insured_on).label("first_on"))
    .where(batch_day.c.insured_on < DAY, new_in_cut(batch_day))
    .group_by(batch_day.c.batch),
    _LateBatch,
)
_ANSWER: Final = values(
    select(day_count.c.payload)
    .where(day_count.c.day == DAY)
    .order_by(day_count.c.answered_at.desc(), day_count.c.attempt.desc())
    .limit(1),
    bytes,
)


async def resolve(connection: Connection, cut: Mapping[str, int]) -> Batches:
    """Find the runs of a cut; another charging deployment counts its own."""
    rows = await _RUNS.fetch(connection, runs=list(cut))
    return Batches.of(row.id << RUN_SHIFT | cut[row.run] for row in rows)


async def find_late(connection: Connection, cut: Batches, previous: Batches, day: date) -> Late:
    """Find late batches of days before this one."""
    rows = await _LATE_BATCHES.fetch(connection, cut=cut.lasts, previous=previous.lasts, day=day)
    return Late([row.batch for row in rows], day_start(min((row.first_on for row in rows), default=day)))


@asynccontextmanager
async def planning_without(connection: Connection, *ways: str) -> AsyncIterator[None]:
    """Disable plan types, like `seqscan`, for statements of this transaction that the planner would get wrong."""
    await connection.execute("; ".join(f"set local enable_{way} = off" for way in ways))
    yield
    await connection.execute("; ".join(f"set local enable_{way} = on" for way in ways))


def reading_few(connection: Connection) -> AbstractAsyncContextManager[None]:
    """For late rows: few in many large days, which the planner would read whole, as any batch may be anywhere."""
    return planning_without(connection, "seqscan")


def scope_of_day(cut: Batches, day: date) -> dict[str, object]:
    """The parameters of `predicates.on_day`."""
    begin, end = day_bounds(day)
    return {"cut": cut.lasts, "begin": begin, "end": end}


def scope_of_late(late_rows: Late, day: date) -> dict[str, object]:
    """The parameters of `predicates.late`."""
    return {"late_batches": late_rows.batches, "late_begin": late_rows.begin, "begin": day_start(day)}


class CountedRows(Generic[RowT]):
    """A query over the rows that a close counts: those of its day, and late ones of earlier days."""

    def __init__(self, statement: Callable[[Scope], Selection], row: type[RowT]) -> None:
        self.of_day: Final[Query[RowT]] = query(statement(on_day(entry)), row)
        self.of_late: Final[Query[RowT]] = query(statement(late(entry)), row)

    async def fetch(self, connection: Connection, day: date, cut: Batches, late_rows: Late) -> list[RowT]:
        """Read both, the rows of the day first."""
        rows = await self.of_day.fetch(connection, **scope_of_day(cut, day))
        if late_rows.batches:
            async with reading_few(connection):
                rows += await self.of_late.fetch(connection, **scope_of_late(late_rows, day))
        return rows


async def read_counted(connection: Connection, day: date) -> DayCounted | None:
    """The last answer about a day; None for a day that was not counted."""
    payload = await _ANSWER.fetch_first(connection, day=day)
    return None if payload is None else msgspec.json.decode(payload, type=DayCounted)


async def read_counted_cut(connection: Connection, day: date) -> Batches | None:
    """The cut that a day was last counted over, with its settlement; None for a day that was not counted."""
    counted = await read_counted(connection, day)
    if counted is None:
        return None
    cut = dict(counted.cut)
    if counted.settlement is not None:
        cut[counted.settlement.run] = counted.settlement.number
    return await resolve(connection, cut)


async def read_previous_cut(connection: Connection, day: date) -> Batches:
    """The cut of the day before; nothing for the first day of the books."""
    return await read_counted_cut(connection, day - timedelta(days=1)) or Batches([])
