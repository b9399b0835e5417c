"""Whether missing numbers are charged, and at what."""

from datetime import date

import pytest

from shared.domain.calendar import day_start
from shared.domain.scheme.presumption import (
    Basis,
    PresumptionMode,
    PresumptionRule,
    Seen,
    assessed_reason,
    basis_of,
    is_assessed,
    series_of,
)

ASSESS, FIND = PresumptionMode.ASSESS, PresumptionMode.FINDING_ONLY


def rule(day: int, province: str | None, mode: PresumptionMode) -> PresumptionRule:
    return PresumptionRule(day_start(date(2026, 10, day)), province, mode, "made up")


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ([], False),
        ([rule(1, None, ASSESS)], True),
        ([rule(5, None, ASSESS)], True),
        ([rule(6, None, ASSESS)], False),
        ([rule(1, None, FIND), rule(2, None, ASSESS)], True),
        ([rule(1, "44", ASSESS), rule(2, None, FIND)], True),
        ([rule(1, "44", FIND), rule(2, None, ASSESS)], False),
        ([rule(1, "11", ASSESS)], False),
        ([rule(6, "44", FIND), rule(2, None, ASSESS)], True),
    ],
)
def test_the_province_s_own_rule_goes_first_and_the_latest_holds(rules: list[PresumptionRule], expected: bool) -> None:
    assert is_assessed(rules, "44", day_start(date(2026, 10, 5))) is expected
    assert is_assessed(reversed(rules), "44", day_start(date(2026, 10, 5))) is expected


def test_the_highest_amount_of_the_enterprise_where_most_of_the_series_orders_are() -> None:
    seen = [Seen("a", "44", 1, 7, 100, 3), Seen("a", "11", 1, 8, 100, 2), Seen("a", "11", 2, 9, 80, 2),
            Seen("b", "31", 3, 12, 250, 1), Seen("b", "51", 3, 11, 250, 1)]  # fmt: skip
    assert basis_of("a", seen) == Basis("11", 3, 11, 250)
    assert basis_of("b", seen) == Basis("31", 3, 11, 250)
    assert basis_of("of another day", seen) == Basis("11", 3, 11, 250)
    assert basis_of("a", []) is None


def test_the_reason_names_the_series() -> None:
    assert series_of(assessed_reason("s-1")) == "s-1"
    assert [series_of(reason) for reason in (None, "cancelled", "rerated", "assessed")] == [None] * 4
