"""Provinces, enterprises and days that a reader may query: the parameters that several routes take."""

from datetime import date, timedelta
from typing import Annotated, Final

from fastapi import HTTPException, Path, Query

from services.reporting.access.viewers import Role, Viewer
from services.reporting.read_model.responses import PROVINCE, Where
from services.reporting.read_model.sheets import Span
from shared.domain.calendar import FIRST_DAY, LAST_DAY, Month
from shared.domain.scheme.industry import Industry
from shared.runtime.http.types import PERIOD, USCC, StrictDay

MOST_DAYS: Final = 366
READERS: Final = (Role.NATIONAL, Role.PROVINCE, Role.ENTERPRISE, Role.OPERATOR)
AnyProvince = Annotated[str | None, Query(pattern=PROVINCE, description="two digits of GB/T 2260", examples=["44"])]
AnyUscc = Annotated[str | None, Query(pattern=USCC, description="统一社会信用代码", examples=["91110000MA0BLUE021"])]
AnyIndustry = Annotated[Industry | None, Query(examples=["instant_delivery"])]
AnyDay = Annotated[StrictDay | None, Query(ge=FIRST_DAY, le=LAST_DAY, examples=["2026-10-03"])]
AnyPeriod = Annotated[str | None, Query(pattern=PERIOD, description="billing period", examples=["2026-10"])]
KeyId = Annotated[int, Path(ge=1, lt=2**63)]
MOST_LISTED: Final = 1_000
Limit = Annotated[
    int | None,
    Query(ge=1, le=MOST_LISTED, description="at most so many, and `next` leads on; 100, or all in a download"),
]


def place_of(
    viewer: Viewer, province: str | None = None, enterprise: str | None = None, industry: Industry | None = None
) -> Where:
    """The requested place, narrowed to the reader's own; 403 for somebody else's."""
    own: dict[str, str | None] = {"province": province, "enterprise": enterprise}
    if viewer.role in {Role.PROVINCE, Role.ENTERPRISE}:
        name = viewer.role.value
        if own[name] not in (None, viewer.scope):
            raise HTTPException(403, f"{viewer.name!r} sees the {name} {viewer.scope} only")
        own[name] = viewer.scope
    return Where(**own, industry=None if industry is None else industry.value)


def narrowed(viewer: Viewer, place: Where) -> Where:
    """Narrow a place to the viewer's own, which is the place that the answer's figures are of."""
    if viewer.role in {Role.PROVINCE, Role.ENTERPRISE}:
        return place.model_copy(update={viewer.role.value: viewer.scope})
    return place


def span_of(first: date, last: date) -> Span:
    """These days, and as many before; a calendar month and the month before. 422 for none, or for too many."""
    if not timedelta() <= last - first < timedelta(days=MOST_DAYS):
        raise HTTPException(422, f"`last` is `first` or after it, and less than {MOST_DAYS} days later")
    month = Month.of(first)
    if (first, last) == (month.first_day, month.last_day):
        return Span.of_month(month)
    return Span(first, last, (first - (last - first) - timedelta(days=1), first - timedelta(days=1)))
