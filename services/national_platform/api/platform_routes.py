"""The national platform's HTTP interface: which callers it admits, and what each may see."""

import asyncio
from collections.abc import Collection
from dataclasses import dataclass
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Depends, HTTPException, Query, Request
from fastapi.responses import JSONResponse, Response
from sqlalchemy.ext.asyncio import AsyncEngine

from services.national_platform.fault_knobs import FaultKnobs
from services.national_platform.metrics import Metrics
from services.national_platform.reports import report_store
from services.national_platform.reports.reception import Reception, Taken
from services.national_platform.reports.reconciliation import reconcile
from services.national_platform.reports.report_store import Delivery
from services.national_platform.witnessing.witness import read_witness_alarms, read_witnessed
from shared.contracts.reports import Reconciliation, Refusal, ReportId
from shared.runtime.access import FULL, AccessKeys, Reader, sha256_hex
from shared.runtime.http.answers import cut_page
from shared.runtime.http.gate import Caller
from shared.runtime.http.types import AnyDay, AnyPeriod, AnyProvince, PathPeriod

REPORTER: Final = "reporter"
"""The scope of a key that hands reports in; with `province:<2 digits>` scopes, only for those."""
Kind = Literal["coverage", "registration", "declaration", "payment"]
_STATUS: Final = {"bad_signature": 401, "different_content": 409}


class PlatformAccess:
    """Whose key it is: the one given to the reporter by setting, or one of the file."""

    def __init__(self, keys: AccessKeys, reporter_key: str) -> None:
        reporter = Reader("reporting", frozenset({REPORTER, "national"}))
        self._reporter = AccessKeys([(sha256_hex(reporter_key), reporter)] if reporter_key else [])
        self._keys = keys

    def reader(self, request: Request) -> Reader:
        """The reader; 401 without a known key."""
        try:
            return self._reporter.reader(request)
        except HTTPException:
            return self._keys.reader(request)

    async def identify(self, request: Request) -> Caller | None:
        """The caller that shows a known key, for the gate."""
        reader = self._reporter.find(request) or self._keys.find(request)
        if reader is None:
            return None
        return Caller(reader.name, is_service=bool(reader.scopes & (FULL | {REPORTER})))

    def reporter(self, request: Request) -> Reader:
        """A reader that hands reports in; 403 for one that only reads."""
        reader = self.reader(request)
        if not reader.has_scope(REPORTER):
            raise HTTPException(403, f"the key {reader.name!r} does not report")
        return reader

    def share(self, request: Request) -> Collection[str] | None:
        """The provinces this reader sees, None for all; 403 for one that sees none."""
        reader = self.reader(request)
        provinces = reader.provinces()
        if provinces is not None and not provinces:
            raise HTTPException(403, f"the key {reader.name!r} reads for no province")
        return provinces


@dataclass(frozen=True, slots=True)
class ReportPage:
    """A page of the list of reports, by id."""

    reports: list[report_store.ReportListed]
    next: str | None


@dataclass(frozen=True, slots=True)
class PlatformStatus:
    """Deliveries by outcome, the size last cosigned of every log, and the newest alarms."""

    deliveries: dict[str, int]
    witnessed: dict[str, int]
    alarms: list[str]


def routes(
    access: PlatformAccess, reception: Reception, engine: AsyncEngine, knobs: FaultKnobs, metrics: Metrics
) -> APIRouter:
    """Every route under /v1."""
    router = APIRouter(prefix="/v1")
    share = Annotated[Collection[str] | None, Depends(access.share)]

    @router.post("/reports")
    async def take_report(request: Request, reader: Annotated[Reader, Depends(access.reporter)]) -> Response:
        delivery = await _delivery(request, reader)
        return await _answer_with_faults(reception, delivery, knobs, metrics)

    @router.get("/reports")
    async def list_reports(
        seen: share,
        province: AnyProvince = None,
        kind: Kind | None = None,
        day: AnyDay = None,
        period: AnyPeriod = None,
        after: Annotated[str, Query(pattern=r"^[A-Za-z0-9_.:-]{0,128}$")] = "",
        limit: Annotated[int, Query(ge=1, le=10_000)] = 1_000,
    ) -> ReportPage:
        chosen = report_store.ReportFilter(_narrowed(seen, province), kind, day, period, after, limit + 1)
        async with engine.connect() as connection:
            rows = await report_store.list_reports(connection, chosen)
        shown, following = cut_page(rows, limit, lambda report: report.report_id)
        return ReportPage(list(shown), following)

    @router.get("/reports/{report_id}")
    async def read_report(report_id: ReportId, seen: share) -> Response:
        async with engine.connect() as connection:
            stored = await report_store.read_body(connection, report_id)
        # Another province's report is answered as none would be: its id is not theirs to learn either.
        if stored is None or (seen is not None and stored[0] not in seen):
            raise HTTPException(404, "no such report in your share")
        return Response(stored[1], media_type="application/json")

    @router.get("/reconciliations/{period}")
    async def read_reconciliation(period: PathPeriod, seen: share, province: AnyProvince = None) -> Reconciliation:
        async with engine.connect() as connection:
            return await reconcile(connection, period, _narrowed(seen, province))

    @router.get("/status")
    async def read_status(request: Request) -> PlatformStatus:
        access.reporter(request)
        async with engine.connect() as connection:
            deliveries, witnessed = await report_store.count_deliveries(connection), await read_witnessed(connection)
            alarms = [*await report_store.list_alarms(connection), *await read_witness_alarms(connection)]
            return PlatformStatus(deliveries, witnessed, alarms)

    return router


async def _delivery(request: Request, reader: Reader) -> Delivery:
    body, provinces = await request.body(), reader.provinces()
    return Delivery(
        reader.name,
        provinces or None,
        request.headers.get("idempotency-key"),
        request.headers.get("danbao-signature"),
        body,
    )


async def _answer_with_faults(
    reception: Reception, delivery: Delivery, knobs: FaultKnobs, metrics: Metrics
) -> Response:
    faults = knobs.draw(delivery.idempotency_key or "")
    await asyncio.sleep(faults.delay_seconds)
    if faults.is_unheard:
        metrics.faults.labels("error").inc()
        return JSONResponse({"detail": "a fault knob is set: unheard"}, 503)
    answer = await reception.receive(delivery, refuse=faults.is_refused)
    if faults.is_duplicated:
        metrics.faults.labels("duplicate").inc()
        answer = await reception.receive(delivery, refuse=faults.is_refused)
    _count(metrics, answer)
    if faults.is_reply_lost:
        metrics.faults.labels("lost_reply").inc()
        return JSONResponse({"detail": "a fault knob is set: reply lost"}, 504)
    return _respond(answer)


def _respond(answer: Taken | Refusal) -> Response:
    if isinstance(answer, Taken):
        return JSONResponse(answer.receipt.model_dump(mode="json"), 201 if answer.is_new else 200)
    return JSONResponse(answer.model_dump(mode="json"), _STATUS.get(answer.reason, 422))


def _count(metrics: Metrics, answer: Taken | Refusal) -> None:
    if isinstance(answer, Taken):
        metrics.deliveries.labels("taken" if answer.is_new else "repeat", "").inc()
    else:
        metrics.deliveries.labels("refused", answer.reason).inc()


def _narrowed(seen: Collection[str] | None, province: str | None) -> Collection[str] | None:
    """The share, narrowed to the requested province; 403 for one outside it."""
    if province is None:
        return seen
    if seen is not None and province not in seen:
        raise HTTPException(403, f"this key does not read province {province}")
    return {province}
