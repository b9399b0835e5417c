"""Building what is due: a day's reports for each province it says anything about, a declaration for each statement.

What is due is worked out from the tables, so this step can be run at any time and as often as one likes. A province's
reports of a day are written in one transaction with the mark that they are; a province whose tokens cannot be
fetched now waits, and is built by a later step.
"""

from collections.abc import Callable
from datetime import date

import msgspec
import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from services.reporting import store
from services.reporting.discrepancies import Discrepancy, record
from services.reporting.documents import Prepared, coverage_report, declaration_report, registration_reports
from services.reporting.metrics import Metrics
from services.reporting.sources import Sources
from shared.contracts.findings import FindingKind
from shared.contracts.manifests import DayClosed, StatementIssued
from shared.contracts.reports import EmployeeExclusion
from shared.domain.coverage import Coverage, build_coverage
from shared.domain.errors import Refused, Retry
from shared.domain.rating import ExclusionReason

log = structlog.get_logger(__name__)


class Builder:
    """The step, over one database and the other services' APIs."""

    def __init__(
        self,
        engine: AsyncEngine,
        sources: Sources,
        metrics: Metrics,
        most_tokens: int,
        progressed: Callable[[], None] = lambda: None,
    ) -> None:
        self._engine, self._sources, self._metrics = engine, sources, metrics
        self._most_tokens, self._progressed = most_tokens, progressed

    async def step(self) -> int:
        """Build all that is due; returns how many reports. Raises `Retry` in the end when a day has to wait."""
        built = await self._build_declarations()
        async with self._engine.connect() as connection:
            bodies = await store.unbuilt_days(connection)
        waiting: list[Retry] = []
        for body in bodies:
            try:
                built += await self._build_day(msgspec.json.decode(body, type=DayClosed))
            except Retry as error:
                waiting.append(error)
            else:
                self._progressed()
        if waiting:
            self._metrics.build_failures.inc()
            raise waiting[0]
        return built

    async def _build_declarations(self) -> int:
        async with self._engine.begin() as connection:
            bodies = await store.undeclared_statements(connection)
            statements = [msgspec.json.decode(body, type=StatementIssued) for body in bodies]
            added = await store.add_reports(connection, map(declaration_report, statements))
        return self._count(added)

    async def _build_day(self, closed: DayClosed) -> int:
        """A day that no report can hold is a discrepancy, and holds up no other day."""
        try:
            coverages = build_coverage(closed.day, closed.totals, closed.workers, closed.first_time)
        except Refused as error:
            log.exception("a closed day cannot be reported", day=str(closed.day))
            async with self._engine.begin() as connection:
                await record(connection, Discrepancy(kind=FindingKind.UNBUILDABLE, day=closed.day, detail=str(error)))
            return 0
        async with self._engine.connect() as connection:
            done = await store.built_provinces(connection, closed.day)
        added = 0
        for coverage in coverages:
            if coverage.province not in done:
                added += await self._build_province(coverage)
        async with self._engine.begin() as connection:
            await store.mark_day_built(connection, closed.day)
        return added

    async def _build_province(self, coverage: Coverage) -> int:
        day, province = coverage.day, coverage.province
        employees = await self._employees(coverage)
        workers = await self._sources.registrations(day, province) if coverage.first_time_workers else []
        reports: list[Prepared] = [
            coverage_report(coverage, employees),
            *registration_reports(day, province, workers, self._most_tokens),
        ]
        async with self._engine.begin() as connection:
            added = await store.add_reports(connection, reports)
            await store.mark_province_built(connection, day, province)
            if len(workers) != coverage.first_time_workers:
                await record(connection, _other_count(day, province, coverage.first_time_workers, len(workers)))
        return self._count(added)

    async def _employees(self, coverage: Coverage) -> list[EmployeeExclusion]:
        """Asked for only where the day's own exclusions name the reason; late ones are not told worker by worker."""
        reason = ExclusionReason.INSURED_AS_EMPLOYEE
        if any(each.reason == reason and each.insured_on == coverage.day for each in coverage.exclusions):
            return await self._sources.employee_exclusions(coverage.day, coverage.province)
        return []

    def _count(self, kinds: list[str]) -> int:
        for kind in kinds:
            self._metrics.built.labels(kind).inc()
        return len(kinds)


def _other_count(day: date, province: str, counted: int, listed: int) -> Discrepancy:
    return Discrepancy(
        kind=FindingKind.REGISTRATION_COUNT,
        day=day,
        province=province,
        declared=str(counted),
        reported=str(listed),
        detail="workers charged for the first time: as counted at the close, and as listed",
    )
