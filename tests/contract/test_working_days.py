"""Working days as the State Council sets them, and what is done in a year it has not set yet."""

import logging
from datetime import date

import pytest

from shared.adapters.working_days import is_working_day
from shared.domain.calendar import Month, due_on


@pytest.mark.parametrize(
    ("day", "is_working"),
    [
        ("2026-11-13", True),  # a Friday
        ("2026-11-14", False),  # a Saturday
        ("2026-10-01", False),  # the national day, a Thursday
        ("2026-10-10", True),  # a Saturday that is worked in return for the holiday
        ("2022-07-15", True),
    ],
)
def test_working_days(day: str, is_working: bool) -> None:
    assert is_working_day(date.fromisoformat(day)) is is_working


def test_a_due_date_avoids_a_holiday() -> None:
    # 15 February 2026 is a Sunday, followed by the spring festival's holidays to the 23rd.
    assert due_on(Month(2026, 1), is_working_day) == date(2026, 2, 24)


def test_a_year_without_known_holidays_counts_monday_to_friday(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert is_working_day(date(2094, 1, 1))  # a Friday
        assert not is_working_day(date(2094, 1, 2))
    assert caplog.messages == ["no holidays are known for 2094: Monday to Friday are taken as working days"]
