"""HTTP routes of a service's quarantine: list what is set aside, and try it again at once."""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.adapters.http.decision_routes import store_decision
from shared.adapters.postgres.decisions import Decisions
from shared.adapters.postgres.quarantine import (
    MOST_LISTED,
    Quarantine,
    count_set_aside,
    cursor_of_item,
    page_set_aside,
)
from shared.runtime.access import AccessKeys
from shared.runtime.http.answers import cut_page

Name = Annotated[str | None, Field(max_length=512, pattern=r"^[^\x00]*$")]

After = Annotated[str, Query(max_length=1_024, pattern=r"^[^\x00]*$", description="`next` of the answer before")]
Limit = Annotated[int, Query(ge=1, le=MOST_LISTED)]


class TryAgain(BaseModel):
    """Which items: all, those of a step, or one."""

    model_config = ConfigDict(extra="forbid")
    step: Name = None
    item: Name = None


def make_set_aside_router(
    keys: AccessKeys,
    engine: AsyncEngine,
    quarantine: Quarantine,
    wake: Callable[[], None],
    decisions: Decisions | None,
) -> APIRouter:
    """Both routes need the service key; `decisions` is None at a service that knows its persons by their keys."""
    router = APIRouter(prefix="/v1/set-aside", dependencies=[Depends(keys.require("service"))])

    @router.get("")
    async def list_items(after: After = "", limit: Limit = MOST_LISTED) -> dict[str, Any]:
        async with engine.connect() as connection:
            counts = await count_set_aside(connection, quarantine.table)
            rows = await page_set_aside(connection, quarantine.table, after, limit + 1)
        shown, following = cut_page(rows, limit, cursor_of_item)
        return {"count": sum(counts.values()), "items": shown, "next": following}

    @router.post("/retry")
    async def retry_items(wish: TryAgain, request: Request) -> dict[str, int]:
        if decisions is not None:
            await store_decision(decisions, request, wish)
        tried = await quarantine.try_again(wish.step, wish.item)
        wake()
        return {"items": tried}

    return router
