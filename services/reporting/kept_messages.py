"""Read the closed days and statements that reporting keeps as they were published, as items of a step."""

from datetime import date
from typing import Final

import msgspec
from sqlalchemy import ColumnElement, Select, Text, cast, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.reporting.tables import DAY_CLOSED, STATEMENT_ISSUED
from shared.adapters.postgres.quarantine import Item, Quarantine
from shared.contracts.manifests import DayClosed, StatementIssued
from shared.domain.errors import Refused

DAY_NAME: Final = cast(DAY_CLOSED.c.day, Text)
"""The name of a closed day as an item of a step."""
StatementQuery = Select[str, str, str, str, bytes]
"""Selects id, period, province, enterprise and message of kept statements."""


async def due_days(
    connection: AsyncConnection, quarantine: Quarantine, step: str, is_done: ColumnElement[bool]
) -> list[Item[date]]:
    """Closed days that a step has not done, oldest first, without those that are set aside.

    The database names them: the first and the last day of the calendar are infinite to it.
    """
    is_waiting = quarantine.is_waiting(step, DAY_NAME)
    query = select(DAY_CLOSED.c.day, DAY_NAME.label("name")).where(~is_done, ~is_waiting).order_by(DAY_CLOSED.c.day)
    rows = (await connection.execute(query)).all()
    return [Item(step, row.name, row.day, {"day": row.day}) for row in rows]


async def read_closed_day(connection: AsyncConnection, day: date) -> DayClosed:
    """A closed day out of the message that is kept; raises where that is none."""
    rows = await connection.execute(select(DAY_CLOSED.c.body).where(DAY_CLOSED.c.day == day))
    return decode_day(rows.scalar_one(), day)


def decode_day(body: bytes, day: date) -> DayClosed:
    """The closed day of a kept message; raises `Refused` where the message is about another day."""
    closed = msgspec.json.decode(body, type=DayClosed)
    if closed.day != day:
        raise Refused(f"the message is about {closed.day}")
    return closed


def decode_statement(item: Item[bytes]) -> StatementIssued:
    """The statement of a kept message; raises `Refused` where the message is about another statement."""
    issued = msgspec.json.decode(item.content, type=StatementIssued)
    if issued.statement_id != item.name:
        raise Refused("the message is about another statement")
    return issued


def due_statements(quarantine: Quarantine, step: str, is_done: ColumnElement[bool]) -> StatementQuery:
    """Statements that a step has not done, in the order of their ids, without those that are set aside."""
    own = STATEMENT_ISSUED.c
    is_waiting = quarantine.is_waiting(step, own.statement_id)
    query = select(own.statement_id, own.period, own.province, own.enterprise, own.body)
    return query.where(~is_done, ~is_waiting).order_by(own.statement_id)


async def read_statement_items(connection: AsyncConnection, query: StatementQuery, step: str) -> list[Item[bytes]]:
    """Kept statements as items of a step: the message of each, and where it belongs."""
    return [
        Item(step, statement_id, bytes(body), {"period": period, "province": province, "enterprise": enterprise})
        for statement_id, period, province, enterprise, body in await connection.execute(query)
    ]
