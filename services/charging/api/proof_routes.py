"""What charging answers about evidence: the rows of an order with their proofs."""

from typing import Any

from fastapi import APIRouter, Depends, HTTPException

from services.charging.api.archived_answer import tell_archived
from services.charging.queries.proofs import Altered, Proofs
from shared.runtime.access import AccessKeys
from shared.runtime.http.types import AnyDay, PathOrderId, PathUscc


def make_proof_router(keys: AccessKeys, proofs: Proofs) -> APIRouter:
    """The route; it needs a service or operator key, for it tells workers' tokens."""
    router = APIRouter(prefix="/v1", dependencies=[Depends(keys.require("service")), Depends(tell_archived)])

    @router.get("/orders/{enterprise}/{order_id}/proof")
    async def prove_order(enterprise: PathUscc, order_id: PathOrderId, day: AnyDay = None) -> dict[str, Any]:
        try:
            return {"rows": [proof.told() for proof in await proofs.order(enterprise, order_id, day)]}
        except Altered as error:
            raise HTTPException(409, str(error)) from error

    return router
