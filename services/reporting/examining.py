"""Examining closed days, in their order, for the register: charging's findings, history, injuries, others' totals.

What is due is worked out from the tables. A day is examined in one transaction with the mark that it is; a day that
charging does not answer for waits, and those after it, for their history would have a hole.
"""

from collections.abc import Callable, Iterable
from datetime import date

import msgspec
import structlog
from sqlalchemy import exists, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.reporting.discrepancies import Discrepancy, record
from services.reporting.figures import judge, keep_figures, read_history
from services.reporting.injuries import check_injuries
from services.reporting.metrics import Metrics
from services.reporting.sources import Sources
from services.reporting.tables import DAY_CLOSED, DAY_EXAMINED
from services.reporting.totals import check_totals
from shared.contracts.findings import DayFindings
from shared.contracts.manifests import DayClosed

log = structlog.get_logger(__name__)


class Examiner:
    """The step, over one database and charging's API; `wait_days` is how long an injury's order may still come."""

    def __init__(
        self,
        engine: AsyncEngine,
        sources: Sources,
        metrics: Metrics,
        is_regular: Callable[[date], bool],
        wait_days: int,
    ) -> None:
        self._engine, self._sources, self._metrics = engine, sources, metrics
        self._is_regular, self._wait_days = is_regular, wait_days

    async def step(self) -> int:
        """Examine all that is due; returns how many days, notices and totals. Raises `Retry` where one has to wait."""
        examined = 0
        while (closed := await self._next_day()) is not None:
            await self._examine(closed, await self._sources.findings(closed.day))
            examined += 1
        async with self._engine.begin() as connection:
            examined += await check_totals(connection, self._record_all)
        return examined + await check_injuries(self._engine, self._sources, self._wait_days, self._record_all)

    async def _next_day(self) -> DayClosed | None:
        is_examined = exists().where(DAY_EXAMINED.c.day == DAY_CLOSED.c.day)
        query = select(DAY_CLOSED.c.body).where(~is_examined).order_by(DAY_CLOSED.c.day).limit(1)
        async with self._engine.connect() as connection:
            body = await connection.scalar(query)
        return None if body is None else msgspec.json.decode(body, type=DayClosed)

    async def _examine(self, closed: DayClosed, told: DayFindings) -> None:
        async with self._engine.begin() as connection:
            await keep_figures(connection, closed, told.delays)
            days, history = await read_history(connection, closed.day)
            await self._record_all(connection, map(Discrepancy.of, told.findings))
            await self._record_all(connection, judge(days, history, self._is_regular))
            row = {"day": closed.day, "findings": len(told.findings)}
            await connection.execute(insert(DAY_EXAMINED).values(row))

    async def _record_all(self, connection: AsyncConnection, found: Iterable[Discrepancy]) -> None:
        for each in found:
            if await record(connection, each):
                self._metrics.discrepancies.labels(each.kind).inc()
                log.warning("finding", kind=each.kind, key=each.key, count=each.count, detail=each.detail)
