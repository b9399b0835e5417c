"""Sends a question to charging that has no answer again, unchanged: a count is the same each time."""

import time
from collections.abc import Callable
from datetime import date

from sqlalchemy.ext.asyncio import AsyncEngine

from services.ledger.books.open_days import read_books
from services.ledger.close.close_day import read_waited_seconds, repeat_question
from services.ledger.close.compare_count import latest_differences


async def find_overdue(engine: AsyncEngine, timeout_seconds: float) -> tuple[date, int] | None:
    """Day and attempt that have waited for a count for longer than the time-out."""
    async with engine.connect() as connection:
        closing = (await read_books(connection)).closing
        if closing is None or await latest_differences(connection, closing):
            return None
        waited = await read_waited_seconds(connection, closing.day, closing.attempt)
    return (closing.day, closing.attempt) if waited >= timeout_seconds else None


class CloseRetry:
    """Sends the question again each time the time-out has passed once more."""

    def __init__(self, engine: AsyncEngine, timeout_seconds: float, wake: Callable[[], None]) -> None:
        self._engine = engine
        self._timeout = timeout_seconds
        self._wake = wake
        self._sent: tuple[date, int] | None = None
        self._sent_at = 0.0

    async def check(self) -> None:
        """Publish the question again if its answer is overdue."""
        overdue = await find_overdue(self._engine, self._timeout)
        if overdue is None or (overdue == self._sent and time.monotonic() - self._sent_at < self._timeout):
            return
        if await repeat_question(self._engine, overdue):
            self._sent, self._sent_at = overdue, time.monotonic()
            self._wake()
