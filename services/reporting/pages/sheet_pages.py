"""Overview, province, enterprise, industry, day and month: one shape each, out of one question."""

from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, HTTPException, Query, Request
from fastapi.responses import Response

from services.reporting.access.viewers import Role, Viewer, viewing
from services.reporting.pages.overview_page import show_overview
from services.reporting.read_model.responses import Figures, Sheet, Where
from services.reporting.read_model.sheets import Span, read_months, read_sheet
from services.reporting.rendering.layout import EVERYWHERE, OFFICES, home_of
from services.reporting.rendering.page_context import (
    AnyDay,
    AnyPeriod,
    AnyProvince,
    AnyUscc,
    Desk,
    PathDay,
    Period,
    Province,
    Uscc,
    address,
    day_of,
    see_other,
)
from services.reporting.rendering.sheet_charts import draw_days, draw_hours
from services.reporting.rendering.texts import Speech, say_bound
from shared.domain.calendar import Month, insured_day
from shared.domain.scheme.industry import Industry
from shared.domain.scheme.province import PROVINCES

PARTS: Final = ("province", "enterprise", "industry")


def make_router(desk: Desk) -> APIRouter:
    """Every page that shows a sheet."""
    router = APIRouter(include_in_schema=False)
    Asking = Annotated[Viewer, Depends(desk.access.require(*OFFICES))]  # noqa: N806 - a type, it holds the engine
    _add_first(router, desk)
    _add_months(router, desk)

    @router.get("/provinces/{code}")
    async def province(request: Request, viewer: Asking, code: Province, period: AnyPeriod = None, day: AnyDay = None,
                       enterprise: AnyUscc = None) -> Response:  # fmt: skip
        if code not in PROVINCES:
            raise HTTPException(404, f"no province {code}")
        place = Where(province=code, enterprise=enterprise or None)
        return await show_sheet(desk, request, viewer, place, period, day_of(day))

    @router.get("/enterprises/{uscc}")
    async def enterprise(request: Request, viewer: Asking, uscc: Uscc, period: AnyPeriod = None, day: AnyDay = None,
                         province: AnyProvince = None) -> Response:  # fmt: skip
        if uscc not in desk.site.enterprises:
            raise HTTPException(404, f"no enterprise {uscc}")
        place = Where(enterprise=uscc, province=province or None)
        return await show_sheet(desk, request, viewer, place, period, day_of(day))

    @router.get("/industries/{name}")
    async def industry(request: Request, viewer: Asking, name: Industry, period: AnyPeriod = None, day: AnyDay = None,
                       province: AnyProvince = None, enterprise: AnyUscc = None) -> Response:  # fmt: skip
        place = Where(industry=name.value, province=province or None, enterprise=enterprise or None)
        return await show_sheet(desk, request, viewer, place, period, day_of(day))

    _add_days(router, desk)
    return router


def _add_days(router: APIRouter, desk: Desk) -> None:
    Asking = Annotated[Viewer, Depends(desk.access.require(*OFFICES))]  # noqa: N806 - a type, it holds the engine

    @router.get("/days")
    async def any_day(_: Asking, day: AnyDay = None, province: AnyProvince = None, enterprise: AnyUscc = None,
                      industry: Industry | None = None) -> Response:  # fmt: skip
        place = Where(province=province or None, enterprise=enterprise or None, industry=industry)
        wanted = day_of(day)
        return see_other(_link(place, day=wanted) if wanted else _path(place) or "/months")

    @router.get("/days/{day}")
    async def one_day(request: Request, viewer: Asking, day: PathDay) -> Response:
        return await show_sheet(desk, request, viewer, Where(), None, day)

    @router.get("/days/{day}/{code}")
    async def day_in_province(request: Request, viewer: Asking, day: PathDay, code: Province) -> Response:
        return await show_sheet(desk, request, viewer, Where(province=code), None, day)

    @router.get("/months/{period}")
    async def one_month(request: Request, viewer: Asking, period: Period) -> Response:
        return await show_sheet(desk, request, viewer, Where(), period, None)


def _add_first(router: APIRouter, desk: Desk) -> None:
    @router.get("/")
    async def first(
        request: Request,
        viewer: Annotated[Viewer, Depends(desk.access.viewer)],
        shade: Annotated[str, Query(pattern="^(workers|coverage|premium)$")] = "workers",
    ) -> Response:
        if viewer.role not in EVERYWHERE:
            return see_other(home_of(viewer))
        return await show_overview(desk, request, viewer, shade)


