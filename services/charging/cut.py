"""A cut (截点) as SQL sees it: which batches a close reaches."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final, NamedTuple

import msgspec

from shared.adapters.postgres import Connection
from shared.contracts.manifests import DayCounted
from shared.domain.calendar import day_start

IN_CUT: Final = "exists (select 1 from unnest($1::bigint[]) as last where batch <= last and batch >> 32 = last >> 32)"
"""True for a row whose `batch` the cut in parameter 1 reaches: not above its run's last batch."""
NEW_IN_CUT: Final = f"""{IN_CUT} and not exists (
    select 1 from unnest($2::bigint[]) as last where batch <= last and batch >> 32 = last >> 32)"""
"""The same, and the cut in parameter 2, that of the day before, did not reach it."""
COUNTED: Final = f"""accepted_at >= $5 and accepted_at < $3 and ((accepted_at >= $2 and accepted_at < $3 and {IN_CUT})
    or (accepted_at < $2 and batch = any($4::bigint[])))"""
"""True for a row of `charging.entry` that a day's close counts.

Parameters: 1 the cut, 2 and 3 the day's bounds, 4 the batches in the cut, not in the one before, that hold earlier
days, 5 where the earliest of those days begins: older parts are not looked at.
"""


@dataclass(frozen=True, slots=True)
class Batches:
    """The last batch of each run within a cut; a run's batches before it are within, too."""

    lasts: list[int]

    def with_batch(self, batch: int) -> "Batches":
        """The same and one more run, of which this is the last batch."""
        return Batches([*self.lasts, batch])


class Late(NamedTuple):
    """Batches of a cut that hold rows of days before the closing one, and where the earliest such day begins."""

    batches: list[int]
    begin: datetime


async def resolve(connection: Connection, cut: Mapping[str, int]) -> Batches:
    """Find the runs of a cut; those of another charging deployment are not ours to count."""
    rows = await connection.fetch("select id, run from charging.run where run = any($1)", list(cut))
    return Batches([row["id"] << 32 | cut[row["run"]] for row in rows])


async def find_late(connection: Connection, cut: Batches, previous: Batches, day: date) -> Late:
    """What came late for days before this one."""
    sql = f"""select batch, min(insured_on) as first_on from charging.batch_day
        where insured_on < $3 and {NEW_IN_CUT} group by batch"""
    found = await connection.fetch(sql, cut.lasts, previous.lasts, day)
    return Late([r["batch"] for r in found], day_start(min((r["first_on"] for r in found), default=day)))


async def read_counted_cut(connection: Connection, day: date) -> Batches | None:
    """The cut that a day was last counted over, with its settlement; None for a day that was not counted."""
    payload = await connection.fetchval(
        "select payload from charging.day_count where day = $1 order by attempt desc limit 1", day
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
