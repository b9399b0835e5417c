"""Made-up daily figures of a market in which nobody leaves anything out: seeded, and noisier than a quiet market.

Every place (an enterprise in a province) has its own size, week, growth and share of employees; all days share a
weather, single days have their own luck, counts scatter by chance, holidays fall to a share of a working day.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from random import Random

from tests.support.deployed_calendar import deployed_calendar

FIRST = date(2026, 3, 2)
WARM_UP = 56
QUARTER = 91


@lru_cache
def is_regular(day: date) -> bool:
    """Cached `is_regular_day`."""
    return deployed_calendar().is_regular_day(day)


@dataclass(frozen=True, slots=True)
class Day:
    """What one place had on one day."""

    day: date
    orders: int
    excluded: int


def days(length: int = WARM_UP + QUARTER) -> list[date]:
    return [FIRST + timedelta(days=n) for n in range(length)]


def weather(rng: Random) -> dict[date, float]:
    """What a day does to every place alike: three days of a hundred lose a tenth."""
    return {day: 1 + 0.02 * rng.gauss(0, 1) - (0.1 if rng.random() < 0.03 else 0) for day in days()}


def place(rng: Random, market: dict[date, float]) -> Iterator[Day]:
    """One place over warm-up and quarter."""
    size, growth = 10 ** rng.uniform(0.0, 5.3), 1 + rng.uniform(-0.004, 0.012)
    week = [rng.uniform(0.8, 1.2) for _ in range(7)]
    noise, employees = rng.uniform(0.01, 0.04), rng.choice([0.0, 0.001, 0.01, 0.05])
    for number, (day, factor) in enumerate(market.items()):
        holiday = 1.0 if is_regular(day) else rng.uniform(0.4, 1.3)
        mean = size * growth ** (number / 7) * week[day.weekday()] * factor * holiday
        orders = scattered(rng, max(0.0, mean * (1 + noise * rng.gauss(0, 1))))
        yield Day(day, orders, min(orders, scattered(rng, orders * employees)))


def scattered(rng: Random, mean: float) -> int:
    """A count by chance (Poisson): exact for few, by its normal shape for many."""
    if mean > 50:
        return max(0, round(rng.gauss(mean, mean**0.5)))
    count, left = 0, rng.expovariate(1)
    while left < mean:
        count, left = count + 1, left + rng.expovariate(1)
    return count
