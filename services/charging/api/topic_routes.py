"""Resumes a paused topic of orders, and skips events that its log has lost, on an operator's decision."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from services.charging.ingest.held_positions import HeldPositions
from services.charging.ingest.skip_lost_events import LostEventSkipper
from shared.adapters.http.decision_routes import store_decision
from shared.adapters.postgres.decisions import Decisions
from shared.contracts.topics import ORDERS_PATTERN
from shared.runtime.access import AccessKeys
from shared.runtime.http.answers import as_json
from shared.runtime.http.types import Int4, Int8, Words

OrdersTopic = Annotated[str, Path(pattern=ORDERS_PATTERN)]
Said = Annotated[Words, Field(min_length=1, max_length=500)]


class ShownLoss(BaseModel):
    """The lost range of one partition that an operator was shown and agrees to skip."""

    model_config = ConfigDict(extra="forbid")
    partition: Int4
    from_offset: Int8
    to_offset: Int8


class SkipDecision(BaseModel):
    """Skip these ranges, and no others."""

    model_config = ConfigDict(extra="forbid")
    losses: Annotated[list[ShownLoss], Field(min_length=1)]
    why: Said


def make_topic_router(
    keys: AccessKeys, positions: HeldPositions, decisions: Decisions, skipper: LostEventSkipper
) -> APIRouter:
    """Make the routes; they need a service or operator key."""
    router = APIRouter(prefix="/v1/topics/{topic}", dependencies=[Depends(keys.require("service"))])

    @router.post("/resume")
    async def resume(topic: OrdersTopic, request: Request) -> Response:
        decision = await store_decision(decisions, request)
        was_paused = await positions.resume(topic, decision.person)
        return as_json({"topic": topic, "state": "resumed" if was_paused else "not_paused"})

    @router.get("/losses")
    async def losses(topic: OrdersTopic) -> Response:
        return as_json({"topic": topic, "losses": await skipper.find(topic)})

    @router.post("/move-on")
    async def move_on(topic: OrdersTopic, decision: SkipDecision, request: Request) -> Response:
        who = (await store_decision(decisions, request, decision)).person
        shown = [(loss.partition, loss.from_offset, loss.to_offset) for loss in decision.losses]
        return as_json({"topic": topic, "moved": await skipper.move(topic, shown, decision.why, who)})

    return router
