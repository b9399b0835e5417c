"""The quarantine of a service over HTTP: list messages, review one, have one handled again."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from shared.adapters.http.decision_routes import store_decision
from shared.adapters.kafka.internal.internal_topics import InternalTopics
from shared.adapters.postgres.decisions import Decisions
from shared.runtime.access import AccessKeys
from shared.runtime.http.answers import cut_page
from shared.runtime.http.types import Cursor, PathInt8, Words


class Review(BaseModel):
    """A note on what was done about a quarantined message."""

    model_config = ConfigDict(extra="forbid")
    note: Annotated[Words, Field(min_length=1, max_length=1_000)]


def make_quarantine_router(keys: AccessKeys, topics: InternalTopics, decisions: Decisions | None) -> APIRouter:
    """`GET /v1/refused`, `POST /v1/refused/{id}/review` and `.../replay`; all need a service key.

    `decisions` is None at a service that knows its persons by their keys.
    """
    router = APIRouter(prefix="/v1/refused", dependencies=[Depends(keys.require("service"))])

    async def decider(request: Request, wish: Review | None = None) -> str:
        if decisions is None:
            return keys.reader(request).name
        return (await store_decision(decisions, request, wish)).person

    @router.get("")
    async def refused(after: Cursor = 0, limit: Annotated[int, Query(ge=1, le=1_000)] = 100) -> dict[str, Any]:
        rows = await topics.store.list_messages(after, limit + 1)
        shown, following = cut_page(rows, limit, lambda message: int(message["refused_id"]))
        return {"messages": shown, "next": following}

    @router.post("/{refused_id}/review")
    async def review(refused_id: PathInt8, wish: Review, request: Request) -> dict[str, str]:
        state = await topics.store.review(refused_id, await decider(request, wish), wish.note)
        if state == "unknown":
            raise HTTPException(404, f"no message {refused_id} was refused")
        return {"state": state}

    @router.post("/{refused_id}/replay")
    async def replay(refused_id: PathInt8, request: Request) -> dict[str, str]:
        state = await topics.replay(refused_id, await decider(request))
        if state == "unknown":
            raise HTTPException(404, f"no message {refused_id} was refused")
        return {"state": state}

    return router
