"""Working days in China, with the holidays and the shifted days that the State Council sets."""

import logging
from datetime import date
from functools import lru_cache

import chinese_calendar

_log = logging.getLogger(__name__)
_SATURDAY = 5


def is_working_day(day: date) -> bool:
    """Whether offices work on that day.

    The calendar knows the years for which the State Council has named the holidays, which it does one year
    ahead. For any other year Monday to Friday count, and a warning is logged, once for each year and process:
    a due date in such a year must be checked again when the calendar has been renewed.
    """
    if not _knows(day.year):
        return day.weekday() < _SATURDAY
    return bool(chinese_calendar.is_workday(day))


def is_regular_day(day: date) -> bool:
    """Whether a day is what its weekday says: no holiday, and no weekend that was made a working day."""
    return is_working_day(day) == (day.weekday() < _SATURDAY)


@lru_cache(maxsize=256)
def _knows(year: int) -> bool:
    """Whether the calendar has the year; cached, so that the warning comes once."""
    try:
        chinese_calendar.is_workday(date(year, 1, 1))
    except NotImplementedError:
        _log.warning("no holidays are known for %d: Monday to Friday are taken as working days", year)
        return False
    return True
