"""`POST /v1/rerate`: what a re-rating of a window would change, and booking it."""

from collections.abc import Callable
from typing import Annotated, Any

import structlog
from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field

from services.charging.metrics import Metrics
from services.charging.rerate.rerate import Difference, Window, book_differences, find_differences
from shared.adapters.crypto.signing import AuthorSigner
from shared.adapters.http.decision_routes import store_decision
from shared.adapters.postgres.decisions import Decision, Decisions
from shared.adapters.postgres.pool import Pool
from shared.domain.money import Amount, yuan
from shared.domain.scheme.rating import Scheme
from shared.runtime.access import AccessKeys
from shared.runtime.http.types import PROVINCE, USCC, Day

log = structlog.get_logger(__name__)


class RerateWish(BaseModel):
    """Insured days, both included; without `apply` nothing is written."""

    model_config = ConfigDict(extra="forbid")
    first_on: Day
    last_on: Day
    enterprise: Annotated[str | None, Field(pattern=USCC)] = None
    province: Annotated[str | None, Field(pattern=PROVINCE)] = None
    apply: bool = False

    def window(self) -> Window:
        """The same for the use case."""
        return Window(self.first_on, self.last_on, self.enterprise, self.province)


class Rerater:
    """Rates anew by the scheme that this process runs with."""

    def __init__(
        self, pool: Pool, scheme: Scheme, author: AuthorSigner, metrics: Metrics, on_commit: Callable[[], None]
    ) -> None:
        self._pool, self._scheme, self._author = pool, scheme, author
        self._metrics, self._on_commit = metrics, on_commit

    async def answer(self, wish: RerateWish, decision: Decision | None) -> dict[str, Any]:
        """The differences before anything is booked, and how many orders were corrected in how many manifests.

        Without a decision nothing is booked.
        """
        window = wish.window()
        differences = await find_differences(self._pool, self._scheme, window)
        booked = [] if decision is None else await self._book(window, decision)
        decided_by = None if decision is None else decision.person
        counts = {"booked": sum(booked), "manifests": len(booked), "decided_by": decided_by}
        return {"differences": [_shown(each) for each in differences], **counts}

    async def _book(self, window: Window, decision: Decision) -> list[int]:
        booked = []
        async for orders in book_differences(self._pool, self._scheme, window, self._author, decision):
            booked.append(orders)
            self._metrics.rerated.inc(orders)
            self._on_commit()
        log.info("re-rated", first_on=str(window.first_on), last_on=str(window.last_on), orders=sum(booked))
        return booked


def make_rerating_router(keys: AccessKeys, decisions: Decisions, rerater: Rerater) -> APIRouter:
    """The route; needs a service or operator key."""
    router = APIRouter(prefix="/v1", dependencies=[Depends(keys.require("service"))])

    @router.post("/rerate")
    async def rerate(wish: RerateWish, request: Request) -> dict[str, Any]:
        decision = await store_decision(decisions, request, wish) if wish.apply else None
        return await rerater.answer(wish, decision)

    return router


def _shown(each: Difference) -> dict[str, Any]:
    return {
        "insured_on": each.insured_on,
        "enterprise": each.enterprise,
        "province": each.province,
        "industry": each.industry,
        "old_tariff_line": each.old_line,
        "old_reason": each.old_reason,
        "new_tariff_line": each.new_line,
        "new_reason": each.new_reason,
        "orders": each.orders,
        "old_premium_yuan": yuan(Amount(each.old_premium)),
        "new_premium_yuan": yuan(Amount(each.new_premium)),
        "difference_yuan": yuan(Amount(each.new_premium - each.old_premium)),
    }
