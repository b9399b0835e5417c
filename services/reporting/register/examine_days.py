"""Examine closed days, in their order, for the register: charging's findings, history, injuries, others' totals.

What is due is worked out from the tables. A day is examined in one transaction with the mark that it is. Days are
examined in their order, for each is judged by those before it: while charging does not answer, a day waits and those
after it, for as long as the quarantine is patient. A day that charging never answers, or that cannot be examined (it
does not know it, or its figures are absurd), is set aside by name; later days are judged by a history in which it is
missing, which `unbuildable` says.
"""

from collections.abc import Awaitable, Callable, Iterable
from datetime import date
from functools import partial

import structlog
from sqlalchemy import exists
from sqlalchemy.dialects.postgresql import insert as insert_once
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.reporting.kept_messages import due_days, read_closed_day
from services.reporting.metrics import Metrics
from services.reporting.register.discrepancies import Discrepancy, record, resolve
from services.reporting.register.independent_totals import check_totals
from services.reporting.register.injuries import check_injuries
from services.reporting.register.set_aside import Step, open_quarantine
from services.reporting.register.volume_checks import judge, keep_figures, read_history
from services.reporting.service_clients import Sources
from services.reporting.tables import DAY_CLOSED, DAY_EXAMINED
from shared.adapters.postgres.quarantine import Item
from shared.contracts.findings import DayFindings, Finding, FindingKind
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
        progressed: Callable[[], None] = lambda: None,
    ) -> None:
        self._engine = engine
        self._sources = sources
        self._metrics = metrics
        self._is_regular = is_regular
        self._wait_days = wait_days
        self._progressed = progressed
        self._quarantine = open_quarantine(engine)

    async def step(self) -> int:
        """Examine all that is due; returns how many days, notices and totals. What has to wait raises in the end."""
        done = 0
        failed: list[Exception] = []
        parts: tuple[Callable[[], Awaitable[int]], ...] = (
            self._examine_days,
            lambda: check_totals(self._engine, self._quarantine, self._record_all),
            lambda: check_injuries(
                self._engine, self._quarantine, self._sources, self._wait_days, self._record_all, self._progressed
            ),
        )
        for part in parts:
            try:
                done += await part()
            except Exception as error:  # noqa: BLE001 - one part that has to wait holds up no other; raised below
                failed.append(error)
        if failed:
            raise failed[0]
        return done

    async def _examine_days(self) -> int:
        is_examined = exists().where(DAY_EXAMINED.c.day == DAY_CLOSED.c.day)
        async with self._engine.connect() as connection:
            days = await due_days(connection, self._quarantine, Step.EXAMINE_DAY, is_examined)
        for item in days:
            await self._quarantine.do(item, partial(self._examine, item))
            self._progressed()
        return len(days)

    async def _examine(self, item: Item[date]) -> int:
        day = item.content
        async with self._engine.connect() as connection:
            closed = await read_closed_day(connection, day)
        answer = await self._sources.findings(day)
        async with self._engine.begin() as connection:
            row = {"day": day, "findings": len(answer.findings)}
            mark = insert_once(DAY_EXAMINED).values(row).on_conflict_do_nothing().returning(DAY_EXAMINED.c.day)
            if await connection.scalar(mark) is not None:  # else another process was quicker
                await self._judge(connection, closed, answer)
            await self._quarantine.resolve(connection, item.step, [item.name])
        return 1

    async def _judge(self, connection: AsyncConnection, closed: DayClosed, answer: DayFindings) -> None:
        await keep_figures(connection, closed, answer.delays)
        days, history = await read_history(connection, closed.day)
        for finding in answer.findings:
            if _is_settled(finding):
                await resolve(connection, finding.kind, finding.key, finding.detail)
        left = [finding for finding in answer.findings if not _is_settled(finding)]
        await self._record_all(connection, map(Discrepancy.of, left))
        await self._record_all(connection, judge(days, history, self._is_regular))

    async def _record_all(self, connection: AsyncConnection, discrepancies: Iterable[Discrepancy]) -> None:
        for discrepancy in discrepancies:
            if await record(connection, discrepancy):
                self._metrics.discrepancies.labels(discrepancy.kind).inc()
                log.warning(
                    "finding",
                    kind=discrepancy.kind,
                    key=discrepancy.key,
                    count=discrepancy.count,
                    detail=discrepancy.detail,
                )


def _is_settled(finding: Finding) -> bool:
    """Whether charging names it as over: its numbers came, or no order is outside the declaration any more."""
    return finding.is_settled or (finding.kind is FindingKind.OUTSIDE_DECLARATION and not finding.count)
