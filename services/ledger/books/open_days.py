"""Which days of the books are open, who may write to them, and how far each run is booked."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import msgspec
import structlog
from msgspec import Struct
from pydantic import JsonValue
from sqlalchemy import func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.ledger import tables
from shared.contracts.manifests import DayClosing
from shared.domain.errors import Retry

log = structlog.get_logger(__name__)

# The runs are found by skipping through the key, so this costs as much as there are runs, not manifests.
_BOOKED_THROUGH = text("""
with recursive known(run) as (
    (select run from ledger.manifest_booked order by run limit 1)
    union all
    select (select m.run from ledger.manifest_booked m where m.run > known.run order by m.run limit 1)
    from known where known.run is not null)
select run, (select max(number) from ledger.manifest_booked m where m.run = known.run) as number
from known where run is not null
""")


@dataclass(frozen=True, slots=True)
class Closing:
    """A day whose cut is frozen and that is not closed yet; `attempt` is the latest."""

    day: date
    attempt: int
    cut: dict[str, int]
    previous_cut: dict[str, int]
    as_of: datetime
    requested_at: datetime

    def question(self, attempt: int) -> DayClosing:
        """The question to charging in this attempt; every attempt has the same cut."""
        return DayClosing(day=self.day, attempt=attempt, cut=self.cut, previous_cut=self.previous_cut)


@dataclass(frozen=True, slots=True)
class Books:
    """The state of the days. Days before `first_open` are closed; the one being closed is `first_open`."""

    opened_on: date
    last_closed: date | None
    closing: Closing | None

    @property
    def first_open(self) -> date:
        """The oldest day that is not closed."""
        return self.last_closed + timedelta(days=1) if self.last_closed else self.opened_on

    @property
    def oldest_open_day(self) -> date:
        """The oldest day that takes postings: a day whose cut is frozen takes none from outside the cut."""
        return self.first_open + timedelta(days=1) if self.closing else self.first_open


@asynccontextmanager
async def ledger_lock(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """A transaction that holds the turn: booking, closing, billing and settling never overlap."""
    async with engine.begin() as connection:
        await connection.execute(select(tables.turn.c.one).with_for_update())
        yield connection


async def open_books(engine: AsyncEngine, opened_on: date) -> None:
    """Write down when the books begin; books that are open already stay as they are."""
    async with engine.begin() as connection:
        row = {"one": True, "opened_on": opened_on}
        await connection.execute(insert(tables.books).values(row).on_conflict_do_nothing())
        known = await connection.scalar(select(tables.books.c.opened_on))
    if known != opened_on:
        log.info("the books are open already", opened_on=str(known))


async def read_books(connection: AsyncConnection) -> Books:
    """The state of the days as this transaction sees it."""
    opened_on = await connection.scalar(select(tables.books.c.opened_on))
    if opened_on is None:
        raise Retry("the books are not open yet")
    last_closed = await connection.scalar(select(func.max(tables.day_closed.c.day)))
    closing = tables.day_closing
    query = select(closing).order_by(closing.c.day.desc(), closing.c.attempt.desc()).limit(1)
    row = (await connection.execute(query)).one_or_none()
    if row is None or (last_closed is not None and row.day <= last_closed):
        return Books(opened_on, last_closed, None)
    latest = Closing(row.day, row.attempt, row.cut, row.previous_cut, row.as_of, row.requested_at)
    return Books(opened_on, last_closed, latest)


async def read_booked_through(connection: AsyncConnection) -> dict[str, int]:
    """Each run with the last number booked; what is booked of a run has no gap."""
    rows = await connection.execute(_BOOKED_THROUGH)
    return {row.run: row.number for row in rows}


async def write_to_outbox(connection: AsyncConnection, topic: str, key: str, message: Struct) -> None:
    """Write a message to the outbox, in the transaction of the facts that it publishes."""
    payload = msgspec.json.encode(message)
    await connection.execute(tables.outbox.insert().values(topic=topic, key=key, payload=payload))


def as_json(message: Struct) -> dict[str, JsonValue]:
    """The message as JSON's own types, as it is published."""
    values: dict[str, JsonValue] = msgspec.to_builtins(message)
    return values
