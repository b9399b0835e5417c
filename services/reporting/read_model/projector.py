"""The step that keeps the read model up to what was told, and the rebuild, which empties it and lets the step run."""

from datetime import date
from typing import Final

import msgspec
from sqlalchemy import ColumnElement, delete, exists, func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.reporting.read_model.projecting import project_day, project_statement
from services.reporting.read_model.tables import DAY_PROJECTED, PROJECTED, STATEMENT_SUM
from services.reporting.tables import DAY_CLOSED, DISCREPANCY_STANDING, STATEMENT_ISSUED
from shared.contracts.manifests import DayClosed, StatementIssued

STATEMENTS_A_STEP: Final = 500


class Projector:
    """Projects what is not projected, a transaction a day; it can be run at any time and beside another one."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def step(self) -> int:
        """Project the oldest day and some statements that are due; returns how many."""
        async with self._engine.begin() as connection:
            query = select(DAY_CLOSED.c.body).where(~_is_projected()).order_by(DAY_CLOSED.c.day).limit(1)
            body = await connection.scalar(query)
            days = 0 if body is None else await _project_day(connection, bytes(body))
        async with self._engine.begin() as connection:
            return days + await _project_statements(connection)

    async def rebuild(self) -> dict[str, int]:
        """Empty the model; what is due is then everything. Returns how many days and statements that is.

        Readers are not held up, and see the old model until it is empty; who projects waits. Where the findings stand
        is made anew at once: it is one statement.
        """
        async with self._engine.begin() as connection:
            await connection.execute(_ALONE)
            for table in PROJECTED:
                await connection.execute(delete(table))
            await connection.execute(delete(DISCREPANCY_STANDING))
            await connection.execute(_STAND)
        return await self.count_due()

    async def count_due(self) -> dict[str, int]:
        """How many closed days and statements there are, and how many of them are not in the model yet."""
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
         where not exists (select from reporting.day_projected p where p.day = d.day)) as due_days,
       (select count(*) from reporting.statement_issued) as statements,
       (select count(*) from reporting.statement_issued i
         where not exists (select from reporting.statement_sum s where s.statement_id = i.statement_id))
       as due_statements
""")


async def last_day(connection: AsyncConnection) -> date | None:
    """The newest closed day in the model."""
    found: date | None = await connection.scalar(select(func.max(DAY_PROJECTED.c.day)))
    return found


async def _project_day(connection: AsyncConnection, body: bytes) -> int:
    return int(await project_day(connection, msgspec.json.decode(body, type=DayClosed)))


async def _project_statements(connection: AsyncConnection) -> int:
    query = select(STATEMENT_ISSUED.c.body).where(~_is_summed()).order_by(STATEMENT_ISSUED.c.statement_id)
    bodies = (await connection.execute(query.limit(STATEMENTS_A_STEP))).scalars().all()
    for body in bodies:
        await project_statement(connection, msgspec.json.decode(bytes(body), type=StatementIssued))
    return len(bodies)


def _is_projected() -> ColumnElement[bool]:
    return exists().where(DAY_PROJECTED.c.day == DAY_CLOSED.c.day)


def _is_summed() -> ColumnElement[bool]:
    return exists().where(STATEMENT_SUM.c.statement_id == STATEMENT_ISSUED.c.statement_id)
