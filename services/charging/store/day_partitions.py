"""Day partitions of the table of rows: one a day, created ahead of time, because there is no default partition.

A batch creates a partition that it misses, so nothing is lost without the creation ahead. But a day's first batch then
meets what prevents it: a lock, a full disk, a missing privilege. Created ahead, there are days to mend it.
"""

from collections.abc import Callable, Iterable
from datetime import date, timedelta
from typing import Final

import structlog

from services.charging.metrics import Metrics
from shared.adapters.postgres.pool import Connection, Pool
from shared.domain.calendar import numbered_day
from shared.runtime.periodic import Periodic

log = structlog.get_logger(__name__)
SUMMARIZE_SECONDS: Final = 0.2
"""Rows without a BRIN summary are read whole by a lookup: some 25 ms for 100,000 of them."""
CHECK_SECONDS: Final = 60.0
_ATTACHED: Final = """
    select relname from pg_inherits join pg_class on oid = inhrelid
    where inhparent = 'charging.entry'::regclass and not inhdetachpending and relname = any($1)"""


class DayPartitions:
    """Creates missing partitions before a batch needs them, and summarizes what batches have added (BRIN)."""

    def __init__(self, pool: Pool, days_ahead: int) -> None:
        self._pool, self._days_ahead = pool, days_ahead
        self._created: set[int] = set()
        self._added: set[int] = set()
        self._next_ranges: dict[int, int] = {}

    async def ensure(self, days: Iterable[int]) -> None:
        """Create the partitions of these days (day numbers since 1970, Shanghai) and of the few that follow."""
        for day in sorted(set(days) - self._created):
            await _ensure(self._pool, numbered_day(day), self._days_ahead)
            self._created.update(range(day, day + self._days_ahead + 1))
        self._added.update(days)

    def periodic(self) -> Periodic:
        """The summaries as work to run next to the server."""
        return Periodic("summaries", self.summarize_brin, SUMMARIZE_SECONDS, pauses_first=True)

    async def summarize_brin(self) -> None:
        """Summarize the complete ranges of the partitions that batches added to; an empty run ends a day's work."""
        for day in sorted(self._added):
            first = self._next_ranges.get(day, 0)
            sql = "select charging.summarize_partition($1, $2)"
            next_range = await self._pool.fetchval(sql, numbered_day(day), first)
            if next_range == first:
                self._added.discard(day)
            elif next_range is not None:  # there may be more; None: another session holds the lock
                self._next_ranges[day] = next_range


class PartitionsAhead:
    """Keeps a partition for today and the `ahead` days that follow; fewer than `least` of these are an alarm."""

    def __init__(self, pool: Pool, metrics: Metrics, ahead: int, least: int) -> None:
        self._pool, self._metrics = pool, metrics
        self._ahead, self._least = ahead, min(least, ahead)
        self._alarm: str | None = None

    def periodic(self, today: Callable[[], date]) -> Periodic:
        """The creation ahead as work to run next to the server."""
        return Periodic("parts", lambda: self.create(today()), CHECK_SECONDS)

    async def create(self, day: date) -> None:
        """Create missing partitions, count those that exist, give yesterday's back to autovacuum.

        A failure is the alarm's reason, and the next run tries again.
        """
        fault, days = "", 0
        try:
            await _ensure(self._pool, day, self._ahead)
            await self._pool.execute("select charging.restore_autovacuum($1)", day - timedelta(days=1))
        except Exception as error:  # noqa: BLE001 - the next run tries again after any failure
            fault = f": {error!r}"
        try:
            days = await self._count(day)
        except Exception as error:  # noqa: BLE001 - as above
            fault = fault or f": {error!r}"
        self._metrics.parts_ahead.set(days)
        alarm = f"rows have parts for {days} more days, fewer than {self._least}{fault}"
        self._set_alarm(alarm if days < self._least else None)

    async def _count(self, day: date) -> int:
        """Days after this one, without a gap, that have a partition."""
        names = [f"entry_{day + timedelta(days=n):%Y%m%d}" for n in range(self._ahead + 1)]
        attached = {row["relname"] for row in await self._pool.fetch(_ATTACHED, names)}
        return next((n for n, name in enumerate(names) if name not in attached), len(names)) - 1

    def _set_alarm(self, alarm: str | None) -> None:
        if alarm is not None and alarm != self._alarm:
            log.error("day partitions are missing", alarm=alarm)
        self._alarm = alarm

    async def readiness(self) -> str | None:
        """The alarm, while there is one."""
        return self._alarm


async def _ensure(pool: Pool, day: date, days_ahead: int) -> None:
    await pool.execute("select charging.ensure_partitions($1, $2)", day, day + timedelta(days=days_ahead))


async def seal_partition(connection: Connection, day: date) -> None:
    """Replace the summaries of a counted day by indexes for lookups, and give its partition back to autovacuum."""
    await connection.execute("select charging.seal_partition($1), charging.restore_autovacuum($1)", day)
