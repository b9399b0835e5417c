"""Due dates by made-up calendars: when they are provisional, and what a later edition changes about them."""

from collections.abc import Callable
from datetime import date

import pytest

from shared.domain.calendar import Month
from shared.domain.errors import Refused
from shared.domain.working_days import (
    CalendarYear,
    DueDate,
    NamedDay,
    WorkingDay,
    WorkingDays,
    YearState,
    due_date,
    follow_due_date,
)

MONTH = Month(2030, 1)
FIFTEENTH = date(2030, 2, 15)
"""A Friday."""


def calendar(state: YearState, **days_off: str) -> WorkingDays:
    """A calendar of 2030 with these days off, `feb15="name"`."""
    months = {"feb": 2, "mar": 3}
    named = [
        NamedDay(date(2030, months[day[:3]], int(day[3:])), is_working=False, name=name, notice="notice of 2030")
        for day, name in days_off.items()
    ]
    return WorkingDays([CalendarYear(2030, state, "law", date(2024, 11, 10))], named, {"days.csv": str(named).encode()})


def monday_to_friday(day: date) -> WorkingDay:
    return WorkingDay(day, day.weekday() < 5, is_provisional=False)


@pytest.mark.parametrize(
    ("period", "due"),
    [
        ("2026-08", "2026-09-15"),  # a Tuesday
        ("2026-10", "2026-11-16"),  # the 15th is a Sunday
        ("2026-07", "2026-08-17"),  # the 15th is a Saturday
        ("2026-12", "2027-01-15"),
    ],
)
def test_a_statement_is_due_on_the_15th_or_the_next_working_day(period: str, due: str) -> None:
    assert due_date(Month.parse(period), monday_to_friday) == (date.fromisoformat(due), False)


def test_a_calendar_without_working_days_is_refused() -> None:
    with pytest.raises(Refused, match="no working day"):
        due_date(MONTH, lambda day: WorkingDay(day, is_working=False, is_provisional=False))


def test_a_due_date_is_provisional_where_a_day_on_the_way_is() -> None:
    def only(provisional: date) -> Callable[[date], WorkingDay]:
        return lambda day: WorkingDay(day, day > FIFTEENTH, day == provisional)

    assert due_date(MONTH, only(FIFTEENTH)) == (date(2030, 2, 16), True)
    assert due_date(MONTH, only(date(2030, 2, 17))) == (date(2030, 2, 16), False)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (DueDate(FIFTEENTH, is_provisional=True), DueDate(date(2030, 2, 18), is_provisional=False)),
        (DueDate(date(2030, 2, 18), is_provisional=True), DueDate(date(2030, 2, 18), is_provisional=False)),
        (DueDate(date(2030, 2, 20), is_provisional=True), DueDate(date(2030, 2, 20), is_provisional=False)),
        (DueDate(date(2030, 2, 20), is_provisional=False), None),
        (DueDate(FIFTEENTH, is_provisional=False), DueDate(date(2030, 2, 18), is_provisional=False)),
    ],
    ids=["later", "settled", "earlier: stays, settled", "earlier: stays", "a separate notice moves a settled one"],
)
def test_a_notice_moves_a_due_date_later_or_settles_it(before: DueDate, after: DueDate | None) -> None:
    noticed = calendar(YearState.PUBLISHED, feb15="a holiday")
    assert follow_due_date(before, MONTH, noticed.is_working_day) == after


def test_what_is_settled_never_becomes_provisional_again() -> None:
    doubted = calendar(YearState.STATUTORY)
    assert follow_due_date(DueDate(FIFTEENTH, is_provisional=False), MONTH, doubted.is_working_day) is None


def test_no_day_of_a_provisional_or_unknown_year_is_regular() -> None:
    thursday = date(2030, 2, 14)
    assert calendar(YearState.PUBLISHED).is_regular_day(thursday)
    assert not calendar(YearState.STATUTORY).is_regular_day(thursday)
    assert not calendar(YearState.PUBLISHED).is_regular_day(date(2031, 2, 13))


def test_the_notice_of_the_next_year_is_missing_from_december_on() -> None:
    known = calendar(YearState.PUBLISHED)
    assert known.published_until == date(2030, 12, 31)
    days = (date(2030, 11, 30), date(2030, 12, 1), date(2031, 1, 1))
    assert [known.is_notice_missing(day) for day in days] == [False, True, True]
    assert calendar(YearState.STATUTORY).is_notice_missing(date(2030, 3, 1))
