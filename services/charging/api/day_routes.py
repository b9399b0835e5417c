"""Serves what a day's close shows: its workers, those whom it excluded, its findings."""

from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Query, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from services.charging.close.count_workers import WorkerDays
from services.charging.close.order_findings import DayFinder
from services.charging.queries.days import DayQueries
from shared.adapters.http.charging_deployments import PAGE
from shared.runtime.access import AccessKeys
from shared.runtime.http.answers import as_json
from shared.runtime.http.types import PROVINCE, WORKER, Day, PageLimit, PathDay, QueryProvince

Token = Annotated[str, Field(pattern=WORKER)]
AfterToken = Annotated[str, Query(pattern=r"^([0-9a-f]{64})?$")]


class CountedBefore(BaseModel):
    """Which of these workers a close before that of the day counted in the province; without a day, on any."""

    model_config = ConfigDict(extra="forbid")
    province: Annotated[str, Field(pattern=PROVINCE)]
    insured_on: Day | None = None
    workers: Annotated[list[Token], Field(max_length=PAGE)]


def make_day_router(keys: AccessKeys, days: DayQueries, finder: DayFinder, worker_days: WorkerDays) -> APIRouter:
    """Make the routes; they need a service or operator key."""
    router = APIRouter(prefix="/v1/days/{day}", dependencies=[Depends(keys.require("service"))])

    @router.get("/registrations")
    async def registrations(
        day: PathDay, province: QueryProvince, after: AfterToken = "", limit: PageLimit = 10_000
    ) -> Response:
        return as_json({"workers": await days.registrations(day, province, after, limit)})

    @router.get("/employee-exclusions")
    async def employee_exclusions(day: PathDay, province: QueryProvince) -> Response:
        return as_json({"exclusions": await days.employee_exclusions(day, province)})

    @router.get("/findings")
    async def findings(day: PathDay) -> Response:
        day_findings = await finder.find(day)
        if day_findings is None:
            raise HTTPException(404, f"{day} is not counted")
        return as_json(day_findings)

    @router.get("/worker-days")
    async def all_worker_days(day: PathDay) -> StreamingResponse:
        if not await worker_days.is_counted(day):
            raise HTTPException(404, f"{day} is not counted")
        return StreamingResponse(worker_days.blocks(day), media_type="application/octet-stream")

    @router.post("/counted-before")
    async def counted_before(day: PathDay, request: CountedBefore) -> Response:
        workers = await worker_days.counted_before(day, request.province, request.insured_on, request.workers)
        return as_json({"workers": workers})

    return router
