"""How late acceptances are sent: fixed buckets, so that distributions of enterprises, days and months compare."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import Final

BOUNDS_SECONDS: Final = (60, 600, 3_600, 21_600, 86_400, 259_200, 864_000)
"""Where a bucket ends and the next begins: a minute, ten, an hour, six, a day, three, ten."""
BUCKETS: Final = len(BOUNDS_SECONDS) + 1
"""The first bucket is below the first bound, the last at or above the last."""


def bucket_of(delay_seconds: float) -> int:
    """0 to BUCKETS - 1; an acceptance whose record's time is before it (clocks differ) counts as sent at once."""
    return bisect_right(BOUNDS_SECONDS, delay_seconds)


def add_up(distributions: Iterable[Sequence[int]]) -> list[int]:
    """Orders by bucket over several distributions."""
    return [sum(column) for column in zip([0] * BUCKETS, *distributions, strict=True)]
