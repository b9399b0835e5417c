"""Holds the times that the ledger is given against a second clock, so that nothing is booked before its time.

What is closed, billed or assessed is never taken back. So the time for which it is done, and the day on which money is
said to have come, must have come by the database's clock, too; and while this process, the database and the broker
differ by more than a span about the time, nothing is done by the clock.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.ledger.books.open_days import read_books
from shared.adapters.kafka.internal.record_clock import RecordClock
from shared.domain.calendar import day_bounds
from shared.domain.times import shown_time
from shared.intake.time_bounds import SPAN, TimeBounds
from shared.runtime import clock

CONSEQUENCE: Final = "nothing is closed, billed or assessed until they agree"


@dataclass(frozen=True, slots=True)
class Clocks:
    """The clocks that a time is held against: the database's, and what the records of other services say."""

    span: timedelta = SPAN
    records: Sequence[RecordClock] = ()
    now: Callable[[], datetime] = clock.now

    async def object_to(self, engine: AsyncEngine, as_of: datetime) -> str | None:
        """Say why nothing is done as of an instant that has not come yet by the database's clock; None if it has."""
        async with engine.connect() as connection:
            at = await _read_database(connection)
        if as_of <= at + self.span:
            return None
        return f"{shown_time(as_of)} has not come yet: the database's clock says {shown_time(at)}"

    async def object_to_day(self, engine: AsyncEngine, day: date) -> str | None:
        """Say why nothing is done up to the end of a day that is not over by the database's clock; None if it is."""
        async with engine.connect() as connection:
            at = await _read_database(connection)
        if day_bounds(day)[1] <= at + self.span:
            return None
        return f"{day} is not over: the database's clock says {shown_time(at)}"

    async def read_bounds(self, connection: AsyncConnection) -> TimeBounds:
        """The bounds of dates that others send."""
        return TimeBounds((await read_books(connection)).opened_on, await _read_database(connection), self.span)

    async def disagree(self, connection: AsyncConnection) -> str | None:
        """Say which clocks differ by more than the span; None while they agree."""
        at = await _read_database(connection)
        ours = self.now()
        if abs(ours - at) > self.span:
            return f"this process's clock says {shown_time(ours)}, the database's {shown_time(at)}"
        for record_clock in self.records:
            shown = record_clock.read(time.monotonic())
            if shown is not None and (shown[0] - at > self.span or at - shown[1] > self.span):
                return f"new records of the broker say {shown_time(shown[0])}, the database's clock {shown_time(at)}"
        return None


BOUND: Final = Clocks()
"""The database's clock with the default span."""


async def _read_database(connection: AsyncConnection) -> datetime:
    at: datetime = (await connection.execute(select(func.clock_timestamp()))).scalar_one()
    return at
