"""`/v1/adjustments`: propose to reverse what lies outside a signed declaration, consent to it, and list both."""

from collections.abc import Callable
from typing import Annotated, Any

import structlog
from fastapi import APIRouter, Depends, HTTPException, Path, Request
from pydantic import BaseModel, ConfigDict, Field

from services.charging.rerate.reverse_outside import Adjustments, Proposal, UnknownProposal
from shared.adapters.http.decision_routes import store_decision
from shared.adapters.postgres.decisions import Decisions
from shared.domain.money import Amount, yuan
from shared.runtime.access import AccessKeys
from shared.runtime.http.types import USCC, AnyUscc, Day

log = structlog.get_logger(__name__)
ProposalId = Annotated[int, Path(ge=1, le=2**63 - 1)]


class AdjustmentWish(BaseModel):
    """Reverse the orders of an enterprise and insured day that lie outside what it signed, and why."""

    model_config = ConfigDict(extra="forbid")
    enterprise: Annotated[str, Field(pattern=USCC)]
    day: Day
    reason: Annotated[str, Field(min_length=1, max_length=1_000, pattern=r"^[^\x00]*$")]


def make_adjustment_router(
    keys: AccessKeys, decisions: Decisions, adjustments: Adjustments, on_commit: Callable[[], None]
) -> APIRouter:
    """The routes; each decision needs the signed assertion of its person, and a key alone decides nothing."""
    router = APIRouter(prefix="/v1", dependencies=[Depends(keys.require("service"))])

    @router.get("/adjustments")
    async def proposals(enterprise: AnyUscc = None) -> dict[str, Any]:
        return {"adjustments": [_shown(adjustment) for adjustment in await adjustments.find(enterprise)]}

    @router.post("/adjustments")
    async def propose(request: Request, wish: AdjustmentWish) -> dict[str, Any]:
        decision = await store_decision(decisions, request, wish)
        proposal = await adjustments.propose(wish.enterprise, wish.day, wish.reason, decision)
        log.warning("adjustment proposed", id=proposal.id, orders=proposal.orders, person=proposal.proposed_by)
        return _shown(proposal)

    @router.post("/adjustments/{proposal_id}/consent")
    async def consent(request: Request, proposal_id: ProposalId) -> dict[str, Any]:
        decision = await store_decision(decisions, request)
        try:
            proposal, reversed_now = await adjustments.consent(proposal_id, decision)
        except UnknownProposal as error:
            raise HTTPException(404, str(error)) from error
        on_commit()
        log.warning("adjustment decided", id=proposal.id, orders=reversed_now, person=proposal.consented_by)
        return _shown(proposal) | {"reversed": reversed_now}

    return router


def _shown(proposal: Proposal) -> dict[str, Any]:
    return {
        "id": proposal.id,
        "enterprise": proposal.enterprise,
        "insured_on": proposal.insured_on,
        "orders": proposal.orders,
        "premium_yuan": yuan(Amount(proposal.premium)),
        "orders_sha256": proposal.orders_sha256.hex(),
        "reason": proposal.reason,
        "proposed_by": proposal.proposed_by,
        "proposed_at": proposal.proposed_at,
        "consented_by": proposal.consented_by,
        "consented_at": proposal.consented_at,
        "manifests": proposal.manifests,
    }
