"""`POST /v1/rerate`: what a re-rating of a window would change, and booking it."""

from collections.abc import Callable
from datetime import date
from typing import Annotated

import structlog
from fastapi import APIRouter, Depends, Request, Response
from msgspec import Struct
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
from shared.runtime.http.answers import as_json
from shared.runtime.http.types import PROVINCE, USCC, Day

log = structlog.get_logger(__name__)


class RerateRequest(BaseModel):
    """Insured days, both included; without `apply` nothing is written."""

    model_config = ConfigDict(extra="forbid")
    first_on: Day
    last_on: Day
    enterprise: Annotated[str | None, Field(pattern=USCC)] = None
    province: Annotated[str | None, Field(pattern=PROVINCE)] = None
    apply: bool = False

    def window(self) -> Window:
        """The window as the use case takes it."""
        return Window(self.first_on, self.last_on, self.enterprise, self.province)


class DifferenceInYuan(Struct, frozen=True):
    """A difference with its amounts as decimal strings."""

    insured_on: date
    enterprise: str
    province: str
    industry: str
    old_tariff_line: int | None
    old_reason: str | None
    new_tariff_line: int | None
    new_reason: str | None
    orders: int
    old_premium_yuan: str
    new_premium_yuan: str
    difference_yuan: str


class RerateAnswer(Struct, frozen=True):
    """The differences before anything was booked, and how many orders were corrected in how many manifests."""

    differences: list[DifferenceInYuan]
    booked: int
    manifests: int
    decided_by: str | None


class Rerater:
    """Rates orders again by the scheme that this process runs with."""

    def __init__(
        self, pool: Pool, scheme: Scheme, author: AuthorSigner, metrics: Metrics, on_commit: Callable[[], None]
    ) -> None:
        self._pool = pool
        self._scheme = scheme
        self._author = author
        self._metrics = metrics
        self._on_commit = on_commit

    async def answer(self, window: Window, decision: Decision | None) -> RerateAnswer:
        """Find the differences, and book them by the decision; without one nothing is booked."""
        differences = await find_differences(self._pool, self._scheme, window)
        booked = [] if decision is None else await self._book(window, decision)
        decided_by = None if decision is None else decision.person
        return RerateAnswer(list(map(_in_yuan, differences)), sum(booked), len(booked), decided_by)

    async def _book(self, window: Window, decision: Decision) -> list[int]:
        booked = []
        async for orders in book_differences(self._pool, self._scheme, window, self._author, decision):
            booked.append(orders)
            self._metrics.rerated.inc(orders)
            self._on_commit()
        log.info("re-rated", first_on=str(window.first_on), last_on=str(window.last_on), orders=sum(booked))
        return booked


def make_rerating_router(keys: AccessKeys, decisions: Decisions, rerater: Rerater) -> APIRouter:
    """Make the route; it needs a service or operator key."""
    router = APIRouter(prefix="/v1", dependencies=[Depends(keys.require("service"))])

    @router.post("/rerate")
    async def rerate(body: RerateRequest, request: Request) -> Response:
        decision = await store_decision(decisions, request, body) if body.apply else None
        return as_json(await rerater.answer(body.window(), decision))

    return router


def _in_yuan(difference: Difference) -> DifferenceInYuan:
    return DifferenceInYuan(
        insured_on=difference.insured_on,
        enterprise=difference.enterprise,
        province=difference.province,
        industry=difference.industry,
        old_tariff_line=difference.old_line,
        old_reason=difference.old_reason,
        new_tariff_line=difference.new_line,
        new_reason=difference.new_reason,
        orders=difference.orders,
        old_premium_yuan=yuan(Amount(difference.old_premium)),
        new_premium_yuan=yuan(Amount(difference.new_premium)),
        difference_yuan=yuan(Amount(difference.new_premium - difference.old_premium)),
    )