def _add_months(router: APIRouter, desk: Desk) -> None:
    Asking = Annotated[Viewer, Depends(desk.access.require(*OFFICES))]  # noqa: N806 - a type, it holds the engine

    @router.get("/months")
    async def months(request: Request, viewer: Asking, period: AnyPeriod = None) -> Response:
        if period:
            return see_other(f"/months/{period}")
        async with viewing(desk.engine, viewer) as connection:
            found = await read_months(connection, Where())
        before = [None, *(each.orders for each in found)]
        rows = list(zip(found, before, strict=False))
        whose = _name_of(desk.site.speech(request), _own_place(viewer))
        return desk.site.page(request, "months.html", viewer=viewer, months=rows[::-1], whose_name=whose)


async def show_sheet(
    desk: Desk, request: Request, viewer: Viewer, place: Where, period: str | None, day: date | None
) -> Response:
    """The sheet of a day, else of a month; of the newest month where neither is named.

    404 for another's province or enterprise: its figures would be nothing, which they are not.
    """
    if any(getattr(place, name) not in {None, own} for name, own in _own_place(viewer) if own is not None):
        raise HTTPException(404, "not in your share")
    t = desk.site.speech(request)
    async with viewing(desk.engine, viewer) as connection:
        months = await read_months(connection, place)
        known = [each.month for each in months or await read_months(connection, Where())]
        shown = period or (known[-1] if known else None)
        span = _span(day, shown)
        sheet = await read_sheet(connection, _with_own(place, viewer), span)
    return desk.site.page(
        request, "sheet.html", viewer=viewer, sheet=sheet, own=_has_own_pages(viewer, place),
        heading=_name_of(t, place), period_said=t.day(day) if day else t.month(str(Month.of(span.first))),
        crumbs=_crumbs(t, place, span, viewer), steps=_steps(t, place, span, known), links=_exports(place, span),
        form_path=_path(place) or "/months", periods=_periods(t, known, span), chosen=str(Month.of(span.first)),
        day=day,
        kept=[(name, value) for name, value in _beside(place).items() if value],
        named=[(name, value) for name, value in place if value], joined_on=_joined_on(desk, place),
        line=draw_days(sheet, t, _day_link(place)),
        hours=draw_hours(sheet, t), parts=_parts(place, sheet, viewer, span), worker_days=_worker_days(sheet, span),
        bound=lambda place: say_bound(t, place), day_href=_day_link(place),
        statements_href=_statements(place, span), reports=_reports(t, sheet, span, viewer),
    )  # fmt: skip


def _span(day: date | None, period: str | None) -> Span:
    if day is not None:
        return Span.of_day(day)
    if not period:
        raise HTTPException(404, "no day is closed yet")
    return Span.of_month(Month.parse(period))


def _own_place(viewer: Viewer) -> Where:
    match viewer.role:
        case Role.PROVINCE:
            return Where(province=viewer.scope)
        case Role.ENTERPRISE:
            return Where(enterprise=viewer.scope)
        case _:
            return Where()


def _with_own(place: Where, viewer: Viewer) -> Where:
    """What is asked, named as the viewer's own: worker counts of an enterprise differ from those of all."""
    own = {name: value for name, value in _own_place(viewer) if value is not None}
    return place.model_copy(update={name: value for name, value in own.items() if getattr(place, name) is None})


def _has_own_pages(viewer: Viewer, place: Where) -> bool:
    """Streams show what has no province yet, so a province's viewer has no pages about them."""
    return (
        place.enterprise is not None
        and place.industry is None
        and place.province is None
        and viewer.sees(None, place.enterprise)
    )


def _name_of(t: Speech, place: Where) -> str:
    named = [t.named(name, value) for name in PARTS if (value := getattr(place, name)) is not None]
    return " · ".join(named) or t("figure.whole_country")


def _main(place: Where) -> str | None:
    """What the page is about: the most telling of what is named."""
    for name in ("industry", "enterprise", "province"):
        if getattr(place, name) is not None:
            return name
    return None


