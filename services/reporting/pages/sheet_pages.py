"""Show provinces, enterprises, industries, days and months as sheets of one shape, from one query."""

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Annotated, Final

from fastapi import APIRouter, Depends, HTTPException, Query, Request
from fastapi.responses import Response

from services.reporting.access.viewers import Viewer, viewing
from services.reporting.pages.overview_page import show_overview
from services.reporting.pages.sheet_links import (
    PARTS,
    breadcrumbs,
    day_link,
    download_links,
    link_to,
    name_of,
    neighbours,
    own_place,
    parameters_of,
    path_of,
    period_choices,
    report_links,
    statements_link,
)
from services.reporting.read_model.payment_state import read_balances
from services.reporting.read_model.projector import last_day
from services.reporting.read_model.responses import DayPart, Figures, Sheet, Where
from services.reporting.read_model.sheets import Span, read_months, read_sheet
from services.reporting.rendering.layout import EVERYWHERE, OFFICES, home_of
from services.reporting.rendering.money_text import sum_money
from services.reporting.rendering.page_context import (
    AnyDay,
    AnyPeriod,
    AnyProvince,
    AnyUscc,
    PageContext,
    PathDay,
    Period,
    Province,
    Uscc,
    day_of,
    see_other,
)
from services.reporting.rendering.sheet_charts import draw_days, draw_hours
from services.reporting.rendering.texts import say_bound
from shared.domain.calendar import Month, insured_day
from shared.domain.scheme.industry import Industry
from shared.domain.scheme.province import PROVINCES
from shared.runtime.clock import now

MOST_AMENDMENTS: Final = 200
"""Amendments on one page, the newest; the page says how many there are, and the download has all."""


def make_router(context: PageContext) -> APIRouter:
    """Every page that shows a sheet."""
    router = APIRouter(include_in_schema=False)
    Allowed = Annotated[Viewer, Depends(context.access.require(*OFFICES))]  # noqa: N806 - a type, it holds the engine
    _add_first(router, context)
    _add_months(router, context)

    @router.get("/provinces/{code}")
    async def province(request: Request, viewer: Allowed, code: Province, period: AnyPeriod = None, day: AnyDay = None,
                       enterprise: AnyUscc = None) -> Response:  # fmt: skip
        if code not in PROVINCES:
            raise HTTPException(404, f"no province {code}")
        place = Where(province=code, enterprise=enterprise or None)
        return await show_sheet(context, request, viewer, place, period, day_of(day))

    @router.get("/enterprises/{uscc}")
    async def enterprise(request: Request, viewer: Allowed, uscc: Uscc, period: AnyPeriod = None, day: AnyDay = None,
                         province: AnyProvince = None) -> Response:  # fmt: skip
        if uscc not in context.renderer.enterprises:
            raise HTTPException(404, f"no enterprise {uscc}")
        place = Where(enterprise=uscc, province=province or None)
        return await show_sheet(context, request, viewer, place, period, day_of(day))

    @router.get("/industries/{name}")
    async def industry(request: Request, viewer: Allowed, name: Industry, period: AnyPeriod = None, day: AnyDay = None,
                       province: AnyProvince = None, enterprise: AnyUscc = None) -> Response:  # fmt: skip
        place = Where(industry=name.value, province=province or None, enterprise=enterprise or None)
        return await show_sheet(context, request, viewer, place, period, day_of(day))

    _add_days(router, context)
    return router


def _add_days(router: APIRouter, context: PageContext) -> None:
    Allowed = Annotated[Viewer, Depends(context.access.require(*OFFICES))]  # noqa: N806 - a type, it holds the engine

    @router.get("/days")
    async def any_day(_: Allowed, day: AnyDay = None, province: AnyProvince = None, enterprise: AnyUscc = None,
                      industry: Industry | None = None) -> Response:  # fmt: skip
        place = Where(province=province or None, enterprise=enterprise or None, industry=industry)
        wanted = day_of(day)
        return see_other(link_to(place, day=wanted) if wanted else path_of(place) or "/months")

    @router.get("/days/{day}")
    async def one_day(request: Request, viewer: Allowed, day: PathDay) -> Response:
        return await show_sheet(context, request, viewer, Where(), None, day)

    @router.get("/days/{day}/{code}")
    async def day_in_province(request: Request, viewer: Allowed, day: PathDay, code: Province) -> Response:
        return await show_sheet(context, request, viewer, Where(province=code), None, day)

    @router.get("/months/{period}")
    async def one_month(request: Request, viewer: Allowed, period: Period) -> Response:
        return await show_sheet(context, request, viewer, Where(), period, None)


def _add_first(router: APIRouter, context: PageContext) -> None:
    @router.get("/")
    async def first(
        request: Request,
        viewer: Annotated[Viewer, Depends(context.access.viewer)],
        shade: Annotated[str, Query(pattern="^(workers|coverage|premium)$")] = "workers",
    ) -> Response:
        if viewer.role not in EVERYWHERE:
            return see_other(home_of(viewer))
        return await show_overview(context, request, viewer, shade)


