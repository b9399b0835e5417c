"""Verify due dates: each follows from the edition of the working-day calendar that it names."""

import csv
from collections.abc import Mapping, Sequence
from typing import TypedDict

from services.verify.verdict import NotProved
from shared.domain.calendar import Month
from shared.domain.times import read_day
from shared.domain.working_days import (
    CalendarYear,
    DueDate,
    NamedDay,
    WorkingDays,
    YearState,
    due_date,
    follow_due_date,
)


class ShownDueDate(TypedDict):
    """A due date of the statement, and the edition of the calendar that gives it."""

    due_on: str
    due_on_is_provisional: bool
    calendar: str


def check_due_dates(
    shown_dates: Sequence[ShownDueDate], period: Month, calendars: Mapping[str, Mapping[str, str]]
) -> DueDate:
    """Work out the due dates, as issued and after each change, with their editions; returns the last."""
    known: DueDate | None = None
    for shown in shown_dates:
        calendar = _read_edition(calendars[shown["calendar"]])
        if calendar.edition != shown["calendar"]:
            raise NotProved("due date", f"the files of the calendar {shown['calendar']} have another name")
        if known is None:
            worked_out = due_date(period, calendar.is_working_day)
        else:
            worked_out = follow_due_date(known, period, calendar.is_working_day) or known
        known = DueDate(read_day(shown["due_on"]), shown["due_on_is_provisional"])
        if known != worked_out:
            raise NotProved("due date", f"the statement says {known.due_on}, the calendar gives {worked_out.due_on}")
    if known is None:
        raise NotProved("due date", "the statement has none")
    return known


def _read_edition(files: Mapping[str, str]) -> WorkingDays:
    years = [
        CalendarYear(int(row["year"]), YearState(row["state"]), row["notice"], read_day(row["published_on"]))
        for row in _rows(files["years.csv"])
    ]
    days = [
        NamedDay(read_day(row["day"]), row["is_working"] == "true", row["name"], row["notice"])
        for row in _rows(files["days.csv"])
    ]
    return WorkingDays(years, days, {name: text.encode() for name, text in files.items()})


def _rows(text: str) -> list[dict[str, str]]:
    rows = csv.DictReader(text.removeprefix("\ufeff").splitlines())
    return [{name: value.strip() for name, value in row.items()} for row in rows]