def _beside(place: Where) -> dict[str, str | None]:
    """What narrows the page further: parameters of its address."""
    return {name: getattr(place, name) for name in PARTS if name != _main(place)}


def _path(place: Where) -> str | None:
    match _main(place):
        case None:
            return None
        case "industry":
            return f"/industries/{place.industry}"
        case name:
            return f"/{name}s/{getattr(place, name)}"


def _link(place: Where, *, period: str | None = None, day: date | None = None) -> str:
    """The page of a place and a time."""
    path, beside = _path(place), _beside(place)
    if day is not None and place.enterprise is None and place.industry is None:
        return f"/days/{day}" + (f"/{place.province}" if place.province else "")
    if path is None:
        return f"/months/{period}"
    return address(path, **beside, period=period, day=day)


def _day_link(place: Where) -> Callable[[date], str]:
    return lambda day: _link(place, day=day)


def _crumbs(t: Speech, place: Where, span: Span, viewer: Viewer) -> list[tuple[str, str]]:
    """The way up: the country, the month of a day."""
    ways = [("/", t("nav.overview"))] if viewer.role in EVERYWHERE else []
    if span.is_day:
        period = str(Month.of(span.first))
        ways.append((_link(place, period=period), t.month(period)))
    return ways


def _steps(t: Speech, place: Where, span: Span, known: Sequence[str]) -> list[tuple[str, str, str]]:
    """To the days or months beside this one, as far as any is known."""
    before, after = span.first - timedelta(days=1), span.last + timedelta(days=1)
    ways = [(before, "previous", "prev"), (after, "next", "next")]
    unit = "day" if span.is_day else "month"
    return [
        (
            _link(place, day=day) if span.is_day else _link(place, period=str(Month.of(day))),
            t(f"figure.{word}_{unit}"),
            rel,
        )
        for day, word, rel in ways
        if known and known[0] <= str(Month.of(day)) <= known[-1]
    ]


def _joined_on(desk: Desk, place: Where) -> date | None:
    """When a province's first insured day began; None of what is no province, or of one that has not joined."""
    joined = desk.joined.get(place.province or "")
    return insured_day(joined) if joined else None


def _periods(t: Speech, known: Sequence[str], span: Span) -> list[tuple[str, str]]:
    every = sorted({*known, str(Month.of(span.first))}, reverse=True)
    return [(each, t.month(each)) for each in every]


def _parts(
    place: Where, sheet: Sheet, viewer: Viewer, span: Span
) -> list[tuple[str, Sequence[Figures], Callable[[str], str]]]:
    """The tables by what is not named yet, each row leading to the page that names it."""
    own = _own_place(viewer)
    rows: Mapping[str, Sequence[Figures]] = {
        "province": sheet.provinces, "enterprise": sheet.enterprises, "industry": sheet.industries,
    }  # fmt: skip
    free = [name for name in PARTS if getattr(place, name) is None and getattr(own, name) is None]
    when: dict[str, Any] = {"day": span.first} if span.is_day else {"period": str(Month.of(span.first))}

    def leading(name: str) -> Callable[[str], str]:
        return lambda code: _link(place.model_copy(update={name: code}), **when)

    return [(name, rows[name], leading(name)) for name in free]


def _worker_days(sheet: Sheet, span: Span) -> list[Any]:
    """Newest first; of a day only itself."""
    return [each for each in reversed(sheet.days) if span.first <= each.day <= span.last]


def _statements(place: Where, span: Span) -> str:
    return address("/statements", period=Month.of(span.first), province=place.province, enterprise=place.enterprise)


def _reports(t: Speech, sheet: Sheet, span: Span, viewer: Viewer) -> list[tuple[str, str]]:
    """The reports behind a day; an enterprise sees none, for they hold the others' rows."""
    if not span.is_day or viewer.role is Role.ENTERPRISE or sheet.where.enterprise or sheet.where.industry:
        return []
    codes = [part.code for part in sheet.provinces]
    return [(f"/reports/{span.first}/{code}", t.province(code)) for code in sorted(codes)]


def _exports(place: Where, span: Span) -> list[tuple[str, str]]:
    known = {name: getattr(place, name) for name in PARTS}
    when = {"first": span.first, "last": span.last}
    return [(kind.upper(), address("/v1/sheets", **known, **when, format=kind)) for kind in ("xlsx", "csv")]
