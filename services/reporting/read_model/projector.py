"""Project received messages into the read model; a rebuild empties the model and lets the step run."""

from collections.abc import Sequence
from datetime import date
from typing import Final

from sqlalchemy import ColumnElement, delete, exists, func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.reporting.kept_messages import (
    DAY_NAME,
    decode_day,
    decode_statement,
    due_statements,
    read_statement_items,
)
from services.reporting.read_model.projections import project_day, project_statement
from services.reporting.read_model.read_model_tables import DAY_PROJECTED, PROJECTED, STATEMENT_SUM
from services.reporting.register.set_aside import Step, open_quarantine
from services.reporting.tables import DAY_CLOSED, DISCREPANCY_STANDING, STATEMENT_ISSUED
from shared.adapters.postgres.quarantine import Item

STATEMENTS_A_STEP: Final = 500


class Projector:
    """Projects what is not projected, a transaction a day; it can run at any time and concurrently with another one.

    What cannot be projected is set aside, and the next one is projected.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine, self._quarantine = engine, open_quarantine(engine)

    async def step(self) -> int:
        """Project the oldest day and some statements that are due; returns how many were tried."""
        async with self._engine.connect() as connection:
            days, statements = await self._due_day(connection), await self._due_statements(connection)
        await self._quarantine.do_all(days, _project_days)
        await self._quarantine.do_all(statements, _project_statements)
        return len(days) + len(statements)

    async def _due_day(self, connection: AsyncConnection) -> list[Item[tuple[date, bytes]]]:
        is_waiting = self._quarantine.is_waiting(Step.PROJECT_DAY, DAY_NAME)
        columns = (DAY_CLOSED.c.day, DAY_NAME.label("name"), DAY_CLOSED.c.body)
        query = select(*columns).where(~_is_projected(), ~is_waiting).order_by(DAY_CLOSED.c.day).limit(1)
        rows = (await connection.execute(query)).all()
        return [Item(Step.PROJECT_DAY, row.name, (row.day, bytes(row.body)), {"day": row.day}) for row in rows]

    async def _due_statements(self, connection: AsyncConnection) -> list[Item[bytes]]:
        query = due_statements(self._quarantine, Step.PROJECT_STATEMENT, _is_summed()).limit(STATEMENTS_A_STEP)
        return await read_statement_items(connection, query, Step.PROJECT_STATEMENT)

    async def rebuild(self) -> dict[str, int]:
        """Empty the model; what is due is then everything. Returns how many days and statements that is.

        Readers are not held up, and see the old model until it is empty; who projects waits. The states of the
        findings are written again at once, in one statement.
        """
        async with self._engine.begin() as connection:
            await connection.execute(_ALONE)
            for table in PROJECTED:
                await connection.execute(delete(table))
            await connection.execute(delete(DISCREPANCY_STANDING))
            await connection.execute(_STAND)
        for step in (Step.PROJECT_DAY, Step.PROJECT_STATEMENT):
            await self._quarantine.try_again(step)
        return await self.count_due()

    async def count_due(self) -> dict[str, int]:
        """Count closed days and statements, and those that are neither in the model yet nor set aside."""
        async with self._engine.connect() as connection:
            row = (await connection.execute(_COUNTS)).mappings().one()
        return dict(row)


_ALONE: Final = text("""
lock table reporting.day_projected, reporting.statement_sum, reporting.discrepancy_standing
in share row exclusive mode
""")
"""Each transaction that projects begins with one of them, so none is half in the model when it is emptied."""
_STAND: Final = text("""
insert into reporting.discrepancy_standing (discrepancy_id, state_id, state, province, enterprise)
select distinct on (d.id) d.id, s.id, s.state, d.province, d.enterprise
from reporting.discrepancy d join reporting.discrepancy_state s on s.discrepancy_id = d.id order by d.id, s.id desc
""")
_COUNTS: Final = text("""
select (select count(*) from reporting.day_closed) as days,
       (select count(*) from reporting.day_closed d
         where not exists (select from reporting.day_projected p where p.day = d.day)
         and not exists (select from reporting.set_aside a where (a.step, a.item) = ('project_day', d.day::text)
                         and a.resolved_at is null and a.next_at > clock_timestamp())) as due_days,
       (select count(*) from reporting.statement_issued) as statements,
       (select count(*) from reporting.statement_issued i
         where not exists (select from reporting.statement_sum s where s.statement_id = i.statement_id)
         and not exists (select from reporting.set_aside a
                         where (a.step, a.item) = ('project_statement', i.statement_id)
                         and a.resolved_at is null and a.next_at > clock_timestamp()))
       as due_statements
""")


async def last_day(connection: AsyncConnection) -> date | None:
    """The newest closed day in the model."""
    day: date | None = await connection.scalar(select(func.max(DAY_PROJECTED.c.day)))
    return day


async def _project_days(connection: AsyncConnection, items: Sequence[Item[tuple[date, bytes]]]) -> int:
    for item in items:
        day, body = item.content
        await project_day(connection, decode_day(body, day))
    return len(items)


async def _project_statements(connection: AsyncConnection, items: Sequence[Item[bytes]]) -> int:
    for item in items:
        await project_statement(connection, decode_statement(item))
    return len(items)


def _is_projected() -> ColumnElement[bool]:
    return exists().where(DAY_PROJECTED.c.day == DAY_CLOSED.c.day)


def _is_summed() -> ColumnElement[bool]:
    return exists().where(STATEMENT_SUM.c.statement_id == STATEMENT_ISSUED.c.statement_id)
