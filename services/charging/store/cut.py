"""A cut (截点) as SQL sees it: which batches a close reaches."""

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final, NamedTuple

import msgspec

from services.charging.store.manifests import RUN_SHIFT
from shared.adapters.postgres.pool import Connection
from shared.contracts.manifests import DayCounted
from shared.domain.calendar import day_bounds, day_start


def reached_sql(batch: str = "batch", parameter: int = 1) -> str:
    """SQL: a cut, given as `Batches.lasts`, reaches the batch: it is not above its run's last one. Null for a run
    that the array is too short for. One array access, because every row of a day is tested."""
    return f"{batch} <= (${parameter}::bigint[])[({batch} >> 32)::integer]"


IN_CUT: Final = reached_sql()
"""True for a row whose `batch` the cut in parameter 1 reaches."""
NEW_IN_CUT: Final = f"{IN_CUT} and ({reached_sql(parameter=2)}) is not true"
"""True for such a row that the cut in parameter 2, that of the day before, did not reach."""
ON_DAY: Final = f"accepted_at >= $2 and accepted_at < $3 and {IN_CUT}"
"""True for a row of the closing day that its close counts. Parameters: 1 the cut, 2 and 3 the day's bounds."""
LATE: Final = "accepted_at >= $2 and accepted_at < $3 and batch = any($1::bigint[])"
"""True for a row of an earlier day that the close counts. Parameters: 1 and 2 the `Late`, 3 where the day begins."""
COUNTED: Final = f"""accepted_at >= $5 and accepted_at < $3 and ((accepted_at >= $2 and accepted_at < $3 and {IN_CUT})
    or (accepted_at < $2 and batch = any($4::bigint[])))"""
"""True for a row of `charging.entry` that a day's close counts.

Parameters: 1 the cut, 2 and 3 the day's bounds, 4 the batches in the cut, not in the one before, that hold earlier
days, 5 where the earliest of those days begins: older parts are not scanned.
"""


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


async def resolve(connection: Connection, cut: Mapping[str, int]) -> Batches:
    """Find the runs of a cut; another charging deployment counts its own."""
    rows = await connection.fetch("select id, run from charging.run where run = any($1)", list(cut))
    return Batches.of(row["id"] << RUN_SHIFT | cut[row["run"]] for row in rows)


async def find_late(connection: Connection, cut: Batches, previous: Batches, day: date) -> Late:
    """Find late batches of days before this one."""
    sql = f"""select batch, min(insured_on) as first_on from charging.batch_day
        where insured_on < $3 and {NEW_IN_CUT} group by batch"""
    rows = await connection.fetch(sql, cut.lasts, previous.lasts, day)
    return Late([r["batch"] for r in rows], day_start(min((r["first_on"] for r in rows), default=day)))


@asynccontextmanager
async def planning_without(connection: Connection, *ways: str) -> AsyncIterator[None]:
    """Disable plan types, like `seqscan`, for statements of this transaction that the planner would get wrong."""
    await connection.execute("; ".join(f"set local enable_{way} = off" for way in ways))
    yield
    await connection.execute("; ".join(f"set local enable_{way} = on" for way in ways))


def reading_few(connection: Connection) -> AbstractAsyncContextManager[None]:
    """For late rows: few in many large days, which the planner would read whole, as any batch may be anywhere."""
    return planning_without(connection, "seqscan")


async def fetch_counted(connection: Connection, sql: str, day: date, cut: Batches, late: Late) -> list[Any]:
    """What a statement gives for the day and for what came late; `{scope}` in it becomes ON_DAY and LATE."""
    begin, end = day_bounds(day)
    rows = list(await connection.fetch(sql.replace("{scope}", ON_DAY), cut.lasts, begin, end))
    if late.batches:
        async with reading_few(connection):
            rows += await connection.fetch(sql.replace("{scope}", LATE), late.batches, late.begin, begin)
    return rows


async def read_counted_cut(connection: Connection, day: date) -> Batches | None:
    """The cut that a day was last counted over, with its settlement; None for a day that was not counted."""
    payload = await connection.fetchval(
        "select payload from charging.day_count where day = $1 order by answered_at desc, attempt desc limit 1", day
    )
    if payload is None:
        return None
    counted = msgspec.json.decode(payload, type=DayCounted)
    cut = dict(counted.cut)
    if counted.settlement is not None:
        cut[counted.settlement.run] = counted.settlement.number
    return await resolve(connection, cut)


async def read_previous_cut(connection: Connection, day: date) -> Batches:
    """The cut of the day before; nothing for the first day of the books."""
    return await read_counted_cut(connection, day - timedelta(days=1)) or Batches([])
