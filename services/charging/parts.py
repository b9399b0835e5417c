"""The parts of the table of rows: one a day, made ahead, because there is no default part to catch a stray."""

from collections.abc import Iterable
from datetime import date, timedelta
from typing import Final

from shared.adapters.postgres import Pool

_DAY_0: Final = date(1970, 1, 1)


class Parts:
    """Makes missing parts before a batch needs them; remembers which there are."""

    def __init__(self, pool: Pool, days_ahead: int) -> None:
        self._pool, self._ahead = pool, days_ahead
        self._made: set[int] = set()

    async def ensure(self, days: Iterable[int]) -> None:
        """Make sure of a part for each day (days since 1970, Shanghai) and the few that follow it."""
        for day in sorted(set(days) - self._made):
            first = _DAY_0 + timedelta(days=day)
            last = first + timedelta(days=self._ahead)
            await self._pool.execute("select charging.ensure_parts($1, $2)", first, last)
            self._made.update(range(day, day + self._ahead + 1))
