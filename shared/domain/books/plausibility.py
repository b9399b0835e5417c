"""Estimates a day's plausible figures from their own history: medians and typical deviations, nothing else.

Expected is the median of the same weekday in the weeks before. How far days usually lie from such medians, over all
weekdays of these weeks, is the spread; a day is implausible when it lies further away than TIMES_SPREAD of it. Days
that are not regular (a public holiday, a weekend that was made a working day) are neither judged nor learned from.

What this notices and how often it is wrong is measured in docs/register.md. It cannot see a share of orders
that is smaller than the spread of ordinary days: 1 % less is within it.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from math import sqrt
from statistics import median
from typing import Final

WEEKS: Final = 8
"""Weeks of history that are compared."""
FEWEST_WEEKS: Final = 4
"""With fewer days of the same weekday nothing is judged."""
TIMES_SPREAD: Final = 10.0
TIMES_CHANCE: Final = 6.0
"""What days usually do has fat tails, what is counted by chance has not: so far apart may the two be."""
LEAST_SPREAD: Final = 0.02
"""Of the expected count: a history that is smoother than this is not believed."""
FEW_ORDERS: Final = 2.0
"""Added to the root of the expected count, which alone is too narrow for places with a few orders a day."""
SHARE_DAYS: Final = 28
FEWEST_SHARE_DAYS: Final = 14
LEAST_RISE: Final = 0.01
"""A share that rises by less is not reported, with any history, however quiet."""
FEWEST_EXCLUDED: Final = 20
_MAD_TO_DEVIATION: Final = 1.4826
"""A median of absolute deviations as a standard deviation, for what is spread normally."""


@dataclass(frozen=True, slots=True)
class Plausible:
    """What is expected, and how far from it is still plausible, both in the unit of the figure (orders, or a share)."""

    expected: float
    tolerance: float
    days: int
    """Days of history that it was worked out from."""

    @property
    def least(self) -> float:
        return max(0.0, self.expected - self.tolerance)

    @property
    def most(self) -> float:
        return self.expected + self.tolerance


def plausible_count(history: Mapping[date, int], day: date, is_regular: Callable[[date], bool]) -> Plausible | None:
    """What the day's orders may be; `history` holds every day before it that is known, days without orders as 0.

    None where the day is not regular, or there is too little history of its weekday.
    """
    if not is_regular(day):
        return None
    by_weekday: dict[int, list[int]] = defaultdict(list)
    for back in range(1, 7 * WEEKS + 1):
        before = day - timedelta(days=back)
        if before in history and is_regular(before):
            by_weekday[before.weekday()].append(history[before])
    if len(by_weekday[day.weekday()]) < FEWEST_WEEKS:
        return None
    known = {weekday: counts for weekday, counts in by_weekday.items() if len(counts) >= FEWEST_WEEKS}
    expected = median(known[day.weekday()])
    spread = max(LEAST_SPREAD, _usual_deviation(list(known.values()))) * expected
    by_chance = sqrt(expected) + FEW_ORDERS
    tolerance = max(TIMES_SPREAD * spread, TIMES_CHANCE * by_chance)
    return Plausible(expected, tolerance, sum(map(len, known.values())))


def _usual_deviation(groups: Sequence[Sequence[int]]) -> float:
    """How far days lie from the median of their weekday, as a share of it."""
    deviations = [
        abs(count - centre) / centre for counts in groups if (centre := median(counts)) > 0 for count in counts
    ]
    return _MAD_TO_DEVIATION * median(deviations) if deviations else 0.0


def plausible_share(history: Sequence[tuple[int, int]], received: int) -> Plausible | None:
    """What the excluded share of a day with so many orders may be.

    `history` are (excluded, received) of the days before, the newest last. None where there is too little of it.
    """
    shares = [excluded / orders for excluded, orders in history[-SHARE_DAYS:] if orders > 0]
    if len(shares) < FEWEST_SHARE_DAYS or received <= 0:
        return None
    expected = median(shares)
    usual = _MAD_TO_DEVIATION * median(abs(share - expected) for share in shares)
    floor = max(expected, 1 / received)
    by_chance = sqrt(floor * max(0.0, 1 - floor) / received)
    return Plausible(expected, max(LEAST_RISE, TIMES_SPREAD * usual, TIMES_CHANCE * by_chance), len(shares))


def is_implausible_count(count: int, plausible: Plausible) -> bool:
    """True where the count lies outside, above or below."""
    return not plausible.least <= count <= plausible.most


def has_share_risen(excluded: int, received: int, plausible: Plausible) -> bool:
    """True where so many were excluded that their share is above what is plausible."""
    return excluded >= FEWEST_EXCLUDED and excluded / received > plausible.most
