"""The parts of the table of rows: one a day, made ahead, because there is no default part to catch a stray."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Final

from shared.adapters.postgres.pool import Pool
from shared.domain.calendar import numbered_day
from shared.runtime.periodic import Periodic

SUM_UP_SECONDS: Final = 0.2
"""What came in the meantime is read whole by who asks: some 25 ms for 100,000 rows."""


class Parts:
    """Makes missing parts before a batch needs them, and sums up what batches have added; remembers which they were."""

    def __init__(self, pool: Pool, days_ahead: int) -> None:
        self._pool, self._ahead = pool, days_ahead
        self._made: set[int] = set()
        self._added: set[int] = set()
        self._summed_up: dict[int, int] = {}

    async def ensure(self, days: Iterable[int]) -> None:
        """Make sure of a part for each day (days since 1970, Shanghai) and the few that follow it."""
        for day in sorted(set(days) - self._made):
            first = numbered_day(day)
            last = first + timedelta(days=self._ahead)
            await self._pool.execute("select charging.ensure_partitions($1, $2)", first, last)
            self._made.update(range(day, day + self._ahead + 1))
        self._added.update(days)

    def periodic(self) -> Periodic:
        """The work to run beside the server."""
        return Periodic("summaries", self.sum_up, SUM_UP_SECONDS, pauses_first=True)

    async def sum_up(self) -> None:
        """Bring the summaries of the parts that batches needed since the last time up to date."""
        for day in sorted(self._added):
            first = self._summed_up.get(day, 0)
            found = await self._pool.fetchval("select charging.summarize_partition($1, $2)", numbered_day(day), first)
            if found == first:
                self._added.discard(day)
            elif found is not None:  # there may be more; None: somebody else was at it
                self._summed_up[day] = found
