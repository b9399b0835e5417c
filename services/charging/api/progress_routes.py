"""Serves charging's progress and missed manifests, and runs a settling step on request."""

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Path, Request, Response

from services.charging.ingest.held_positions import HeldPositions
from services.charging.queries.progress import ProgressQueries
from shared.adapters.http.decision_routes import store_decision
from shared.adapters.postgres.decisions import Decisions
from shared.runtime.access import AccessKeys
from shared.runtime.http.answers import as_json

ManifestNumber = Annotated[int, Path(ge=1, lt=2**31)]
RunName = Annotated[str, Path(pattern=r"^[0-9a-f]{32}$")]


def make_progress_router(
    keys: AccessKeys,
    positions: HeldPositions,
    progress: ProgressQueries,
    settle: Callable[[], Awaitable[int | None]],
    decisions: Decisions,
    describe_topic_alarms: Callable[[], list[str]],
) -> APIRouter:
    """Make the routes; they need a service or operator key."""
    router = APIRouter(prefix="/v1", dependencies=[Depends(keys.require("service"))])

    @router.get("/status")
    async def status() -> Response:
        return as_json({
            "runs": await progress.runs(),
            "positions": await progress.positions(positions.cluster_id),
            "paused": positions.pauses.reasons,
            "unpublished": await progress.unpublished(),
            "parked": await progress.parked_counts(),
            "alarms": [*await progress.alarms(), *describe_topic_alarms()],
        })  # fmt: skip

    @router.get("/manifests/{run}/{number}")
    async def manifest(run: RunName, number: ManifestNumber) -> Response:
        payload = await progress.manifest(run, number)
        if payload is None:
            raise HTTPException(404, f"run {run} has no manifest {number}")
        return Response(payload, media_type="application/json")

    @router.post("/settle")
    async def settle_now(request: Request) -> Response:
        await store_decision(decisions, request)
        count = await settle()
        return as_json({"state": "busy" if count is None else "settled", "reversed": count or 0})

    return router
