"""The figures of a coverage report: against a second, simpler count, and what cannot be reported."""

from collections import Counter
from dataclasses import dataclass
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.books.coverage import build_coverage
from shared.domain.errors import Refused

DAY = date(2026, 10, 3)
BASES = {7: 700, 8: 2_500, 9: 840}


@dataclass(frozen=True)
class Total:
    insured_on: date | None
    enterprise: str
    province: str | None
    industry: str | None
    outcome: str
    reason: str | None
    tariff_line: int | None
    orders: int
    premium: int


@dataclass(frozen=True)
class Workers:
    insured_on: date
    enterprise: str | None
    province: str
    workers: int


@dataclass(frozen=True)
class FirstTime:
    province: str
    workers: int


def charged(orders: int, line: int = 7, outcome: str = "charged", **changes: object) -> Total:
    sign = 1 if outcome == "charged" else -1
    known: dict[str, object] = {
        "insured_on": DAY,
        "enterprise": "A",
        "province": "44",
        "industry": "ride_hailing",
        "outcome": outcome,
        "reason": None,
        "tariff_line": line,
        "orders": orders,
        "premium": sign * orders * BASES[line],
    }
    return Total(**(known | changes))  # type: ignore[arg-type]


@st.composite
def any_total(draw: st.DrawFn) -> Total:
    line, outcome = (
        draw(st.sampled_from([7, 8, 9])),
        draw(st.sampled_from(["charged", "reversed", "excluded", "recorded"])),
    )
    total = charged(
        draw(st.integers(1, 10**6)),
        line,
        "charged" if outcome != "reversed" else outcome,
        insured_on=DAY - timedelta(days=draw(st.integers(0, 2))),
        enterprise=draw(st.sampled_from("AB")),
        province=draw(st.sampled_from(["11", "44"])),
    )
    if outcome in ("charged", "reversed"):
        return total
    return Total(**(vars(total) | {"outcome": outcome, "tariff_line": None, "premium": 0, "reason": "some"}))


@given(st.lists(any_total(), max_size=40))
def test_nothing_is_lost_and_nothing_is_counted_twice(totals: list[Total]) -> None:
    reports = build_coverage(DAY, totals, [], [])
    orders: Counter[str] = Counter()
    premium: Counter[str] = Counter()
    excluded: Counter[str] = Counter()
    for total in totals:
        assert total.province is not None
        sign = {"charged": 1, "reversed": -1}.get(total.outcome, 0)
        orders[total.province] += sign * total.orders
        premium[total.province] += total.premium if sign else 0
        excluded[total.province] += total.orders if total.outcome == "excluded" else 0
    reported = {total.province for total in totals if total.outcome != "recorded"}
    assert [report.province for report in reports] == sorted(str(province) for province in reported)
    for report in reports:
        assert (report.orders, report.premium) == (orders[report.province], premium[report.province])
        assert sum(exclusion.orders for exclusion in report.exclusions) == excluded[report.province]
        keys = [(line.insured_on, line.enterprise, line.industry, line.tariff_line) for line in report.lines]
        assert keys == sorted(set(keys))


@given(st.permutations([charged(5), charged(2, outcome="reversed"), charged(1, 8), charged(3, enterprise="B")]))
def test_the_order_of_the_totals_makes_no_difference(totals: list[Total]) -> None:
    assert build_coverage(DAY, totals, [], []) == build_coverage(DAY, sorted(totals, key=str), [], [])


def test_an_amendment_may_take_more_back_than_it_adds() -> None:
    (report,) = build_coverage(DAY, [charged(3, outcome="reversed", insured_on=DAY - timedelta(days=1))], [], [])
    (line,) = report.lines
    assert (line.charged, line.reversed, line.orders, line.premium, line.base) == (0, 3, -3, -2_100, 700)


def test_distinct_workers_are_passed_through_and_never_added() -> None:
    counts = [
        Workers(DAY, "A", "44", 40),
        Workers(DAY, "B", "44", 30),
        Workers(DAY, None, "44", 50),
        Workers(DAY - timedelta(days=1), "A", "44", 2),
        Workers(DAY - timedelta(days=1), None, "44", 2),
    ]
    (report,) = build_coverage(DAY, [], counts, [FirstTime("44", 6)])
    assert [(worker.insured_on, worker.enterprise, worker.workers) for worker in report.workers] == [
        (DAY - timedelta(days=1), "A", 2),
        (DAY, "A", 40),
        (DAY, "B", 30),
    ]
    assert (report.province_workers, report.first_time_workers, report.orders) == (50, 6, 0)


def test_totals_of_nothing_and_events_without_a_province_say_nothing() -> None:
    assert build_coverage(DAY, [charged(1, outcome="recorded", premium=0)], [], []) == []
    assert build_coverage(DAY, [charged(1, province=None)], [], []) == []
    (report,) = build_coverage(DAY, [charged(0, premium=0)], [], [])
    assert report.lines == ()


@pytest.mark.parametrize(
    "totals",
    [
        [charged(3, premium=100)],
        [charged(0, premium=100)],
        [charged(3, tariff_line=None)],
        [charged(3, insured_on=None)],
        [charged(3, industry=None)],
        [charged(3), charged(2, premium=200)],
    ],
    ids=["no even base", "premium of nobody", "no line", "no day", "no industry", "two bases"],
)
def test_what_no_report_can_hold_is_refused(totals: list[Total]) -> None:
    with pytest.raises(Refused):
        build_coverage(DAY, totals, [], [])