def _add_months(router: APIRouter, context: PageContext) -> None:
    Allowed = Annotated[Viewer, Depends(context.access.require(*OFFICES))]  # noqa: N806 - a type, it holds the engine

    @router.get("/months")
    async def months(request: Request, viewer: Allowed, period: AnyPeriod = None) -> Response:
        if period:
            return see_other(f"/months/{period}")
        async with viewing(context.engine, viewer) as connection:
            parts = await read_months(connection, Where())
        before = [None, *(part.orders for part in parts)]
        rows = list(zip(parts, before, strict=False))
        whose = name_of(context.renderer.translator(request), own_place(viewer))
        return context.renderer.page(request, "months.html", viewer=viewer, months=rows[::-1], whose_name=whose)


async def show_sheet(
    context: PageContext, request: Request, viewer: Viewer, place: Where, period: str | None, day: date | None
) -> Response:
    """The sheet of a day, else of a month; of the newest month where neither is named.

    404 for another's province or enterprise: its figures would be nothing, which they are not.
    """
    if any(getattr(place, name) not in {None, own} for name, own in own_place(viewer) if own is not None):
        raise HTTPException(404, "not in your share")
    t, seen = context.renderer.translator(request), _with_own(place, viewer)
    async with viewing(context.engine, viewer) as connection:
        months = await read_months(connection, place)
        known = [part.month for part in months or await read_months(connection, Where())]
        shown = period or (known[-1] if known else None)
        span = _span(day, shown)
        sheet = await read_sheet(connection, seen, span, MOST_AMENDMENTS)
        closed = await last_day(connection)
    has_money, today = seen.enterprise is not None and seen.industry is None, insured_day(now())
    balances = await read_balances(context.sources, today, seen.enterprise, seen.province) if has_money else None
    return context.renderer.page(
        request, "sheet.html", viewer=viewer, sheet=sheet, own=_has_own_pages(viewer, place),
        heading=name_of(t, seen), period_said=t.day(day) if day else t.month(str(Month.of(span.first))),
        crumbs=breadcrumbs(t, place, span, viewer), steps=neighbours(t, place, span, known),
        links=download_links(seen, span),
        form_path=path_of(place) or "/months", periods=period_choices(t, known, span), chosen=str(Month.of(span.first)),
        day=day,
        kept=[(name, value) for name, value in parameters_of(place).items() if value],
        named=[(name, value) for name, value in place if value], joined_on=_joined_on(context, seen),
        is_closed=closed is not None and span.first <= closed,
        line=draw_days(sheet, t, day_link(place)),
        hours=draw_hours(sheet, t), parts=_parts(place, sheet, viewer, span), worker_days=_worker_days(sheet, span),
        bound=lambda place: say_bound(t, place), day_href=day_link(place),
        statements_href=statements_link(place, span),
        has_money=has_money, money=sum_money(balances), money_as_of=today, reports=report_links(t, sheet, span, viewer),
    )  # fmt: skip


def _span(day: date | None, period: str | None) -> Span:
    if day is not None:
        return Span.of_day(day)
    if not period:
        raise HTTPException(404, "no day is closed yet")
    return Span.of_month(Month.parse(period))


def _with_own(place: Where, viewer: Viewer) -> Where:
    """The place whose figures these are, by which headings and files are named: the requested one within the own."""
    own = {name: value for name, value in own_place(viewer) if value is not None}
    return place.model_copy(update={name: value for name, value in own.items() if getattr(place, name) is None})


def _has_own_pages(viewer: Viewer, place: Where) -> bool:
    """Streams show what has no province yet, so a province's viewer has no pages about them."""
    return (
        place.enterprise is not None
        and place.industry is None
        and place.province is None
        and viewer.sees(None, place.enterprise)
    )


def _joined_on(context: PageContext, place: Where) -> date | None:
    """When a province's first insured day began; None of what is no province, or of one that has not joined."""
    joined = context.joined.get(place.province or "")
    return insured_day(joined) if joined else None


def _parts(
    place: Where, sheet: Sheet, viewer: Viewer, span: Span
) -> list[tuple[str, Sequence[Figures], Callable[[str], str]]]:
    """The tables by what is not named yet, each row leading to the page that names it."""
    own = own_place(viewer)
    rows: Mapping[str, Sequence[Figures]] = {
        "province": sheet.provinces, "enterprise": sheet.enterprises, "industry": sheet.industries,
    }  # fmt: skip
    free = [name for name in PARTS if getattr(place, name) is None and getattr(own, name) is None]
    day, period = (span.first, None) if span.is_day else (None, str(Month.of(span.first)))

    def leading(name: str) -> Callable[[str], str]:
        return lambda code: link_to(place.model_copy(update={name: code}), period=period, day=day)

    return [(name, rows[name], leading(name)) for name in free]


def _worker_days(sheet: Sheet, span: Span) -> list[DayPart]:
    """Newest first; of a day only itself."""
    return [day for day in reversed(sheet.days) if span.first <= day.day <= span.last]
