"""Computes from the books what is due: days to close, a month to bill, late fees to book.

Nothing is remembered outside the books, so it can die and be run again at any time; it calls what a command calls.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Final

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from services.ledger.billing.issue_statements import (
    issue_set_aside,
    issue_statements,
    read_first_unbilled,
)
from services.ledger.billing.late_fees import book_late_fees
from services.ledger.books.clocks import BOUND, CONSEQUENCE, Clocks
from services.ledger.books.open_days import read_books
from services.ledger.books.set_aside import Step, open_quarantine
from services.ledger.close.close_day import close_day
from shared.adapters.postgres.faults import describe, place_of
from shared.adapters.postgres.quarantine import Item
from shared.domain.calendar import insured_day
from shared.domain.working_days import WorkingDays

log = structlog.get_logger(__name__)
TICK_SECONDS: Final = 15.0
"""Pause between two checks of the clock."""


async def do_due_duties(
    engine: AsyncEngine,
    as_of: datetime,
    close_after_hours: int,
    calendar: WorkingDays,
    clocks: Clocks = BOUND,
) -> list[str]:
    """Do it, as of an aware instant, and say what was done. One day is closed at a time; its end wakes the next.

    Nothing is done as of an instant that has not come by the `clocks`. A duty that fails holds up no other: the rest
    is done, then the first failure is raised.
    """
    if reason := await clocks.object_to(engine, as_of):
        log.error("clocks_disagree: nothing is done", reason=reason)
        return []
    done, failed = await _do_duties(engine, as_of, close_after_hours, calendar)
    if failed:
        raise failed[0]
    return done


async def do_duties_now(
    engine: AsyncEngine, close_after_hours: int, calendar: WorkingDays, wake: Callable[[], None], clocks: Clocks
) -> None:
    """The clock's only use: do what is due now, unless other clocks say another time; it is tried again then."""
    async with engine.connect() as connection:
        if disagreement := await clocks.disagree(connection):
            log.error("clocks_disagree", reason=disagreement, consequence=CONSEQUENCE)
            return
    done, failed = await _do_duties(engine, clocks.now(), close_after_hours, calendar)
    if done:
        log.info("scheduler", done=done)
        wake()
    if failed:
        raise failed[0]


async def _do_duties(
    engine: AsyncEngine, as_of: datetime, close_after_hours: int, calendar: WorkingDays
) -> tuple[list[str], list[Exception]]:
    """Do the duties; returns what was done, and errors. A duty that fails for long, or for its content, is an alarm."""
    duties: dict[str, Callable[[], Awaitable[list[str]]]] = {
        "close": lambda: _close(engine, as_of, close_after_hours),
        "bill": lambda: _bill(engine, as_of, calendar),
        "bill what was set aside": lambda: _bill_again(engine, as_of, calendar),
        "late fees": lambda: _book_fees(engine, as_of),
    }
    done: list[str] = []
    failed: list[Exception] = []
    quarantine = open_quarantine(engine)
    for name, duty in duties.items():
        try:
            done += await duty()
            async with engine.begin() as connection:
                await quarantine.resolve(connection, Step.DUTY, [name])
        except Exception as error:  # noqa: BLE001 - on any error the other duties are done; raised by the callers
            log.warning("duty failed", duty=name, error=describe(error), where=place_of(error))
            failed.append(error)
            async with engine.begin() as connection:
                await quarantine.fail(connection, Item(Step.DUTY, name, None), error)
    return done, failed


async def _close(engine: AsyncEngine, as_of: datetime, close_after_hours: int) -> list[str]:
    async with engine.connect() as connection:
        books = await read_books(connection)
    if books.closing is not None:
        return []
    closed = await close_day(engine, books.first_open, as_of, close_after_hours)
    # Another process may have been quicker since the books were read: then there is a reason, and nothing was done.
    return [f"close {books.first_open}"] if closed.state == "closing" and closed.reason is None else []


async def _bill(engine: AsyncEngine, as_of: datetime, calendar: WorkingDays) -> list[str]:
    async with engine.connect() as connection:
        books = await read_books(connection)
        period = await read_first_unbilled(connection, books)
    if books.first_open <= period.last_day:
        return []
    issued = await issue_statements(engine, period, as_of, calendar)
    return [f"bill {period}: {issued.state}"]


async def _bill_again(engine: AsyncEngine, as_of: datetime, calendar: WorkingDays) -> list[str]:
    issued = await issue_set_aside(engine, as_of, calendar)
    return [f"statements no longer set aside: {issued}"] if issued else []


async def _book_fees(engine: AsyncEngine, as_of: datetime) -> list[str]:
    """Late fees are booked up to the day before: the day of `as_of` has not ended, and money may still come."""
    fees = await book_late_fees(engine, insured_day(as_of) - timedelta(days=1))
    return [f"late fees: {fees.booked}"] if fees.booked else []
