"""What charging answers over HTTP: its progress, manifests asked for again, who was covered, what is parked."""

from collections.abc import Callable
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, HTTPException, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from services.charging.close.order_findings import DayFinder
from services.charging.ingest.held_positions import HeldPositions
from services.charging.queries.days import Lookup
from services.charging.queries.orders import OrderLookup
from services.charging.queries.parked_events import ParkedEvents
from shared.adapters.http.decision_routes import store_decision
from shared.adapters.postgres.decisions import Decisions
from shared.contracts.parking import ParkReason
from shared.contracts.topics import ORDERS_PATTERN, orders_topic
from shared.runtime.access import AccessKeys, Reader
from shared.runtime.http.types import (
    USCC,
    AnyUscc,
    Instant,
    PathDay,
    PathInt4,
    PathInt8,
    PathOrderId,
    PathToken,
    PathUscc,
    QueryDay,
    QueryProvince,
)

OrdersTopic = Annotated[str, Path(pattern=ORDERS_PATTERN)]
RunName = Annotated[str, Path(pattern=r"^[0-9a-f]{32}$")]
Number = Annotated[int, Path(ge=1, lt=2**31)]
Limit = Annotated[int, Query(ge=1, le=10_000)]
Token = Annotated[str, Query(pattern=r"^([0-9a-f]{64})?$")]
Cursor = Annotated[str, Query(pattern=r"^([0-9]{1,18}\.[0-9]{1,9})?$", description="`cursor` of the last one seen")]


class Resend(BaseModel):
    """Which parked events to send again: those of a reason, and of one enterprise if it is named."""

    model_config = ConfigDict(extra="forbid")
    reason: ParkReason
    enterprise: Annotated[str | None, Field(pattern=USCC)] = None


def make_router(
    keys: AccessKeys,
    positions: HeldPositions,
    lookup: Lookup,
    orders: OrderLookup,
    finder: DayFinder,
    parked: ParkedEvents,
    settle: Callable[[], Any],
    decisions: Decisions,
) -> APIRouter:
    """The routes; they need a service or operator key, but for an enterprise's look at its own parked events."""
    ours = APIRouter(dependencies=[Depends(keys.require("service"))])
    _add_progress(ours, positions, lookup)
    _add_days(ours, lookup, finder)
    _add_orders(ours, orders)
    _add_decisions(ours, positions, parked, settle, decisions)
    router = APIRouter(prefix="/v1")
    router.include_router(ours)
    _add_parked(router, keys, parked)
    return router


def _add_progress(router: APIRouter, positions: HeldPositions, lookup: Lookup) -> None:
    @router.get("/status")
    async def status() -> dict[str, Any]:
        return {
            "runs": await lookup.runs(),
            "positions": await lookup.positions(positions.cluster_id),
            "paused": positions.pauses.reasons,
            "unpublished": await lookup.unpublished(),
            "parked": await lookup.parked_counts(),
            "alarms": await lookup.alarms(),
        }

    @router.get("/manifests/{run}/{number}")
    async def manifest(run: RunName, number: Number) -> Response:
        payload = await lookup.manifest(run, number)
        if payload is None:
            raise HTTPException(404, f"run {run} has no manifest {number}")
        return Response(payload, media_type="application/json")


def _add_days(router: APIRouter, lookup: Lookup, finder: DayFinder) -> None:
    @router.get("/days/{day}/registrations")
    async def registrations(
        day: PathDay, province: QueryProvince, after: Token = "", limit: Limit = 10_000
    ) -> dict[str, Any]:
        return {"workers": await lookup.registrations(day, province, after, limit)}

    @router.get("/days/{day}/employee-exclusions")
    async def employee_exclusions(day: PathDay, province: QueryProvince) -> dict[str, Any]:
        return {"exclusions": await lookup.employee_exclusions(day, province)}

    @router.get("/days/{day}/findings")
    async def findings(day: PathDay) -> Response:
        found = await finder.find(day)
        if found is None:
            raise HTTPException(404, f"{day} is not counted")
        return Response(msgspec.json.encode(found), media_type="application/json")


def _add_orders(router: APIRouter, orders: OrderLookup) -> None:
    @router.get("/orders/{enterprise}/{order_id}")
    async def order(enterprise: PathUscc, order_id: PathOrderId, day: QueryDay) -> dict[str, Any]:
        return {"rows": await orders.order(enterprise, order_id, day)}

    @router.get("/workers/{worker_id}/covers")
    async def covers(worker_id: PathToken, at: Instant) -> dict[str, Any]:
        return {"covers": await orders.covers(worker_id, at)}


def _add_parked(router: APIRouter, keys: AccessKeys, parked: ParkedEvents) -> None:
    """What an enterprise's key sees is what stands on the topic of that enterprise (docs/decisions/0004)."""
    Asking = Annotated[Reader, Depends(keys.reader)]  # noqa: N806 - a type, made here since it holds the keys

    @router.get("/parked")
    async def list_parked(
        asking: Asking,
        reason: ParkReason | None = None,
        enterprise: AnyUscc = None,
        after: Cursor = "",
        limit: Limit = 100,
    ) -> dict[str, Any]:
        return {"parked": await parked.page(reason, _own(asking, enterprise), after, limit)}

    @router.get("/parked/{batch}/{leaf_index}")
    async def show_parked(asking: Asking, batch: PathInt8, leaf_index: PathInt4) -> dict[str, Any]:
        own = _own(asking, None)
        found = await parked.one(batch, leaf_index)
        if found is None or (own is not None and found["topic"] not in map(orders_topic, own)):
            raise HTTPException(404, f"no event is parked as {batch}.{leaf_index}")
        return found


def _own(asking: Reader, wanted: str | None) -> list[str] | None:
    """The enterprises to show, None for all; 403 for a key that may see none, or not the wanted one."""
    visible = asking.enterprises()
    if visible is None:
        return None if wanted is None else [wanted]
    if not visible or (wanted is not None and wanted not in visible):
        raise HTTPException(403, f"the key {asking.name!r} sees no parked events of {wanted or 'any enterprise'}")
    return sorted(visible) if wanted is None else [wanted]


def _add_decisions(
    router: APIRouter, positions: HeldPositions, parked: ParkedEvents, settle: Callable[[], Any], decisions: Decisions
) -> None:
    @router.post("/settle")
    async def settle_now(request: Request) -> dict[str, Any]:
        await store_decision(decisions, request)
        count = await settle()
        return {"state": "busy" if count is None else "settled", "reversed": count or 0}

    @router.post("/parked/resend")
    async def resend(what: Resend, request: Request) -> dict[str, Any]:
        await store_decision(decisions, request, what)
        return (await parked.send_again(what.reason, what.enterprise)).told()

    @router.post("/topics/{topic}/resume")
    async def resume(topic: OrdersTopic, request: Request) -> dict[str, Any]:
        decision = await store_decision(decisions, request)
        was_paused = await positions.resume(topic, decision.person)
        return {"topic": topic, "state": "resumed" if was_paused else "not_paused"}
