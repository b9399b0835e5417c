"""Single orders: their rows, the proofs of them, and whom they covered."""

from fastapi import APIRouter, Depends, Response

from services.charging.queries.orders import OrderQueries
from services.charging.queries.proofs import Proofs
from shared.runtime.access import AccessKeys
from shared.runtime.http.answers import as_json
from shared.runtime.http.types import AnyDay, Instant, PathOrderId, PathToken, PathUscc, QueryDay


def make_order_router(keys: AccessKeys, orders: OrderQueries, proofs: Proofs) -> APIRouter:
    """Make the routes; they need a service or operator key, for the answers hold workers' tokens."""
    router = APIRouter(prefix="/v1", dependencies=[Depends(keys.require("service"))])

    @router.get("/orders/{enterprise}/{order_id}")
    async def order(enterprise: PathUscc, order_id: PathOrderId, day: QueryDay) -> Response:
        return as_json({"rows": await orders.order(enterprise, order_id, day)})

    @router.get("/orders/{enterprise}/{order_id}/proof")
    async def prove_order(enterprise: PathUscc, order_id: PathOrderId, day: AnyDay = None) -> Response:
        return as_json({"rows": [proof.as_json() for proof in await proofs.order(enterprise, order_id, day)]})

    @router.get("/workers/{worker_id}/covers")
    async def covers(worker_id: PathToken, at: Instant) -> Response:
        return as_json({"covers": await orders.covers(worker_id, at)})

    return router
