"""Dependencies of every page's route, and the parameters that several of them take."""

from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Annotated, TypeVar
from urllib.parse import urlencode

from fastapi import HTTPException, Path, Query
from fastapi.responses import Response
from sqlalchemy.ext.asyncio import AsyncEngine

from services.reporting.access.authentication import Access
from services.reporting.access.viewers import Viewer
from services.reporting.receipts.order_receipts import OrderReceipts
from services.reporting.rendering.layout import PageRenderer
from services.reporting.service_clients import Charging, InternalApi, Sources
from shared.domain.calendar import FIRST_DAY, LAST_DAY, PERIOD_FORM
from shared.domain.errors import Refused, Retry
from shared.domain.scheme.enterprise import USCC_FORM
from shared.domain.times import read_day
from shared.runtime.http.types import PERIOD, USCC, StrictDay

T = TypeVar("T")
Period = Annotated[str, Path(pattern=PERIOD)]
AnyPeriod = Annotated[str | None, Query(pattern=f"^({PERIOD_FORM})?$")]
PathDay = Annotated[StrictDay, Path(ge=FIRST_DAY, le=LAST_DAY)]
Province = Annotated[str, Path(pattern=r"^[0-9]{2}$")]
AnyProvince = Annotated[str | None, Query(pattern=r"^([0-9]{2})?$")]
Uscc = Annotated[str, Path(pattern=USCC)]
AnyUscc = Annotated[str | None, Query(pattern=rf"^({USCC_FORM})?$")]
AnyDay = Annotated[str | None, Query(pattern=r"^([0-9]{4}-[0-9]{2}-[0-9]{2})?$")]


@dataclass(frozen=True, slots=True)
class PageContext:
    """`joined` says when each province's first insured day began; `public_url` is where people reach the pages."""

    engine: AsyncEngine
    renderer: PageRenderer
    access: Access
    sources: Sources
    charging: Charging
    ledger: InternalApi
    receipts: OrderReceipts
    joined: Mapping[str, datetime]
    receipt_page: str
    public_url: str


def day_of(text: str | None) -> date | None:
    """A day of a form; an empty field is none, and what is no day is 422."""
    try:
        day = read_day(text) if text else None
    except Refused as error:
        raise HTTPException(422, str(error)) from error
    if day is not None and not FIRST_DAY <= day <= LAST_DAY:
        raise HTTPException(422, f"not between {FIRST_DAY} and {LAST_DAY}: {day}")
    return day


def check_seen(viewer: Viewer, province: str | None, enterprise: str | None) -> None:
    """Raise 404 for another service's data that this viewer may not see, without revealing whether it exists."""
    if not viewer.sees(province, enterprise):
        raise HTTPException(404, "nothing by this name in your share")


def check_enterprise(context: PageContext, viewer: Viewer, uscc: str) -> None:
    """404 for an enterprise that is not of the scheme, or that this viewer does not see."""
    if uscc not in context.renderer.enterprises:
        raise HTTPException(404, f"no enterprise {uscc}")
    check_seen(viewer, None, uscc)


async def answer_or_none(answer: Awaitable[T]) -> T | None:
    """The answer, or None where the service does not answer: the page then says so and shows the rest."""
    try:
        return await answer
    except (Refused, Retry):
        return None


def address(path: str, **values: object) -> str:
    """A path with those parameters that have a value."""
    kept = {name: str(value) for name, value in values.items() if value not in (None, "")}
    return f"{path}?{urlencode(kept)}" if kept else path


def see_other(where: str) -> Response:
    """After a form: the page that shows what came of it."""
    return Response(status_code=303, headers={"Location": where})
