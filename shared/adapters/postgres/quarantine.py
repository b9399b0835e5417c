"""Sets aside single items of work that cannot be done, so that the next item is done.

One table in each schema that has background steps: a row names the step, the item, a reason from a closed list, and
when the item is tried again (after a minute, then doubling up to an hour, or at once on an operator's request). A row
is resolved in the transaction that does the item. While it is open it is an alarm.

An item whose content makes it impossible is set aside at its first attempt. One that fails otherwise, for a service or
the database may recover, is tried again at once; when that has gone on for PATIENCE_SECONDS it is set aside, too, and
tried again every minute. Until then its row is no alarm: its next attempt is at its last one.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import partial
from typing import Any, Final, Generic, TypeVar

import structlog
from sqlalchemy import (
    Column,
    ColumnElement,
    DateTime,
    Integer,
    MetaData,
    Row,
    Table,
    Text,
    any_,
    case,
    exists,
    func,
    literal,
    select,
    text,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared.adapters.postgres.faults import MOST_DETAIL, Fault, Reason, content_fault, describe, place_of
from shared.domain.times import shown_time

log = structlog.get_logger(__name__)
FIRST_PAUSE_SECONDS: Final = 60.0
MOST_PAUSE_SECONDS: Final = 3_600.0
"""A stored item does not change; what may change is the program, a limit, or another service's answer."""
PATIENCE_SECONDS: Final = 300.0
"""How long an item may fail for what is expected to pass, before it is set aside and named."""
MOST_FAILED: Final = 3
"""Items of a transaction that may fail for what is expected to pass, before the others wait, too."""
MOST_LISTED: Final = 1_000
"""Items that a list names; their count is exact."""
T = TypeVar("T")
R = TypeVar("R")


def set_aside_table(metadata: MetaData) -> Table:
    """The table as the queries see it; a migration of each schema is its definition."""
    return Table(
        "set_aside",
        metadata,
        Column("step", Text, primary_key=True),
        Column("item", Text, primary_key=True),
        Column("reason", Text),
        Column("detail", Text),
        Column("attempts", Integer),
        *(Column(name, DateTime(timezone=True)) for name in ("first_at", "last_at", "next_at", "resolved_at")),
    )


@dataclass(frozen=True, slots=True)
class Item(Generic[T]):
    """One piece of work: the step that does it, its name within the step, what is worked on, and where it belongs."""

    step: str
    name: str
    content: T
    place: Mapping[str, str | date | None] = field(default_factory=dict)


Note = Callable[[AsyncConnection, Item[Any], Fault], Awaitable[None]]
"""Writes down that an item is newly set aside, in the same transaction."""
Settle = Callable[[AsyncConnection, str, str], Awaitable[None]]
"""Writes down that the item of a step is done after all."""


async def _note_nothing(_: AsyncConnection, __: Item[T], ___: Fault) -> None:
    """No register."""


async def _settle_nothing(_: AsyncConnection, __: str, ___: str) -> None:
    """No register."""


