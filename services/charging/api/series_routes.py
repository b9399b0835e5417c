"""An enterprise's queries about its own stream; with its own key it sees itself only."""

from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Query, Response

from services.charging.queries.acknowledged import read_acknowledged
from services.charging.queries.series import SeriesQueries, SeriesRequest
from shared.adapters.postgres.pool import Pool
from shared.runtime.access import AccessKeys, Reader
from shared.runtime.http.answers import as_json
from shared.runtime.http.types import AnyDay, PathDay, PathUscc

FromNumber = Annotated[int, Query(ge=1, lt=2**53, description="numbers from here on")]
RangeLimit = Annotated[int, Query(ge=1, le=10_000, description="ranges of each series")]
Series = Annotated[str | None, Query(pattern=r"^[A-Za-z0-9_-]{1,16}$", description="one series, all its days")]


def make_series_router(keys: AccessKeys, pool: Pool) -> APIRouter:
    """Make the routes, for the services, the operator, and an enterprise that queries its own data."""
    router, queries = APIRouter(prefix="/v1/enterprises/{uscc}"), SeriesQueries(pool)
    KeyReader = Annotated[Reader, Depends(keys.reader)]  # noqa: N806 - a type, made here since it holds the keys

    @router.get("/series")
    async def series(
        reader: KeyReader,
        uscc: PathUscc,
        day: AnyDay = None,
        series: Series = None,
        after: FromNumber = 1,
        limit: RangeLimit = 1_000,
    ) -> Response:
        check_visible(reader, uscc)
        if (day is None) == (series is None):
            raise HTTPException(422, "name either a day or a series")
        numbers = await queries.read(SeriesRequest(uscc, day, series, after, limit))
        if numbers is None:
            raise HTTPException(404, f"{uscc} is not registered")
        return as_json(numbers)

    @router.get("/received/{day}")
    async def received(reader: KeyReader, uscc: PathUscc, day: PathDay) -> Response:
        check_visible(reader, uscc)
        acknowledged = await read_acknowledged(pool, uscc, day)
        if acknowledged is None:
            raise HTTPException(404, f"{day} is not counted yet")
        return as_json(acknowledged)

    return router


def check_visible(reader: Reader, uscc: str) -> None:
    """403 for a key that does not see this enterprise."""
    visible = reader.enterprises()
    if visible is not None and uscc not in visible:
        raise HTTPException(403, f"the key {reader.name!r} does not see {uscc}")
