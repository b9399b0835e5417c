"""Working days in China, and the due dates that follow from them, by a calendar of dated years. Pure.

A year is published (the State Council has named its holidays and worked weekends) or statutory (only the days that the
law itself fixes are known, so each answer about it is provisional). Of any other year nothing is known.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from hashlib import sha256
from typing import Final, NamedTuple

from shared.domain.calendar import Month
from shared.domain.errors import Refused

DUE_DAY: Final = 15
"""Day of the next month on which a statement is due; no text read gives one, this is our default."""

NOTICE_DUE_MONTH: Final = 12
"""From the first day of this month on, the next year's notice is missing: the latest one came on 8 December."""

Files = Mapping[str, bytes]
"""The files of an edition by name."""

_LONGEST_HOLIDAY_DAYS: Final = 31
_SATURDAY: Final = 5


class YearState(StrEnum):
    """What is known of a year's holidays."""

    PUBLISHED = "published"
    STATUTORY = "statutory"


@dataclass(frozen=True, slots=True)
class CalendarYear:
    """A year with the notice that its state rests on."""

    year: int
    state: YearState
    notice: str
    published_on: date


@dataclass(frozen=True, slots=True)
class NamedDay:
    """A day that a notice or the law names: a holiday, or a weekend that is worked."""

    day: date
    is_working: bool
    name: str
    notice: str

    @property
    def is_exception(self) -> bool:
        """Whether it differs from its weekday."""
        return self.is_working != is_weekday(self.day)


class WorkingDay(NamedTuple):
    """Whether offices work on the day; provisional while the notice of its year is missing."""

    day: date
    is_working: bool
    is_provisional: bool


class DueDate(NamedTuple):
    """Last day to pay; provisional while a notice may still move it."""

    due_on: date
    is_provisional: bool


class WorkingDays:
    """One edition of the calendar: its files as they are stored, and what they say.

    `edition` is the name of the files, by which statements refer to them; `warnings` holds what is odd but no reason to
    refuse.
    """

    def __init__(
        self, years: Iterable[CalendarYear], days: Iterable[NamedDay], files: Files, warnings: Iterable[str] = ()
    ) -> None:
        self.files = files
        self.edition = name_edition(files)
        self.warnings = tuple(warnings)
        self._years = {year.year: year for year in years}
        self._days = {day.day: day for day in days}

    def is_working_day(self, day: date) -> WorkingDay:
        """Whether offices work on that day; raises `Refused` for a year that the calendar does not have."""
        year = self._year_of(day)
        named = self._days.get(day)
        is_working = is_weekday(day) if named is None else named.is_working
        return WorkingDay(day, is_working, year.state is YearState.STATUTORY)

    def is_regular_day(self, day: date) -> bool:
        """Whether a day is known to be what its weekday says: False for a holiday, and where nobody knows it yet."""
        try:
            answer = self.is_working_day(day)
        except Refused:
            return False
        return not answer.is_provisional and answer.is_working == is_weekday(day)

    def notice_of(self, day: date) -> str:
        """The notice that says what the day is; raises `Refused` for a year that the calendar does not have."""
        named = self._days.get(day)
        return self._year_of(day).notice if named is None else named.notice

    @property
    def published_until(self) -> date:
        """Last day of the published years that follow each other from the first one."""
        year = min(self._years)
        while year in self._years and self._years[year].state is YearState.PUBLISHED:
            year += 1
        return date(year - 1, 12, 31)

    def is_notice_missing(self, today: date) -> bool:
        """Whether today's year is not published, or from 1 December on the next one's."""
        needed = today.year + 1 if today.month >= NOTICE_DUE_MONTH else today.year
        return self.published_until.year < needed

    def _year_of(self, day: date) -> CalendarYear:
        year = self._years.get(day.year)
        if year is None:
            raise Refused(
                f"no working days are known for {day.year}: its lines are missing in the calendar's years.csv"
            )
        return year


def name_edition(files: Files) -> str:
    """Name of an edition: SHA-256 of the list of its files' hashes, as `sha256sum FILES | sha256sum` prints it."""
    lines = (f"{sha256(files[name]).hexdigest()}  {name}\n" for name in sorted(files))
    return sha256("".join(lines).encode()).hexdigest()


def is_weekday(day: date) -> bool:
    """True from Monday to Friday."""
    return day.weekday() < _SATURDAY


def due_date(period: Month, is_working_day: Callable[[date], WorkingDay]) -> DueDate:
    """The 15th of the month after the period, or the next working day; `Refused` where no line says what a day is."""
    first = period.next().first_day.replace(day=DUE_DAY)
    is_provisional = False
    for later in range(_LONGEST_HOLIDAY_DAYS + 1):
        answer = is_working_day(first + timedelta(days=later))
        is_provisional |= answer.is_provisional
        if answer.is_working:
            return DueDate(answer.day, is_provisional)
    raise Refused(f"no working day within {_LONGEST_HOLIDAY_DAYS} days of {first.isoformat()}")


def follow_due_date(before: DueDate, period: Month, is_working_day: Callable[[date], WorkingDay]) -> DueDate | None:
    """What another calendar makes of a due date: moved later, or settled; None where it stays, also if earlier."""
    worked_out = due_date(period, is_working_day)
    after = DueDate(max(before.due_on, worked_out.due_on), before.is_provisional and worked_out.is_provisional)
    return None if after == before else after
