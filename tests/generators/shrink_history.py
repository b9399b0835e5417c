"""Makes a failing history small: leaves out steps, then records, as long as it still fails."""

from collections.abc import Callable
from typing import Any

from tests.generators.workload import Step

MOST_TRIES = 400


class Shrinker:
    """`fails` plays a history and says whether it fails; it is called `MOST_TRIES` times at most."""

    def __init__(self, fails: Callable[[list[Step]], bool]) -> None:
        self._fails, self._left = fails, MOST_TRIES

    def shrink(self, steps: list[Step]) -> list[Step]:
        """The smallest history found; it fails as the one given does."""
        small = self._without(steps, lambda found: found)
        for index, step in enumerate(small):
            for name in ("records", "concurrent"):
                if name in step:
                    kept = self._without(step[name], self._put(small, index, name))
                    small = self._put(small, index, name)(kept)
        return self._without(small, lambda found: found)

    def _put(self, steps: list[Step], index: int, name: str) -> Callable[[list[Any]], list[Step]]:
        return lambda records: [*steps[:index], {**steps[index], name: records}, *steps[index + 1 :]]

    def _without(self, items: list[Any], whole: Callable[[list[Any]], list[Step]]) -> list[Any]:
        """Leave out halves, quarters and so on down to single items."""
        size = len(items) // 2
        while size:
            start = 0
            while start < len(items):
                shorter = items[:start] + items[start + size :]
                if shorter and self._left and self._fails_again(whole(shorter)):
                    items = shorter
                else:
                    start += size
            size //= 2
        return items

    def _fails_again(self, steps: list[Step]) -> bool:
        self._left -= 1
        return self._fails(steps)
