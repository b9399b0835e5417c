"""`POST /v1/rerate`: what a re-rating of a window would change, and booking it."""

from collections.abc import Callable
from typing import Annotated, Any

import structlog
from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field

from services.charging.metrics import Metrics
from services.charging.rerate.rerate import Difference, Window, book_differences, find_differences
from shared.adapters.crypto.signing import AuthorSigner
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

    async def answer(self, wish: RerateWish) -> dict[str, Any]:
        """The differences as they stood before, and how many orders were corrected in how many manifests."""
        window = wish.window()
        differences = await find_differences(self._pool, self._scheme, window)
        booked = await self._book(window) if wish.apply else []
        return {"differences": [_shown(each) for each in differences], "booked": sum(booked), "manifests": len(booked)}

    async def _book(self, window: Window) -> list[int]:
        booked = []
        async for orders in book_differences(self._pool, self._scheme, window, self._author):
            booked.append(orders)
            self._metrics.rerated.inc(orders)
            self._on_commit()
        log.info("re-rated", first_on=str(window.first_on), last_on=str(window.last_on), orders=sum(booked))
        return booked


def make_rerating_router(keys: AccessKeys, rerater: Rerater) -> APIRouter:
    """The route; needs a service or operator key."""
    router = APIRouter(prefix="/v1", dependencies=[Depends(keys.require("service"))])

    @router.post("/rerate")
    async def rerate(wish: RerateWish) -> dict[str, Any]:
        return await rerater.answer(wish)

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
