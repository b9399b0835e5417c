"""Resumes a paused topic of orders on an operator's decision."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request, Response

from services.charging.ingest.held_positions import HeldPositions
from shared.adapters.http.decision_routes import store_decision
from shared.adapters.postgres.decisions import Decisions
from shared.contracts.topics import ORDERS_PATTERN
from shared.runtime.access import AccessKeys
from shared.runtime.http.answers import as_json

OrdersTopic = Annotated[str, Path(pattern=ORDERS_PATTERN)]


def make_topic_router(keys: AccessKeys, positions: HeldPositions, decisions: Decisions) -> APIRouter:
    """Make the route; it needs a service or operator key."""
    router = APIRouter(prefix="/v1/topics/{topic}", dependencies=[Depends(keys.require("service"))])

    @router.post("/resume")
    async def resume(topic: OrdersTopic, request: Request) -> Response:
        decision = await store_decision(decisions, request)
        was_paused = await positions.resume(topic, decision.person)
        return as_json({"topic": topic, "state": "resumed" if was_paused else "not_paused"})

    return router
