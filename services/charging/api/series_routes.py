"""What an enterprise asks about its own stream; with its own key it sees itself only."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Query

from services.charging.queries.acknowledged import received_of
from services.charging.queries.series import Asked, SeriesLookup
from shared.adapters.postgres.pool import Pool
from shared.runtime.access import AccessKeys, Reader
from shared.runtime.http.types import AnyDay, PathDay, PathUscc

Series = Annotated[str | None, Query(pattern=r"^[A-Za-z0-9_-]{1,16}$", description="one series, all its days")]
After = Annotated[int, Query(ge=1, lt=2**53, description="numbers from here on")]
Limit = Annotated[int, Query(ge=1, le=10_000, description="ranges of each series")]


def make_series_router(keys: AccessKeys, pool: Pool) -> APIRouter:
    """Routes for the services, the operator, and an enterprise that asks about itself."""
    router, lookup = APIRouter(prefix="/v1"), SeriesLookup(pool)
    Asking = Annotated[Reader, Depends(keys.reader)]  # noqa: N806 - a type, made here since it holds the keys

    @router.get("/enterprises/{uscc}/series")
    async def series(
        asking: Asking,
        uscc: PathUscc,
        day: AnyDay = None,
        series: Series = None,
        after: After = 1,
        limit: Limit = 1_000,
    ) -> dict[str, Any]:
        check_own(asking, uscc)
        if (day is None) == (series is None):
            raise HTTPException(422, "ask for a day or for a series")
        told = await lookup.told(Asked(uscc, day, series, after, limit))
        if told is None:
            raise HTTPException(404, f"{uscc} is not registered")
        return told

    @router.get("/enterprises/{uscc}/received/{day}")
    async def received(asking: Asking, uscc: PathUscc, day: PathDay) -> dict[str, Any]:
        check_own(asking, uscc)
        found = await received_of(pool, uscc, day)
        if found is None:
            raise HTTPException(404, f"{day} is not counted yet")
        return found

    return router


def check_own(asking: Reader, uscc: str) -> None:
    """403 for a key that does not see this enterprise."""
    visible = asking.enterprises()
    if visible is not None and uscc not in visible:
        raise HTTPException(403, f"the key {asking.name!r} does not see {uscc}")
