"""Whom a close counted, for the services that join several deployments."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from services.charging.close.worker_days import WorkerDays
from shared.adapters.http.charging_deployments import PAGE
from shared.runtime.access import AccessKeys
from shared.runtime.http.types import WORKER, Day, PathDay

Token = Annotated[str, Field(pattern=WORKER)]


class CountedBefore(BaseModel):
    """Which of these workers a close before that of the day counted in the province; without a day, on any."""

    model_config = ConfigDict(extra="forbid")
    province: Annotated[str, Field(pattern=r"^[0-9]{2}$")]
    insured_on: Day | None = None
    workers: Annotated[list[Token], Field(max_length=PAGE)]


def make_worker_days_router(keys: AccessKeys, worker_days: WorkerDays) -> APIRouter:
    """Routes for the service key."""
    router = APIRouter(prefix="/v1/days/{day}", dependencies=[Depends(keys.require("service"))])

    @router.get("/worker-days")
    async def all_worker_days(day: PathDay) -> StreamingResponse:
        if not await worker_days.is_counted(day):
            raise HTTPException(404, f"{day} is not counted")
        return StreamingResponse(worker_days.blocks(day), media_type="application/octet-stream")

    @router.post("/counted-before")
    async def counted_before(day: PathDay, wish: CountedBefore) -> dict[str, Any]:
        return {"workers": await worker_days.counted_before(day, wish.province, wish.insured_on, wish.workers)}

    return router
