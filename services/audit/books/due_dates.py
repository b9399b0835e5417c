"""Check due dates: each is worked out again with the edition of the calendar that it names, never with today's."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date

from msgspec import Struct

from services.audit.verdict import Check, Verdict
from shared.adapters.files.holiday_calendar import load_edition
from shared.adapters.postgres.pool import Connection
from shared.adapters.postgres.typed_rows import fetch_structs
from shared.domain.calendar import Month
from shared.domain.errors import Refused
from shared.domain.working_days import DueDate, WorkingDays, due_date, follow_due_date

DueDates = Mapping[str, Sequence[DueDate]]
"""The due dates of each statement in order: as issued, then each change; the last one holds."""


class StatementRow(Struct, frozen=True):
    """A row of `ledger.statement`."""

    statement_id: str
    enterprise: str
    province: str
    period: str
    orders: int
    exact_amount: int
    amount: int
    due_on: date
    due_on_is_provisional: bool
    calendar: str


class _ChangeRow(Struct, frozen=True):
    """A row of `ledger.due_date_change`."""

    change_id: int
    statement_id: str
    calendar: str
    due_on: date
    due_on_is_provisional: bool
    notice: str


class _FileRow(Struct, frozen=True):
    """A row of `ledger.edition_file`."""

    edition: str
    name: str
    content: bytes


async def check_due_dates(connection: Connection, statements: Sequence[StatementRow], verdict: Verdict) -> DueDates:
    """Check issued due dates and what later editions changed about them; returns them as they are stored."""
    check = verdict.check("I4", "each due date is that of the calendar edition which the statement names")
    calendars = await _read_calendars(connection, check)
    known: dict[str, list[DueDate]] = {}
    periods = {row.statement_id: Month.parse(row.period) for row in statements}
    for row in statements:
        stored = DueDate(row.due_on, row.due_on_is_provisional)
        known[row.statement_id] = [stored]
        with _finding(check, f"ledger.statement {row.statement_id}, due on"):
            issued = due_date(periods[row.statement_id], calendars[row.calendar].is_working_day)
            check.compare(f"ledger.statement {row.statement_id}, due on", tuple(stored), tuple(issued))
    query = "select * from ledger.due_date_change order by change_id"
    for change in await fetch_structs(connection, _ChangeRow, query):
        name, before = f"ledger.due_date_change {change.change_id} of {change.statement_id}", known[change.statement_id]
        stored = DueDate(change.due_on, change.due_on_is_provisional)
        with _finding(check, name):
            calendar = calendars[change.calendar]
            after = follow_due_date(before[-1], periods[change.statement_id], calendar.is_working_day)
            worked_out = (*(after or before[-1]), calendar.notice_of(before[-1].due_on))
            check.compare(name, (*stored, change.notice), worked_out)
        before.append(stored)
    return known


@contextmanager
def _finding(check: Check, name: str) -> Iterator[None]:
    """Add a finding where the edition is not there, or does not have the year; the next statement is checked."""
    try:
        yield
    except (KeyError, Refused) as error:
        check.find(f"{name}: cannot be worked out: {error}")


async def _read_calendars(connection: Connection, check: Check) -> dict[str, WorkingDays]:
    """Load each stored edition; one that does not load, or has another name than its files, is a finding."""
    files: dict[str, dict[str, bytes]] = defaultdict(dict)
    for row in await fetch_structs(connection, _FileRow, "select edition, name, content from ledger.edition_file"):
        files[row.edition][row.name] = row.content
    calendars = {}
    for edition in [row["edition"] for row in await connection.fetch("select edition from ledger.edition")]:
        try:
            calendars[edition] = load_edition(files[edition])
        except Refused as error:
            check.find(f"ledger.edition {edition} does not load: {error}")
            continue
        check.compare(f"ledger.edition {edition}", edition, calendars[edition].edition)
    return calendars
