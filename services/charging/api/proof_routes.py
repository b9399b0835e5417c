"""What charging answers about evidence: the rows of an order with their proofs."""

from typing import Any

from fastapi import APIRouter, Depends

from services.charging.queries.proofs import Proofs
from shared.runtime.access import AccessKeys
from shared.runtime.http.types import AnyDay, PathOrderId, PathUscc


def make_proof_router(keys: AccessKeys, proofs: Proofs) -> APIRouter:
    """The route; it needs a service or operator key, for it tells workers' tokens."""
    router = APIRouter(prefix="/v1", dependencies=[Depends(keys.require("service"))])

    @router.get("/orders/{enterprise}/{order_id}/proof")
    async def prove_order(enterprise: PathUscc, order_id: PathOrderId, day: AnyDay = None) -> dict[str, Any]:
        return {"rows": [proof.told() for proof in await proofs.order(enterprise, order_id, day)]}

    return router
