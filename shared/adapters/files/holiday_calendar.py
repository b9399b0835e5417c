"""The working-day calendar as data files: which years are published, and the days that differ from their weekday.

`deploy/calendar/README.md` explains the columns. A year is loaded whole or the loading ends with a message that begins
with `file:line`. An edition is the two files: its name is what `sha256sum days.csv years.csv | sha256sum` prints.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from shared.adapters.files.csv import Record, read_records
from shared.domain.calendar import SHANGHAI
from shared.domain.errors import RefusedLine
from shared.domain.working_days import CalendarYear, Files, NamedDay, WorkingDays, YearState, is_weekday

YEARS: Final = "years.csv"
DAYS: Final = "days.csv"
CALENDAR_FILES: Final = (DAYS, YEARS)
FIRST_YEAR, LAST_YEAR = 2008, 2099
"""From the year in which the law got its eleven days to the end of the books' calendar."""
_DAYS_OFF_BY_LAW: Final = ((2025, 13), (2008, 11))
"""国令第795号, 国令第513号: days off a year, by first year. Weekdays off less weekends worked are as many."""


def load_calendar(directory: Path) -> WorkingDays:
    """Load the two files of a directory; raises `Refused`, nearly always `RefusedLine`.

    Refused are: a file that cannot be read; years with a gap or given twice; a day given twice, of a year that is not
    listed, or a worked weekday, which is none to be named; a year whose 1 January would be a working day; a year with
    fewer days off than the law gives, which is how a forgotten line shows. More of them are a warning: a worked weekend
    may be missing, or the notice gives one more.
    """
    years = _read_years(directory / YEARS)
    days = _read_days(directory / DAYS, years)
    named = {day.day: day for _, day in days.values()}
    loaded = [year for _, year in years.values()]
    notices = {year.notice for year in loaded if year.state is YearState.PUBLISHED}
    warnings = [warning for record, year in years.values() for warning in _check_year(record, year, named, notices)]
    files = {name: _read_file(directory / name) for name in CALENDAR_FILES}
    return WorkingDays(loaded, named.values(), files, warnings)


def load_edition(files: Files) -> WorkingDays:
    """Load an edition from its stored files, checked as those of a directory."""
    with TemporaryDirectory() as folder:
        for name in CALENDAR_FILES:
            (Path(folder) / name).write_bytes(files.get(name, b""))
        return load_calendar(Path(folder))


def _read_file(path: Path) -> bytes:
    """The bytes of a file of an edition; they are shown as text, so they have to be UTF-8."""
    try:
        content = path.read_bytes()
        content.decode()
    except (OSError, UnicodeDecodeError) as error:
        raise RefusedLine(str(path), 0, f"cannot be read: {error}") from error
    return content


def _read_years(path: Path) -> dict[int, tuple[Record, CalendarYear]]:
    years: dict[int, tuple[Record, CalendarYear]] = {}
    for record in read_records(path, ("year", "state", "notice", "published_on")):
        year = record.number("year", FIRST_YEAR, LAST_YEAR)
        if year in years:
            record.refuse(f"{year} is given twice, first in {years[year][0].place}")
        if years and year - 1 not in years:
            record.refuse(f"{year} does not follow the year before it: years come in order, without a gap")
        state, notice = record.choice("state", YearState), record.text("notice")
        years[year] = record, CalendarYear(year, state, notice, _day(record, "published_on"))
    if not years:
        raise RefusedLine(str(path), 0, "no year is given")
    return years


def _read_days(path: Path, years: Mapping[int, tuple[Record, CalendarYear]]) -> dict[date, tuple[Record, NamedDay]]:
    days: dict[date, tuple[Record, NamedDay]] = {}
    for record in read_records(path, ("day", "is_working", "name", "notice")):
        day = _day(record, "day")
        if day in days:
            record.refuse(f"{day} is given twice, first in {days[day][0].place}")
        if day.year not in years:
            record.refuse(f"{day.year} is not in {YEARS}")
        record.text("is_working")
        named = NamedDay(day, record.flag("is_working"), record.text("name"), record.text("notice"))
        if named.is_working and not named.is_exception:
            record.refuse(f"{day} is a weekday, which is worked anyway: only exceptions are named")
        days[day] = record, named
    return days


def _check_year(
    record: Record, year: CalendarYear, named: Mapping[date, NamedDay], notices: Collection[str]
) -> Iterable[str]:
    """Refuse a year that is not whole; yields a warning where it has more days off than the law gives."""
    new_year = date(year.year, 1, 1)
    if is_weekday(new_year) and new_year not in named:
        record.refuse(f"{new_year} is missing in {DAYS}: no year begins with a working day")
    if new_year in named and named[new_year].is_working:
        record.refuse(f"{new_year} is a working day in {DAYS}: no year begins with one")
    by_law = next(days for since, days in _DAYS_OFF_BY_LAW if year.year >= since)
    days_off, words = _days_off([day for day in named.values() if _belongs(day, year, notices)], year.state)
    if days_off < by_law:
        record.refuse(f"{year.year} is not whole in {DAYS}: {words}, the law gives {by_law} days off")
    if days_off > by_law:
        yield f"{record.place}: {words}, the law gives {by_law} days off: is a line missing in {DAYS}?"


def _belongs(day: NamedDay, year: CalendarYear, notices: Collection[str]) -> bool:
    """Whether a day is one of the year's notice, or lies in the year and is not another year's notice's."""
    return day.notice == year.notice or (day.day.year == year.year and day.notice not in notices)


def _days_off(days: Collection[NamedDay], state: YearState) -> tuple[int, str]:
    """Days off by the count of the law, and in words; swapping a weekday for a weekend keeps it."""
    if state is YearState.STATUTORY:
        named = sum(not day.is_working for day in days)
        return named, f"{named} named"
    swaps = Counter(day.is_working for day in days if day.is_exception)
    return swaps[False] - swaps[True], f"{swaps[False]} weekdays off and {swaps[True]} weekends worked"


def _day(record: Record, column: str) -> date:
    instant = record.instant(column).astimezone(SHANGHAI)
    if record.text(column) != str(instant.date()):
        record.refuse(f"{column} is not a date: {record.text(column)!r}")
    return instant.date()
