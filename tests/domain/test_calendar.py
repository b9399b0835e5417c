"""Days are cut at 00:00 in Shanghai; months; due dates; late fees."""

from datetime import UTC, date, datetime, timedelta, timezone
from fractions import Fraction
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.calendar import (
    SHANGHAI,
    Month,
    day_bounds,
    due_on,
    epoch_microseconds,
    insured_day,
    late_fee,
)
from shared.domain.errors import Refused
from shared.domain.money import Amount

offsets = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
instants = st.datetimes(datetime(2022, 1, 1), datetime(2099, 12, 31), timezones=offsets)  # noqa: DTZ001 - bounds
months = st.builds(Month, st.integers(1, 9_998), st.integers(1, 12))


@pytest.mark.parametrize(
    ("instant", "day"),
    [
        ("2026-10-01T00:00:00+08:00", "2026-10-01"),
        ("2026-10-31T23:59:59.999999+08:00", "2026-10-31"),
        ("2026-10-31T16:00:00Z", "2026-11-01"),
        ("2026-10-31T15:59:59.999999Z", "2026-10-31"),
        ("2026-10-31T12:00:00-05:00", "2026-11-01"),
    ],
)
def test_the_insured_day_is_the_date_in_shanghai(instant: str, day: str) -> None:
    assert insured_day(datetime.fromisoformat(instant)) == date.fromisoformat(day)


def test_a_time_without_an_offset_has_no_insured_day() -> None:
    with pytest.raises(ValueError, match="without an offset"):
        insured_day(datetime(2026, 10, 1))  # noqa: DTZ001 - what is refused


@given(instants)
def test_the_fixed_offset_is_what_the_time_zone_database_says(instant: datetime) -> None:
    assert instant.astimezone(SHANGHAI).date() == instant.astimezone(ZoneInfo("Asia/Shanghai")).date()


@given(instants)
def test_an_instant_lies_within_the_bounds_of_its_day(instant: datetime) -> None:
    start, end = day_bounds(insured_day(instant))
    assert start <= instant < end
    assert end - start == timedelta(days=1)


@given(instants)
def test_microseconds_are_exact(instant: datetime) -> None:
    assert datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=epoch_microseconds(instant)) == instant


@given(months)
def test_a_month_is_read_as_it_is_written(month: Month) -> None:
    assert Month.parse(str(month)) == month


@given(months)
def test_the_days_of_a_month_are_its_own(month: Month) -> None:
    days = list(month.days())
    assert days[0] == month.first_day
    assert days[-1] == month.last_day
    assert all(month.contains(day) and Month.of(day) == month for day in days)
    assert not month.contains(month.last_day + timedelta(days=1))
    assert len(days) in (28, 29, 30, 31)


@given(months.filter(lambda month: month < Month(9_998, 12)))
def test_the_next_month_begins_when_this_one_ends(month: Month) -> None:
    assert month < month.next()
    assert month.next().first_day == month.last_day + timedelta(days=1)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026",
        "2026-1",
        "2026-13",
        "2026-00",
        "0000-01",
        "26-10",
        "2026-10-01",
        "2026/10",
        "２０２６-10",
        "9999-01",
        " 2026-10",
        "-026-10",
    ],
)
def test_another_shape_of_month_is_refused(text: str) -> None:
    with pytest.raises(Refused, match="not a month"):
        Month.parse(text)


def monday_to_friday(day: date) -> bool:
    return day.weekday() < 5


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
    assert due_on(Month.parse(period), monday_to_friday) == date.fromisoformat(due)


def test_a_calendar_without_working_days_is_refused() -> None:
    with pytest.raises(Refused, match="no working day"):
        due_on(Month(2026, 10), lambda _: False)


DUE = date(2026, 11, 16)


@pytest.mark.parametrize(
    ("principal", "days", "fee"),
    [
        (1_000_000, -3, 0),
        (1_000_000, 0, 0),  # paid on the day it was due
        (1_000_000, 1, 500),  # 100.00 yuan: 0.05 yuan a day
        (1_000_000, 10, 5_000),
        (100, 1, 0),  # 0.01 yuan: 0.0005 fen
        (90_000, 1, 0),  # 9.00 yuan: 0.45 fen
        (99_999_900, 1, 50_000),  # 9,999.99 yuan: 499.9995 fen
        (100_000, 1, 100),  # 10.00 yuan: half a fen goes up
        (1_000_000, 1_999, 999_500),
        (1_000_000, 2_000, 1_000_000),
        (1_000_000, 20_000, 1_000_000),  # never more than the principal
        (0, 30, 0),
        (-1_000_000, 30, 0),  # an advance bears nothing
    ],
)
def test_late_fee(principal: int, days: int, fee: int) -> None:
    assert late_fee(Amount(principal), DUE, DUE + timedelta(days=days)) == fee


@given(st.integers(0, 10**12).map(lambda fen: Amount(fen * 100)), st.integers(0, 5_000))
def test_a_late_fee_is_within_half_a_fen_of_the_exact_one(principal: Amount, days: int) -> None:
    fee = late_fee(principal, DUE, DUE + timedelta(days=days))
    exact = min(Fraction(principal * days * 5, 10_000), Fraction(principal))
    assert abs(fee - exact) <= 50
    assert 0 <= fee <= principal
    assert fee % 100 == 0