class Quarantine:
    """The items of one schema's steps that are set aside."""

    def __init__(
        self, engine: AsyncEngine, table: Table, note: Note = _note_nothing, settle: Settle = _settle_nothing
    ) -> None:
        self._engine, self.table, self._note, self._settle = engine, table, note, settle

    def is_waiting(self, step: str, name: ColumnElement[str]) -> ColumnElement[bool]:
        """SQL condition: this item is set aside, and it is not time to try it again."""
        known = self.table.c
        is_open = (known.step == step) & (known.item == name) & known.resolved_at.is_(None)
        return exists().where(is_open, known.next_at > func.clock_timestamp())

    async def do(self, item: Item[T], work: Callable[[], Awaitable[int]]) -> int:
        """Do one item; 0 where it is set aside. Raises what is expected to pass."""
        try:
            return await work()
        except Exception as error:  # classified in one place; what is expected to pass goes on up
            async with self._engine.begin() as connection:
                is_aside = await self.fail(connection, item, error)
            if not is_aside:
                raise
        return 0

    async def do_all(
        self, items: Sequence[Item[T]], work: Callable[[AsyncConnection, Sequence[Item[T]]], Awaitable[int]]
    ) -> int:
        """Do items of one step in one transaction; where that fails, each in its own."""
        if not items:
            return 0
        try:
            return await self._do_together(items, work)
        except Exception as error:  # noqa: BLE001 - the items are done one by one, which finds the one at fault
            log.info("items are done one by one", step=items[0].step, error=describe(error))
        done, failed = 0, list[Exception]()
        for item in items:
            try:
                done += await self.do(item, partial(self._do_together, [item], work))
            except Exception as error:  # noqa: BLE001 - it holds up no other item; raised below
                failed.append(error)
                if len(failed) == MOST_FAILED:
                    break
        if failed:
            raise failed[0]
        return done

    async def _do_together(
        self, items: Sequence[Item[T]], work: Callable[[AsyncConnection, Sequence[Item[T]]], Awaitable[int]]
    ) -> int:
        async with self._engine.begin() as connection:
            done = await work(connection, items)
            await self.resolve(connection, items[0].step, [item.name for item in items])
        return done

    async def do_all_within(
        self,
        connection: AsyncConnection,
        items: Sequence[Item[T]],
        work: Callable[[Sequence[Item[T]]], Awaitable[R]],
    ) -> list[R]:
        """As `do_all`, within the caller's transaction; returns the results of what was done.

        Deferred constraints are checked with the items that they are about: at the commit, one would end it all.
        """
        if not items:
            return []
        try:
            return [await self._within(connection, items, work)]
        except Exception as error:  # noqa: BLE001 - the items are done one by one, which finds the one at fault
            log.info("items are done one by one", step=items[0].step, error=describe(error))
        results = []
        for item in items:
            try:
                results.append(await self._within(connection, [item], work))
            except Exception as error:  # noqa: BLE001 - noted; where the connection is gone that raises
                await self.fail(connection, item, error)
        return results

    async def _within(
        self, connection: AsyncConnection, items: Sequence[Item[T]], work: Callable[[Sequence[Item[T]]], Awaitable[R]]
    ) -> R:
        async with connection.begin_nested():
            result = await work(items)
            await self.resolve(connection, items[0].step, [item.name for item in items])
            await connection.execute(text("set constraints all immediate"))
        await connection.execute(text("set constraints all deferred"))
        return result

    async def read_waiting(self, connection: AsyncConnection, step: str) -> set[str]:
        """Names of the items of a step that are set aside, and that it is not time to try again."""
        known = self.table.c
        query = select(known.item).where(known.step == step, known.resolved_at.is_(None))
        return set((await connection.execute(query.where(known.next_at > func.clock_timestamp()))).scalars())

    async def read_due(self, connection: AsyncConnection, step: str) -> set[str]:
        """Names of the items of a step that are set aside, and that it is time to try again."""
        known = self.table.c
        query = select(known.item).where(known.step == step, known.resolved_at.is_(None))
        return set((await connection.execute(query.where(known.next_at <= func.clock_timestamp()))).scalars())

    async def fail(self, connection: AsyncConnection, item: Item[T], error: Exception) -> bool:
        """Note an attempt in vain; True where the item is set aside, False where it is to be tried again at once."""
        fault = content_fault(error)
        attempts = 1
        if fault is not None:
            attempts = await self.set_aside(connection, item, fault)
        else:
            said = describe(error)
            row = await self._note_failing(connection, item, said)
            if row.next_at == row.last_at:
                return False
            fault = Fault(Reason.UNANSWERED, f"{said}, again and again since {shown_time(row.first_at)}"[:MOST_DETAIL])
            if row.is_new:
                await self._note(connection, item, fault)
            attempts = row.attempts
        _log(item, fault, attempts, place_of(error))
        return True

    async def _note_failing(self, connection: AsyncConnection, item: Item[T], said: str) -> Row[Any]:
        """Write down an attempt that failed for what is expected to pass; `is_new`: the patience has just ended."""
        known, now = self.table.c, func.clock_timestamp()
        is_open, pause = known.resolved_at.is_(None), func.make_interval(0, 0, 0, 0, 0, 0, FIRST_PAUSE_SECONDS)
        patience = func.make_interval(0, 0, 0, 0, 0, 0, PATIENCE_SECONDS)
        is_aside = is_open & ((known.next_at > known.last_at) | (now - known.first_at >= patience))
        at = await connection.scalar(select(now))
        was_aside = select(known.next_at > known.last_at).where(known.step == item.step, known.item == item.name)
        is_new = not await connection.scalar(was_aside.where(is_open))
        row = {"step": item.step, "item": item.name, "reason": Reason.UNANSWERED.value, "detail": said}
        statement = insert(self.table).values(row | {"first_at": at, "last_at": at, "next_at": at})
        changes = {
            "reason": statement.excluded.reason,
            "detail": statement.excluded.detail,
            "attempts": case((is_open, known.attempts + 1), else_=1),
            "first_at": case((is_open, known.first_at), else_=at),
            "last_at": at,
            "next_at": case((is_aside, at + pause), else_=at),
            "resolved_at": None,
        }
        upsert = statement.on_conflict_do_update(index_elements=["step", "item"], set_=changes)
        columns = (known.attempts, known.first_at, known.last_at, known.next_at, literal(is_new).label("is_new"))
        return (await connection.execute(upsert.returning(*columns))).one()

    async def set_aside(self, connection: AsyncConnection, item: Item[T], fault: Fault) -> int:
        """Keep the item out of its step until it is time to try it again; returns how often it was tried in vain.

        The first time it is noted.
        """
        known, now = self.table.c, func.clock_timestamp()
        row = {"step": item.step, "item": item.name, "reason": fault.reason.value, "detail": fault.detail}
        statement = insert(self.table).values(row | {"next_at": now + _pause(literal(0))})
        is_open = known.resolved_at.is_(None)
        changes = {
            "reason": statement.excluded.reason,
            "detail": statement.excluded.detail,
            "attempts": case((is_open, known.attempts + 1), else_=1),
            "first_at": case((is_open, known.first_at), else_=now),
            "last_at": now,
            "next_at": now + _pause(case((is_open, known.attempts), else_=0)),
            "resolved_at": None,
        }
        upsert = statement.on_conflict_do_update(index_elements=["step", "item"], set_=changes)
        attempts: int = (await connection.execute(upsert.returning(known.attempts))).scalar_one()
        if attempts == 1:
            await self._note(connection, item, fault)
        return attempts

    async def resolve(self, connection: AsyncConnection, step: str, names: Sequence[str]) -> None:
        """Note, in the transaction that does the items, that none of them is set aside any more."""
        known = self.table.c
        chosen = known.item == any_(literal(list(names), ARRAY(Text)))
        statement = update(self.table).where(known.step == step, chosen, known.resolved_at.is_(None))
        done = statement.values(resolved_at=func.clock_timestamp()).returning(known.item)
        for name in (await connection.execute(done)).scalars().all():
            log.info("no longer set aside", step=step, item=name)
            await self._settle(connection, step, name)

    async def try_again(self, step: str | None = None, name: str | None = None) -> int:
        """Let what is set aside (of a step; one item) be tried at once; returns how many items."""
        known = self.table.c
        statement = update(self.table).where(known.resolved_at.is_(None)).values(next_at=func.clock_timestamp())
        if step is not None:
            statement = statement.where(known.step == step)
        if name is not None:
            statement = statement.where(known.item == name)
        async with self._engine.begin() as connection:
            return int((await connection.execute(statement)).rowcount)


