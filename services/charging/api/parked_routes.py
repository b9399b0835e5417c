"""Parked events: read by operators and by the enterprise that sent them, and sent again after a mend."""

from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from services.charging.queries.parked_events import ParkedEvents
from shared.adapters.http.decision_routes import store_decision
from shared.adapters.postgres.decisions import Decisions
from shared.contracts.parking import ParkReason
from shared.contracts.topics import orders_topic
from shared.runtime.access import AccessKeys, Reader
from shared.runtime.http.answers import as_json, cut_page
from shared.runtime.http.types import USCC, AnyUscc, PageLimit, PathInt4, PathInt8

AfterParked = Annotated[str, Query(pattern=r"^([0-9]{1,18}\.[0-9]{1,9})?$", description="`next` of the answer before")]


class ResendRequest(BaseModel):
    """Which parked events to send again: those of a reason, and of one enterprise if it is named."""

    model_config = ConfigDict(extra="forbid")
    reason: ParkReason
    enterprise: Annotated[str | None, Field(pattern=USCC)] = None


def make_parked_router(keys: AccessKeys, parked: ParkedEvents, decisions: Decisions) -> APIRouter:
    """Make the routes; an enterprise's key sees what is on the topic of that enterprise."""
    router = APIRouter(prefix="/v1/parked")
    KeyReader = Annotated[Reader, Depends(keys.reader)]  # noqa: N806 - a type, made here since it holds the keys

    @router.get("")
    async def list_parked(
        reader: KeyReader,
        reason: ParkReason | None = None,
        enterprise: AnyUscc = None,
        after: AfterParked = "",
        limit: PageLimit = 100,
    ) -> Response:
        visible = _visible_enterprises(reader, enterprise)
        rows = await parked.page(reason, visible, after, limit + 1)
        shown, following = cut_page(rows, limit, lambda event: event.cursor)
        return as_json({"parked": shown, "next": following})

    @router.get("/{batch}/{leaf_index}")
    async def show_parked(reader: KeyReader, batch: PathInt8, leaf_index: PathInt4) -> Response:
        visible = _visible_enterprises(reader, None)
        event = await parked.one(batch, leaf_index)
        if event is None or (visible is not None and event.topic not in map(orders_topic, visible)):
            raise HTTPException(404, f"no event is parked as {batch}.{leaf_index}")
        return as_json(event)

    @router.post("/resend", dependencies=[Depends(keys.require("service"))])
    async def resend(body: ResendRequest, request: Request) -> Response:
        await store_decision(decisions, request, body)
        return as_json(await parked.send_again(body.reason, body.enterprise))

    return router


def _visible_enterprises(reader: Reader, wanted: str | None) -> list[str] | None:
    """The enterprises to show, None for all; 403 for a key that may see none, or not the wanted one."""
    visible = reader.enterprises()
    if visible is None:
        return None if wanted is None else [wanted]
    if not visible or (wanted is not None and wanted not in visible):
        raise HTTPException(403, f"the key {reader.name!r} sees no parked events of {wanted or 'any enterprise'}")
    return sorted(visible) if wanted is None else [wanted]
