"""Sets aside single items of work that their content makes impossible, so that the next item is done.

One table in each schema that has background steps: a row names the step, the item, a reason from a closed list, and
when the item is tried again (after a minute, then doubling up to an hour, or at once on an operator's request). A row
is resolved in the transaction that does the item. While it is open it is an alarm.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any, Final, Generic, TypeVar

import structlog
from sqlalchemy import (
    Column,
    ColumnElement,
    DateTime,
    Integer,
    MetaData,
    Table,
    Text,
    any_,
    case,
    exists,
    func,
    literal,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared.adapters.postgres.faults import Fault, content_fault, place_of

log = structlog.get_logger(__name__)
FIRST_PAUSE_SECONDS: Final = 60.0
MOST_PAUSE_SECONDS: Final = 3_600.0
"""A stored item does not change; what may change is the program, a limit, or another service's answer."""
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
        """Do one item; 0 where its content makes that impossible and it is set aside. Raises transient errors."""
        try:
            return await work()
        except Exception as error:  # classified in one place; what is transient goes on up
            fault = content_fault(error)
            if fault is None:
                raise
            where = place_of(error)
        async with self._engine.begin() as connection:
            attempts = await self.set_aside(connection, item, fault)
        _log(item, fault, attempts, where)
        return 0

    async def do_all(
        self, items: Sequence[Item[T]], work: Callable[[AsyncConnection, Sequence[Item[T]]], Awaitable[int]]
    ) -> int:
        """Do items of one step in one transaction; where their content makes that impossible, each in its own."""
        if not items:
            return 0
        try:
            return await self._do_together(items, work)
        except Exception as error:  # classified in one place; what is transient goes on up
            if content_fault(error) is None:
                raise
        return sum([await self.do(item, lambda item=item: self._do_together([item], work)) for item in items])  # type: ignore[misc]

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
        except Exception as error:  # classified in one place; what is transient goes on up
            if content_fault(error) is None:
                raise
        results = []
        for item in items:
            try:
                results.append(await self._within(connection, [item], work))
            except Exception as error:  # classified in one place; what is transient goes on up
                fault = content_fault(error)
                if fault is None:
                    raise
                attempts = await self.set_aside(connection, item, fault)
                _log(item, fault, attempts, place_of(error))
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
    """Open items, the oldest first, at most MOST_LISTED."""
    query = select(table).where(table.c.resolved_at.is_(None)).order_by(table.c.first_at, table.c.step, table.c.item)
    return [dict(row) for row in (await connection.execute(query.limit(MOST_LISTED))).mappings()]


async def count_set_aside(connection: AsyncConnection, table: Table) -> dict[str, int]:
    """Open items by step."""
    query = select(table.c.step, func.count()).where(table.c.resolved_at.is_(None)).group_by(table.c.step)
    return {row[0]: row[1] for row in await connection.execute(query)}


def _pause(attempts: ColumnElement[int]) -> ColumnElement[timedelta]:
    seconds = func.least(MOST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * func.power(2, func.least(attempts, 20)))
    return func.make_interval(0, 0, 0, 0, 0, 0, seconds)
