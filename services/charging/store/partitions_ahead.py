"""Parts made ahead of time, by the calendar: their lack is told days before it would hold anything up.

A batch makes a part that it misses (`parts.py`), so nothing is lost without this. But a day's first batch then meets
what keeps a part from being made: a lock, a full disk, a missing privilege. Made ahead, there are days to mend it.
"""

from collections.abc import Callable
from datetime import date, timedelta
from typing import Final

import structlog

from services.charging.metrics import Metrics
from shared.adapters.postgres.pool import Pool
from shared.runtime.periodic import Periodic

log = structlog.get_logger(__name__)
LOOK_SECONDS: Final = 60.0
_ATTACHED: Final = """
    select relname from pg_inherits join pg_class on oid = inhrelid
    where inhparent = 'charging.entry'::regclass and not inhdetachpending and relname = any($1)"""


class PartsAhead:
    """Keeps a part for a day and the `ahead` days that follow it; fewer than `least` of these are an alarm."""

    def __init__(self, pool: Pool, metrics: Metrics, ahead: int, least: int) -> None:
        self._pool, self._metrics = pool, metrics
        self._ahead, self._least = ahead, min(least, ahead)
        self._alarm: str | None = None

    def periodic(self, today: Callable[[], date]) -> Periodic:
        """The work to run beside the server."""
        return Periodic("parts", lambda: self.look(today()), LOOK_SECONDS)

    async def look(self, day: date) -> None:
        """Make what is missing, count what is there, leave yesterday's part to vacuum.

        Whatever fails is the alarm's reason, and is tried again.
        """
        fault, days = "", 0
        try:
            await self._pool.execute(
                "select charging.ensure_partitions($1, $2)", day, day + timedelta(days=self._ahead)
            )
            await self._pool.execute("select charging.restore_autovacuum($1)", day - timedelta(days=1))
        except Exception as error:  # noqa: BLE001 - whatever it is, the next look tries again
            fault = f": {error!r}"
        try:
            days = await self._count(day)
        except Exception as error:  # noqa: BLE001 - the same
            fault = fault or f": {error!r}"
        self._metrics.parts_ahead.set(days)
        alarm = f"rows have parts for {days} more days, fewer than {self._least}{fault}"
        self._note(alarm if days < self._least else None)

    async def _count(self, day: date) -> int:
        """Days after this one, without a gap, that have a part."""
        names = [f"entry_{day + timedelta(days=n):%Y%m%d}" for n in range(self._ahead + 1)]
        there = {row["relname"] for row in await self._pool.fetch(_ATTACHED, names)}
        return next((n for n, name in enumerate(names) if name not in there), len(names)) - 1

    def _note(self, alarm: str | None) -> None:
        if alarm is not None and alarm != self._alarm:
            log.error("parts are missing", alarm=alarm)
        self._alarm = alarm

    async def readiness(self) -> str | None:
        """The alarm, while there is one."""
        return self._alarm
