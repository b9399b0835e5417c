"""Send reports: several in flight, with identical bytes at each retry until there is an answer, within limits.

If the process dies after the platform took a report and before its receipt is kept, the same bytes go again under the
same key, and the same receipt comes back. A report that cannot be sent, or whose answer cannot be kept, is set aside.
"""

import asyncio
from dataclasses import replace
from functools import partial
from typing import Final

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.reporting.delivery import report_store
from services.reporting.delivery.report_store import DueReport
from services.reporting.metrics import Metrics
from services.reporting.register.discrepancies import Discrepancy, record, resolve_report
from services.reporting.register.set_aside import Step, open_quarantine
from shared.adapters.http.national_platform import Answer, NationalPlatform, NoAnswer, WrongReceipt
from shared.adapters.postgres.quarantine import Item
from shared.adapters.postgres.queries.storable_text import storable
from shared.contracts.findings import FindingKind
from shared.contracts.reports import EmployeeExclusion, Receipt, Refusal
from shared.runtime.periodic import end_tasks

log = structlog.get_logger(__name__)
IN_FLIGHT: Final = 4
"""Reports on their way at a time; fewer than the client has connections."""
MOST_RETRY_SECONDS: Final = 60.0
MOST_WORDS: Final = 2_000
"""Characters of a refusal that are kept."""


class Sender:
    """The step that sends what is due and notes what is answered."""

    def __init__(
        self, engine: AsyncEngine, platform: NationalPlatform, metrics: Metrics, attempts: int, retry_seconds: float
    ) -> None:
        self._engine = engine
        self._platform = platform
        self._metrics = metrics
        self._attempts, self._retry_seconds = attempts, retry_seconds
        self._quarantine = open_quarantine(engine)
        self._tasks: dict[str, asyncio.Task[int]] = {}

    async def step(self) -> int:
        """Fill up what is in flight and wait until one has an answer; returns how many are still under way or due."""
        async with self._engine.connect() as connection:
            room = IN_FLIGHT - len(self._tasks)
            due = await report_store.due_deliveries(connection, self._quarantine, set(self._tasks), room)
        for report in due:
            place = {name: getattr(report, name) for name in ("report_id", "period", "day", "province", "enterprise")}
            item = Item(Step.SEND_REPORT, report.report_id, report, place)
            work = self._quarantine.do(item, partial(self._send, report))
            self._tasks[report.report_id] = asyncio.create_task(work)
        if not self._tasks:
            return 0
        done, _ = await asyncio.wait(self._tasks.values(), return_when=asyncio.FIRST_COMPLETED)
        self._tasks = {report_id: task for report_id, task in self._tasks.items() if task not in done}
        failed = [error for task in done if (error := task.exception()) is not None]
        if failed:
            raise failed[0]
        return len(done)

    async def close(self) -> None:
        """Let go of what is under way; it is due again at the next start."""
        await end_tasks(self._tasks.values())

    async def _send(self, report: DueReport) -> int:
        answer = await self._platform.send(report.report_id, report.body)
        async with self._engine.begin() as connection:
            await self._note(connection, report, answer)
            await self._quarantine.resolve(connection, Step.SEND_REPORT, [report.report_id])
        return 1

    async def _note(self, connection: AsyncConnection, report: DueReport, answer: Answer) -> None:
        match answer:
            case Receipt():
                self._metrics.answers.labels("receipt").inc()
                await self._note_receipt(connection, report, answer)
            case Refusal():
                self._metrics.answers.labels("refusal").inc()
                detail = _cut(f"{answer.reason}: {answer.detail}")
                await report_store.note_attempt(connection, report.report_id, detail, state="refused")
                await self._record(connection, report, FindingKind.REFUSED, detail)
            case WrongReceipt(cause):
                self._metrics.answers.labels("wrong_receipt").inc()
                await self._record(connection, report, FindingKind.RECEIPT_MISMATCH, cause)
                await self._note_failure(connection, report, cause)
            case NoAnswer(cause):
                self._metrics.answers.labels("no_answer").inc()
                await self._note_failure(connection, report, cause)

    async def _note_receipt(self, connection: AsyncConnection, report: DueReport, receipt: Receipt) -> None:
        await report_store.keep_receipt(connection, receipt)
        await report_store.note_attempt(connection, report.report_id, None, state="received")
        mended = (FindingKind.REFUSED, FindingKind.UNDELIVERABLE, FindingKind.RECEIPT_MISMATCH)
        await resolve_report(connection, report.report_id, mended, f"receipt {receipt.receipt_id}")
        for exclusion in receipt.unconfirmed:
            await self._keep(connection, _unconfirmed(report, exclusion))

    async def _note_failure(self, connection: AsyncConnection, report: DueReport, cause: str) -> None:
        attempts = await report_store.note_attempt(connection, report.report_id, cause)
        log.warning("report has no receipt", report_id=report.report_id, cause=cause, attempts=attempts)
        if attempts >= self._attempts:
            await report_store.give_up(connection, report.report_id)
            detail = f"no answer after {attempts} attempts; the last: {cause}"
            await self._record(connection, report, FindingKind.UNDELIVERABLE, detail)
        else:
            await report_store.postpone(connection, report.report_id, pause_seconds(self._retry_seconds, attempts))

    async def _record(self, connection: AsyncConnection, report: DueReport, kind: FindingKind, detail: str) -> None:
        await self._keep(connection, _against(report, kind, detail))

    async def _keep(self, connection: AsyncConnection, discrepancy: Discrepancy) -> None:
        if await record(connection, discrepancy):
            self._metrics.discrepancies.labels(discrepancy.kind).inc()
            log.error("discrepancy", kind=discrepancy.kind, report_id=discrepancy.report_id, detail=discrepancy.detail)


def pause_seconds(first_seconds: float, attempts: int) -> float:
    """The pause after so many attempts: doubling from the first, never beyond MOST_RETRY_SECONDS."""
    return float(min(first_seconds * 2 ** min(attempts - 1, 20), MOST_RETRY_SECONDS)) if attempts > 0 else first_seconds


def _cut(said: str) -> str:
    """The platform's words as a column and a page can take them: no NUL, and at most MOST_WORDS."""
    plain = storable(said)
    return plain if len(plain) <= MOST_WORDS else f"{plain[:MOST_WORDS]} … ({len(plain)} characters)"


def _against(report: DueReport, kind: FindingKind, detail: str) -> Discrepancy:
    """A discrepancy of one report."""
    return Discrepancy(
        kind=kind,
        detail=detail,
        report_id=report.report_id,
        period=report.period,
        day=report.day,
        province=report.province,
        enterprise=report.enterprise,
    )


def _unconfirmed(report: DueReport, exclusion: EmployeeExclusion) -> Discrepancy:
    detail = (
        f"{exclusion.orders} orders of worker {exclusion.worker_id} were excluded under number "
        f"{exclusion.employer_insurance_no}, which the roster does not confirm"
    )
    named = {"worker_id": exclusion.worker_id, "employer_insurance_no": exclusion.employer_insurance_no}
    discrepancy = _against(report, FindingKind.UNCONFIRMED_EXCLUSION, detail)
    return replace(discrepancy, enterprise=exclusion.enterprise, count=exclusion.orders, evidence=named)
