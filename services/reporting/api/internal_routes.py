"""Serve the JSON interface for the other services and the command; every route needs the service key."""

from collections.abc import Callable
from datetime import timedelta

from fastapi import APIRouter, Depends, HTTPException
from pydantic import BaseModel, ConfigDict
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from services.reporting.delivery import report_counts, report_store
from services.reporting.delivery.documents import payment_report
from services.reporting.delivery.reconcile import reconcile
from services.reporting.service_clients import Sources
from shared.adapters.http.national_platform import NationalPlatform
from shared.intake.time_bounds import SPAN, TimeBounds
from shared.runtime.access import AccessKeys
from shared.runtime.http.types import AnyPeriod, Day, PathDocumentId, Period


class Month(BaseModel):
    """The body of a reconciliation."""

    model_config = ConfigDict(extra="forbid")
    period: Period


class MonthAsOf(Month):
    """The body of a payment report; `as_of` is a day, the last that counts."""

    as_of: Day


def routes(
    keys: AccessKeys,
    engine: AsyncEngine,
    sources: Sources,
    platform: NationalPlatform,
    wake: Callable[[], None],
    span: timedelta = SPAN,
) -> APIRouter:
    """Every route under /v1; a payment report is of a day that may lie ahead of the database's clock by `span`."""
    router = APIRouter(prefix="/v1", dependencies=[Depends(keys.require("service"))])
    _add_reading(router, engine)
    _add_payment_reports(router, engine, sources, wake, span)
    _add_reconciliations(router, engine, platform)

    @router.post("/reports/{report_id}/retry")
    async def retry_report(report_id: PathDocumentId) -> dict[str, str]:
        async with engine.begin() as connection:
            if not await report_store.send_again(connection, report_id):
                raise HTTPException(404, f"no refused or undeliverable report {report_id}")
        wake()
        return {"state": "pending"}

    return router


def _add_reading(router: APIRouter, engine: AsyncEngine) -> None:
    @router.get("/status")
    async def read_status() -> dict[str, int]:
        async with engine.connect() as connection:
            return await report_counts.count_all(connection)

    @router.get("/receipts")
    async def list_receipts(period: AnyPeriod = None) -> dict[str, list[report_counts.ReceiptListed]]:
        async with engine.connect() as connection:
            return {"receipts": await report_counts.list_receipts(connection, period)}


def _add_payment_reports(
    router: APIRouter, engine: AsyncEngine, sources: Sources, wake: Callable[[], None], span: timedelta
) -> None:
    @router.post("/payment-reports")
    async def report_payments(body: MonthAsOf) -> dict[str, int]:
        async with engine.connect() as connection:
            at = (await connection.execute(select(func.clock_timestamp()))).scalar_one()
        TimeBounds(None, at, span).check_day("as_of", body.as_of)
        states = await sources.payment_states(body.period, body.as_of)
        reports = [payment_report(body.period, province, body.as_of, items) for province, items in states.items()]
        async with engine.begin() as connection:
            added = await report_store.add_reports(connection, reports)
        wake()
        return {"reports": len(reports), "new": len(added)}


def _add_reconciliations(router: APIRouter, engine: AsyncEngine, platform: NationalPlatform) -> None:
    @router.post("/reconciliations")
    async def reconcile_month(body: Month) -> dict[str, int]:
        return {"differences": await reconcile(engine, platform, body.period)}
