"""Build the reports that are due: one per day and province with figures, and a declaration per statement.

What is due is worked out from the tables, so this step can be run at any time and as often as one likes. A province's
reports of a day are written in one transaction with the mark that they are; a province whose tokens cannot be
fetched now waits, and is built by a later step. A day or statement whose content cannot be built is set aside.
"""

from collections.abc import Callable, Sequence
from datetime import date
from functools import partial
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.reporting.delivery import report_store
from services.reporting.delivery.documents import PreparedReport, coverage_report, filing_report, registration_reports
from services.reporting.kept_messages import decode_statement, read_closed_day
from services.reporting.metrics import Metrics
from services.reporting.register.discrepancies import Discrepancy, record
from services.reporting.register.figure_bounds import check_day, check_statement
from services.reporting.register.set_aside import open_quarantine
from services.reporting.service_clients import Sources
from shared.adapters.postgres.faults import Fault, ItemFault, content_fault
from shared.adapters.postgres.quarantine import Item
from shared.contracts.findings import FindingKind
from shared.contracts.reports import EmployeeExclusion
from shared.domain.books.coverage import Coverage, build_coverage
from shared.domain.errors import Retry
from shared.domain.scheme.rating import ExclusionReason

MOST_UNANSWERED: Final = 3
"""Days of a step, and provinces of a day, that may wait for an answer before the rest waits for the next step."""


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
        self._engine = engine
        self._sources = sources
        self._metrics = metrics
        self._most_tokens, self._progressed = most_tokens, progressed
        self._quarantine = open_quarantine(engine)

    async def step(self) -> int:
        """Build all that is due; returns how many reports. Raises `Retry` in the end when a day has to wait."""
        async with self._engine.connect() as connection:
            statements = await report_store.unfiled_statements(connection, self._quarantine)
            days = await report_store.unbuilt_days(connection, self._quarantine)
        built = await self._quarantine.do_all(statements, self._build_declarations)
        waiting: list[Retry] = []
        for item in days:
            try:
                built += await self._quarantine.do(item, partial(self._build_day, item))
            except Retry as error:
                waiting.append(error)
                if len(waiting) == MOST_UNANSWERED:
                    break
            else:
                self._progressed()
        if waiting:
            self._metrics.build_failures.inc()
            raise waiting[0]
        return built

    async def _build_declarations(self, connection: AsyncConnection, items: Sequence[Item[bytes]]) -> int:
        return self._count(await report_store.add_reports(connection, [_filing(item) for item in items]))

    async def _build_day(self, item: Item[date]) -> int:
        day = item.content
        async with self._engine.connect() as connection:
            closed = await read_closed_day(connection, day)
            done = await report_store.built_provinces(connection, day)
        check_day(closed)
        coverages = build_coverage(day, closed.totals, closed.workers, closed.first_time)
        added = await self._build_provinces([coverage for coverage in coverages if coverage.province not in done])
        async with self._engine.begin() as connection:
            await report_store.mark_day_built(connection, day)
            await self._quarantine.resolve(connection, item.step, [item.name])
        return added

    async def _build_provinces(self, coverages: Sequence[Coverage]) -> int:
        """Build every province that can be built; then raise what kept the others from it, transient errors first."""
        added = 0
        waiting: list[Exception] = []
        faults: list[Fault] = []
        for coverage in coverages:
            try:
                added += await self._build_province(coverage)
            except Exception as error:  # noqa: BLE001 - classified in one place; raised below
                fault = content_fault(error)
                if fault is None:
                    waiting.append(error)
                    if len(waiting) == MOST_UNANSWERED:
                        break
                else:
                    faults.append(Fault(fault.reason, f"province {coverage.province}: {fault.detail}"))
        if waiting:
            raise waiting[0]
        if faults:
            raise ItemFault(Fault(faults[0].reason, "; ".join(fault.detail for fault in faults)))
        return added

    async def _build_province(self, coverage: Coverage) -> int:
        day, province = coverage.day, coverage.province
        employees = await self._employees(coverage)
        workers = await self._sources.registrations(day, province) if coverage.first_time_workers else []
        reports: list[PreparedReport] = [
            coverage_report(coverage, employees),
            *registration_reports(day, province, workers, self._most_tokens),
        ]
        async with self._engine.begin() as connection:
            added = await report_store.add_reports(connection, reports)
            await report_store.mark_province_built(connection, day, province)
            if len(workers) != coverage.first_time_workers:
                await record(connection, _other_count(day, province, coverage.first_time_workers, len(workers)))
        return self._count(added)

    async def _employees(self, coverage: Coverage) -> list[EmployeeExclusion]:
        """Query them only where the day's own exclusions name the reason; late ones are not reported by worker."""
        reason = ExclusionReason.INSURED_AS_EMPLOYEE
        if any(
            exclusion.reason == reason and exclusion.insured_on == coverage.day for exclusion in coverage.exclusions
        ):
            return await self._sources.employee_exclusions(coverage.day, coverage.province)
        return []

    def _count(self, kinds: list[str]) -> int:
        for kind in kinds:
            self._metrics.built.labels(kind).inc()
        return len(kinds)


def _filing(item: Item[bytes]) -> PreparedReport:
    statement = decode_statement(item)
    check_statement(statement)
    return filing_report(statement)


def _other_count(day: date, province: str, counted: int, listed: int) -> Discrepancy:
    return Discrepancy(
        kind=FindingKind.REGISTRATION_COUNT,
        day=day,
        province=province,
        declared=str(counted),
        reported=str(listed),
        detail="workers charged for the first time: as counted at the close, and as listed",
    )
