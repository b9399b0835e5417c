"""Draw when orders come, how long they take and how late their events are, from assumed shares."""

from collections.abc import Mapping, Sequence
from datetime import date
from itertools import accumulate
from random import Random
from typing import Final

from services.demo.generator.wire import DAY, SECOND
from shared.domain.scheme.industry import Industry

_MEALS: Final = (2, 1, 1, 1, 1, 1, 2, 4, 5, 6, 12, 28, 24, 11, 7, 6, 8, 20, 29, 21, 12, 8, 6, 4)
_COMMUTE: Final = (5, 3, 2, 1, 2, 4, 9, 22, 26, 14, 10, 10, 11, 10, 10, 11, 14, 24, 27, 18, 14, 13, 12, 8)
_WORK: Final = (1, 1, 1, 1, 2, 3, 6, 11, 16, 18, 17, 12, 10, 14, 16, 15, 12, 9, 6, 4, 3, 2, 2, 1)
_HOURS: Final[Mapping[Industry, Sequence[int]]] = {
    Industry.RIDE_HAILING: tuple(accumulate(_COMMUTE)),
    Industry.FOOD_DELIVERY: tuple(accumulate(_MEALS)),
    Industry.INSTANT_DELIVERY: tuple(accumulate(_MEALS)),
    Industry.INTRACITY_FREIGHT: tuple(accumulate(_WORK)),
}
"""Cumulative orders by hour of the day: two meal peaks, two commuter peaks, a working day."""

_MINUTES: Final[Mapping[Industry, tuple[int, int]]] = {
    Industry.RIDE_HAILING: (4, 60),
    Industry.FOOD_DELIVERY: (12, 45),
    Industry.INSTANT_DELIVERY: (10, 50),
    Industry.INTRACITY_FREIGHT: (25, 240),
}
_WEEK: Final = (0.95, 0.94, 0.96, 0.98, 1.08, 1.10, 1.02)
_RANGE_24: Final = range(24)

LATEST: Final = 28 * DAY
"""Longest delay of an event after its occurrence; acceptances are taken up to 30 days late."""


def day_weights(days: Sequence[date]) -> list[float]:
    """Return the weight of each day: more on Fridays and Saturdays."""
    return [_WEEK[day.weekday()] for day in days]


def time_of_day(rng: Random, industry: Industry) -> int:
    """Draw the time of an order in microseconds after midnight."""
    hour = rng.choices(_RANGE_24, cum_weights=_HOURS[industry])[0]
    return int((hour + rng.random()) * 3_600 * SECOND)


def duration(rng: Random, industry: Industry) -> int:
    """Draw the microseconds from acceptance to completion."""
    least, most = _MINUTES[industry]
    return int((least + (most - least) * rng.random() ** 2) * 60 * SECOND)


def delay(rng: Random) -> int:
    """Draw an event's delay in microseconds: nearly always about a second, sometimes hours, days or weeks."""
    kind, share = rng.random(), rng.random()
    if kind < 0.960:
        return int((0.05 + 1.5 * share) * SECOND)
    if kind < 0.985:
        return int((2 + 7_200 * share) * SECOND)
    if kind < 0.997:
        return int(2 * 3_600 * SECOND + 1.5 * DAY * share)
    return int(DAY + (LATEST - DAY) * share)


def cancelled_after(rng: Random) -> int:
    """Draw the microseconds from acceptance to cancellation: under a minute as often as over."""
    seconds = 4 + 55 * rng.random() if rng.random() < 0.5 else 61 + 600 * rng.random()
    return int(seconds * SECOND)
