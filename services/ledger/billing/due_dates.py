"""Keep due dates: the editions of the calendar that they rest on, and what a later edition changes about them.

If the process dies here: one transaction; started again it does the rest. A due date moves later or is settled, and
never comes earlier.
"""

from collections.abc import Iterator
from datetime import date
from typing import Final

import structlog
from msgspec import Struct
from sqlalchemy import func, insert, select
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.dialects.postgresql import insert as insert_once
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.ledger import tables
from services.ledger.books.open_days import ledger_lock
from shared.domain.calendar import Month
from shared.domain.errors import Refused
from shared.domain.working_days import DueDate, WorkingDays, follow_due_date

log = structlog.get_logger(__name__)
SUBJECT: Final = "calendar"

_change, _statement = tables.due_date_change.c, tables.statement.c
_LATEST: Final = (
    select(_change.statement_id, _change.due_on, _change.due_on_is_provisional)
    .ext(distinct_on(_change.statement_id))
    .order_by(_change.statement_id, _change.change_id.desc())
    .subquery("latest_due_date")
)
WITH_DUE_DATES: Final = tables.statement.outerjoin(_LATEST, _LATEST.c.statement_id == _statement.statement_id)
"""Statements with their newest due date: select from this join."""
DUE_ON: Final = func.coalesce(_LATEST.c.due_on, _statement.due_on).label("due_on_now")
IS_PROVISIONAL: Final = func.coalesce(_LATEST.c.due_on_is_provisional, _statement.due_on_is_provisional).label(
    "is_provisional_now"
)


class _Known(Struct, frozen=True):
    """The due date of a statement that was worked out with another edition."""

    statement_id: str
    period: str
    due_on: date
    is_provisional: bool


async def store_edition(connection: AsyncConnection, calendar: WorkingDays) -> None:
    """Store the edition with its files, once: statements refer to it."""
    row = {"edition": calendar.edition, "subject": SUBJECT}
    new = insert_once(tables.edition).values(row).on_conflict_do_nothing().returning(tables.edition.c.edition)
    if await connection.scalar(new) is not None:
        files = [{"edition": calendar.edition, "name": name, "content": data} for name, data in calendar.files.items()]
        await connection.execute(insert(tables.edition_file), files)
        log.info("calendar stored", edition=calendar.edition, published_until=str(calendar.published_until))


async def adopt_calendar(engine: AsyncEngine, calendar: WorkingDays) -> int:
    """Store the edition and apply it to due dates of earlier ones; returns how many it moved later or settled."""
    async with ledger_lock(engine) as connection:
        await store_edition(connection, calendar)
        is_applied = select(_change.change_id).where(
            _change.statement_id == _statement.statement_id, _change.calendar == calendar.edition
        )
        query = select(_statement.statement_id, _statement.period, DUE_ON, IS_PROVISIONAL).select_from(WITH_DUE_DATES)
        rows = await connection.execute(query.where(_statement.calendar != calendar.edition, ~is_applied.exists()))
        changes = list(_changes(calendar, [_Known(*row) for row in rows]))
        if changes:
            await connection.execute(insert(tables.due_date_change), changes)
            log.info("due dates moved later or settled", statements=len(changes), edition=calendar.edition)
    return len(changes)


def _changes(calendar: WorkingDays, statements: list[_Known]) -> Iterator[dict[str, str | date | bool]]:
    """Rows for what this edition changes; nothing where it would come earlier, or where it lacks the year."""
    for known in statements:
        try:
            before = DueDate(known.due_on, known.is_provisional)
            changed = follow_due_date(before, Month.parse(known.period), calendar.is_working_day)
            notice = calendar.notice_of(known.due_on)
        except Refused:
            continue
        if changed is not None:
            yield {
                "statement_id": known.statement_id,
                "calendar": calendar.edition,
                "due_on": changed.due_on,
                "due_on_is_provisional": changed.is_provisional,
                "notice": notice,
            }
