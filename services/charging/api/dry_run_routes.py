"""`POST /v1/trials`: what would happen to an event if it were sent now."""

from datetime import date
from typing import Annotated, Final

from fastapi import APIRouter, Depends, HTTPException, Response
from pydantic import Base64Bytes, BaseModel, ConfigDict, Field

from services.charging.queries.dry_run import DryRun
from shared.domain.calendar import FIRST_DAY, day_start
from shared.runtime import clock
from shared.runtime.access import AccessKeys
from shared.runtime.http.answers import as_json
from shared.runtime.http.types import USCC, StrictInstant

MOST_BYTES: Final = 256 * 1024
"""A larger body is refused here; on a topic it would be parked, like anything above DANBAO_MAX_EVENT_BYTES."""


class DryRunRequest(BaseModel):
    """An event to run dry: whose it is, its bytes in base64, and its record time; now where none is given."""

    model_config = ConfigDict(extra="forbid")
    enterprise: Annotated[str, Field(pattern=USCC)]
    event: Base64Bytes
    as_of: Annotated[StrictInstant, Field(ge=day_start(FIRST_DAY), lt=day_start(date(2099, 1, 1)))] | None = None


def make_dry_run_router(keys: AccessKeys, dry_run: DryRun) -> APIRouter:
    """Make the route, for services and operators: the caller must be authorized for the enterprise it names."""
    router = APIRouter(prefix="/v1", dependencies=[Depends(keys.require("service"))])

    @router.post("/trials")
    async def run_dry(request: DryRunRequest) -> Response:
        if len(request.event) > MOST_BYTES:
            raise HTTPException(413, f"an event of more than {MOST_BYTES} bytes")
        result = await dry_run.run(request.enterprise, request.event, request.as_of or clock.now())
        return as_json({"trial": result})

    return router