def _log(item: Item[T], fault: Fault, attempts: int, where: str) -> None:
    said = {"step": item.step, "item": item.name, "reason": fault.reason.value, "detail": fault.detail}
    log.error("set aside", attempts=attempts, where=where, **said)


async def list_set_aside(connection: AsyncConnection, table: Table) -> list[dict[str, Any]]:
    """Open items, the oldest first, at most MOST_LISTED; `count_set_aside` knows how many there are."""
    query = select(table).where(_is_aside(table)).order_by(table.c.first_at, table.c.step, table.c.item)
    return [dict(row) for row in (await connection.execute(query.limit(MOST_LISTED))).mappings()]


async def page_set_aside(connection: AsyncConnection, table: Table, after: str, limit: int) -> list[dict[str, Any]]:
    """Open items by step and name, behind a cursor of `cursor_of_item`."""
    step, _, item = after.partition("/")
    query = select(table).where(_is_aside(table), tuple_(table.c.step, table.c.item) > (step, item))
    rows = await connection.execute(query.order_by(table.c.step, table.c.item).limit(limit))
    return [dict(row) for row in rows.mappings()]


def cursor_of_item(item: Mapping[str, Any]) -> str:
    """The cursor of a list of items behind this one."""
    return f"{item['step']}/{item['item']}"


async def count_set_aside(connection: AsyncConnection, table: Table) -> dict[str, int]:
    """Open items by step."""
    query = select(table.c.step, func.count()).where(_is_aside(table)).group_by(table.c.step)
    return {row[0]: row[1] for row in await connection.execute(query)}


def _is_aside(table: Table) -> ColumnElement[bool]:
    """Open, and not only failing for what is expected to pass."""
    return table.c.resolved_at.is_(None) & (table.c.next_at > table.c.last_at)


def _pause(attempts: ColumnElement[int]) -> ColumnElement[timedelta]:
    seconds = func.least(MOST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * func.power(2, func.least(attempts, 20)))
    return func.make_interval(0, 0, 0, 0, 0, 0, seconds)
