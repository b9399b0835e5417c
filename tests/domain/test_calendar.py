"""Days are cut at 00:00 in Shanghai; months; due dates; late fees."""

from datetime import UTC, date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.calendar import (
    SHANGHAI,
    Month,
    day_bounds,
    insured_day,
    since_epoch_us,
)
from shared.domain.errors import Refused

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
    assert datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=since_epoch_us(instant)) == instant


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


DUE = date(2026, 11, 16)
