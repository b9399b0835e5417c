"""Stores the decision of a request before its route carries it out; `GET /v1/decisions` lists what is stored."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, HTTPException, Query, Request
from pydantic import BaseModel

from shared.adapters.postgres.decisions import Decision, Decisions
from shared.runtime.access import AccessKeys
from shared.runtime.http.answers import cut_page
from shared.runtime.http.types import Cursor
from shared.runtime.persons import Person

MOST_LISTED: Final = 1_000
"""Decisions of one page; `next` leads to the others."""
NEEDS_PERSON: Final = "a decision needs a person: this service knows none for this request"


async def store_decision(decisions: Decisions, request: Request, wish: BaseModel | None = None) -> Decision:
    """Store who decides: the person whose assertion was checked with the key, and nobody whom the request names.

    `wish` is the body. Raises HTTPException 403 where no assertion was checked.
    """
    person = getattr(request.state, "person", None)
    if not isinstance(person, Person):
        raise HTTPException(403, NEEDS_PERSON)
    request_line = f"{request.method} {request.scope['path']}"
    return await decisions.store(person, request_line, {} if wish is None else wish.model_dump(mode="json"))


def make_decisions_router(keys: AccessKeys, decisions: Decisions) -> APIRouter:
    """The list; it needs a service key."""
    router = APIRouter(prefix="/v1/decisions", dependencies=[Depends(keys.require("service"))])

    @router.get("")
    async def list_decisions(
        after: Cursor = 0, limit: Annotated[int, Query(ge=1, le=MOST_LISTED)] = 100
    ) -> dict[str, Any]:
        rows = await decisions.list_from(after, limit + 1)
        shown, following = cut_page(rows, limit, lambda decision: int(decision["decision_id"]))
        return {"decisions": shown, "next": following}

    return router
