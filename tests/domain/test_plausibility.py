"""What a day may count, from its own history; and a quarter of clean days that raises no finding."""

from datetime import date, timedelta
from random import Random

import pytest

from shared.domain.books.plausibility import (
    FEWEST_EXCLUDED,
    FEWEST_WEEKS,
    SHARE_DAYS,
    WEEKS,
    has_share_risen,
    is_implausible_count,
    plausible_count,
    plausible_share,
)
from tests.generators.quarter_figures import FIRST, WARM_UP, is_regular, place, weather

DAY = date(2026, 9, 2)
"""A Wednesday; the eight weeks before it hold no holiday."""


def always(_: date) -> bool:
    return True


def week_of(counts: list[int], weeks: int = WEEKS) -> dict[date, int]:
    """So many weeks before DAY, each day as its weekday in `counts`, Monday first."""
    days = [DAY - timedelta(days=back) for back in range(1, 7 * weeks + 1)]
    return {day: counts[day.weekday()] for day in days}


WEEK = [10_000, 11_000, 10_000, 10_000, 12_000, 14_000, 13_000]
COUNTS = [
    # count of the day, is it implausible
    (10_000, False),
    (9_000, False),
    (8_000, False),
    (7_900, True),
    (12_000, False),
    (12_100, True),
    (0, True),
]


@pytest.mark.parametrize(("count", "is_so"), COUNTS)
def test_a_smooth_history_lets_a_fifth_pass(count: int, is_so: bool) -> None:
    plausible = plausible_count(week_of(WEEK), DAY, always)
    assert plausible is not None
    assert plausible.expected == WEEK[2]
    assert is_implausible_count(count, plausible) is is_so


def test_a_restless_history_lets_more_pass() -> None:
    quiet = week_of(WEEK)
    restless = {day: round(count * (0.9 if day.toordinal() % 2 else 1.1)) for day, count in quiet.items()}
    known, wider = plausible_count(quiet, DAY, always), plausible_count(restless, DAY, always)
    assert known is not None
    assert wider is not None
    assert wider.tolerance > 4 * known.tolerance


def test_few_orders_scatter_by_chance() -> None:
    plausible = plausible_count(week_of([4] * 7), DAY, always)
    assert plausible is not None
    assert [is_implausible_count(count, plausible) for count in (0, 4, 28, 29)] == [False, False, False, True]


@pytest.mark.parametrize(
    ("weeks", "is_regular_day", "is_judged"),
    [
        (FEWEST_WEEKS, lambda _: True, True),
        (FEWEST_WEEKS - 1, lambda _: True, False),
        (WEEKS, lambda day: day != DAY, False),
        (WEEKS, lambda day: day.weekday() != DAY.weekday() or day == DAY, False),
    ],
    ids=["enough weeks", "too few weeks", "a holiday", "a history of holidays"],
)
def test_without_history_nothing_is_judged(weeks: int, is_regular_day, is_judged: bool) -> None:  # type: ignore[no-untyped-def]
    assert (plausible_count(week_of(WEEK, weeks), DAY, is_regular_day) is not None) is is_judged


SHARES = [
    # usual share in a thousand, excluded and received of the day, has it risen
    (0, 19, 1_000, False),
    (0, 40, 1_000, True),
    (10, 10, 1_000, False),
    (10, 15_000, 1_000_000, False),
    (10, 21_000, 1_000_000, True),
    (100, 110, 1_000, False),
    (100, 200, 1_000, True),
    (0, FEWEST_EXCLUDED - 1, 25, False),
]


@pytest.mark.parametrize(("usual", "excluded", "received", "has_risen"), SHARES)
def test_a_share_rises_beyond_chance_and_a_hundredth(usual: int, excluded: int, received: int, has_risen: bool) -> None:
    plausible = plausible_share([(usual, 1_000)] * SHARE_DAYS, received)
    assert plausible is not None
    assert has_share_risen(excluded, received, plausible) is has_risen


def test_a_share_needs_two_weeks_with_orders() -> None:
    assert plausible_share([(0, 0)] * 20 + [(1, 100)] * 13, 100) is None
    assert plausible_share([(1, 100)] * 14, 0) is None


@pytest.mark.parametrize("seed", range(2))
def test_a_clean_quarter_raises_no_finding(seed: int) -> None:
    """50 places, 13 weeks after 8 of warm-up; docs/register.md has the longer measurement."""
    rng = Random(seed)
    market, judged = weather(rng), 0
    for _ in range(50):
        counts: dict[date, int] = {}
        shares: list[tuple[int, int]] = []
        for worker in place(rng, market):
            count = plausible_count(counts, worker.day, is_regular)
            share = plausible_share(shares, worker.orders)
            if worker.day >= FIRST + timedelta(days=WARM_UP):
                assert count is None or not is_implausible_count(worker.orders, count), worker
                assert share is None or not has_share_risen(worker.excluded, worker.orders, share), worker
                judged += count is not None
            counts[worker.day] = worker.orders
            shares.append((worker.excluded, worker.orders))
    assert judged > 50 * 80
