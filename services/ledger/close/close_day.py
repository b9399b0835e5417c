"""Close a day in three steps: freeze a cut and query charging, compare the answer, record the day as closed.

If the process dies here: the frozen cut, every answer and the closed day are each one transaction with the message
that publishes it, so the close continues from the last of them; a question without an answer is sent again.
"""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Literal

import structlog
from sqlalchemy import func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.ledger import tables
from services.ledger.books.open_days import (
    Books,
    Closing,
    as_json,
    ledger_lock,
    read_booked_through,
    read_books,
    write_to_outbox,
)
from services.ledger.close.compare_count import latest_differences, read_closed
from shared.adapters.postgres.decisions import Decision
from shared.contracts.manifests import DayClosing
from shared.contracts.topics import DAYS_CLOSING, DAYS_COUNTED
from shared.domain.calendar import day_start
from shared.domain.times import shown_time

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class CloseResult:
    """Result of a request to close: `closing` waits for charging's count, `refused` changed nothing."""

    state: Literal["closing", "closed", "refused"]
    reason: str | None = None


async def close_day(
    engine: AsyncEngine, day: date, as_of: datetime, close_after_hours: int, decision: Decision | None = None
) -> CloseResult:
    """Freeze the day's cut and request charging to count it; `as_of` is aware and decides whether it is time.

    Only the oldest open day, not before it has ended `close_after_hours` after it began. A day that is closed or
    is being closed stays as it is; one whose last count differed, or was refused, gets another attempt on the same cut.
    The attempt refers to the decision; one that the clock starts has none.
    """
    async with ledger_lock(engine) as connection:
        books = await read_books(connection)
        if answer := _objection(books, day, as_of, close_after_hours):
            return answer
        if books.closing is None:
            return await _freeze(connection, books, day, as_of, decision)
        return await _ask_again(connection, books.closing, as_of, decision)


def _objection(books: Books, day: date, as_of: datetime, close_after_hours: int) -> CloseResult | None:
    if day < books.opened_on:
        return CloseResult("refused", f"the books begin on {books.opened_on}")
    if day < books.first_open:
        return CloseResult("closed", f"{day} is closed already")
    if day > books.first_open:
        return CloseResult("refused", f"{books.first_open} has to be closed first")
    due = day_start(day) + timedelta(hours=close_after_hours)
    if as_of < due:
        return CloseResult("refused", f"{day} can be closed from {shown_time(due)} on")
    return None


async def _freeze(
    connection: AsyncConnection, books: Books, day: date, as_of: datetime, decision: Decision | None
) -> CloseResult:
    cut = await read_booked_through(connection)
    previous = await read_closed(connection, books.last_closed) if books.last_closed else None
    await _request(connection, DayClosing(day=day, attempt=1, cut=cut, previous_cut=previous or {}), as_of, decision)
    return CloseResult("closing")


async def _ask_again(
    connection: AsyncConnection, closing: Closing, as_of: datetime, decision: Decision | None
) -> CloseResult:
    why = "the last count differed"
    if not await latest_differences(connection, closing):
        if not await _has_refused_answer(connection, closing):
            return CloseResult("closing", f"{closing.day} is being closed already, attempt {closing.attempt}")
        why = "an answer was refused"
    await _request(connection, closing.question(closing.attempt + 1), as_of, decision)
    return CloseResult("closing", f"attempt {closing.attempt + 1}: {why}")


async def _has_refused_answer(connection: AsyncConnection, closing: Closing) -> bool:
    """Whether an answer was quarantined since the attempt was requested."""
    kept = tables.refused_message.c
    query = select(kept.refused_id).where(kept.topic == DAYS_COUNTED, kept.received_at >= closing.requested_at)
    return await connection.scalar(query.limit(1)) is not None


async def _request(connection: AsyncConnection, wish: DayClosing, as_of: datetime, decision: Decision | None) -> None:
    decision_id = None if decision is None else decision.decision_id
    row = {**as_json(wish), "day": wish.day, "as_of": as_of, "decision_id": decision_id}
    await connection.execute(insert(tables.day_closing).values(row))
    await write_to_outbox(connection, DAYS_CLOSING, wish.day.isoformat(), wish)
    log.info("day is being closed", day=str(wish.day), attempt=wish.attempt, runs=len(wish.cut))


async def repeat_question(engine: AsyncEngine, attempt: tuple[date, int]) -> bool:
    """Publish the question of an attempt again, unchanged, if it still waits for its answer."""
    async with ledger_lock(engine) as connection:
        closing = (await read_books(connection)).closing
        if closing is None or (closing.day, closing.attempt) != attempt:
            return False
        if await latest_differences(connection, closing):
            return False
        await write_to_outbox(connection, DAYS_CLOSING, closing.day.isoformat(), closing.question(closing.attempt))
    log.warning("close_overdue: question sent again", day=str(attempt[0]), attempt=attempt[1])
    return True


async def read_waited_seconds(connection: AsyncConnection, day: date, attempt: int) -> float:
    """Read how long ago the attempt was first requested, by the database's clock."""
    closing = tables.day_closing.c
    query = select(func.extract("epoch", func.now() - closing.requested_at)).where(
        closing.day == day, closing.attempt == attempt
    )
    return float(await connection.scalar(query) or 0)
