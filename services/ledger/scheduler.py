"""What is due, worked out from the books: days to close, a month to bill, late fees to book.

Nothing is remembered outside the books, so it can die and be run again at any time; it calls what a command calls.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from services.ledger.books import read_books
from services.ledger.close_day import close_day
from services.ledger.issue_statement import IsWorkingDay, issue_statements, read_first_unbilled
from services.ledger.late_fees import book_late_fees
from shared.domain.calendar import insured_day
from shared.runtime.clock import now

log = structlog.get_logger(__name__)
TICK_SECONDS: Final = 15.0
"""Pause between two looks at the clock."""


async def do_what_is_due(
    engine: AsyncEngine, as_of: datetime, close_after_hours: int, is_working_day: IsWorkingDay
) -> list[str]:
    """Do it, as of an aware instant, and say what was done. One day is closed at a time; the next tick takes the next.

    Late fees are booked up to the day before: the day of `as_of` has not ended, and money may still come.
    """
    done = []
    async with engine.connect() as connection:
        books = await read_books(connection)
        period = await read_first_unbilled(connection, books)
    if books.closing is None:
        closed = await close_day(engine, books.first_open, as_of, close_after_hours)
        # Another process may have been quicker since the books were read: then there is a reason, and nothing was done.
        done += [f"close {books.first_open}"] if closed.state == "closing" and closed.reason is None else []
    if books.first_open > period.last_day:
        issued = await issue_statements(engine, period, as_of, is_working_day)
        done += [f"bill {period}: {issued.state}"]
    fees = await book_late_fees(engine, insured_day(as_of) - timedelta(days=1))
    done += [f"late fees: {fees.booked}"] if fees.booked else []
    return done


async def keep_time(
    engine: AsyncEngine, close_after_hours: int, is_working_day: IsWorkingDay, wake: Callable[[], None]
) -> None:
    """The clock's only use: do what is due now."""
    if done := await do_what_is_due(engine, now(), close_after_hours, is_working_day):
        log.info("scheduler", done=done)
        wake()
