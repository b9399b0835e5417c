"""Show the first page to those who see the whole country."""

from collections.abc import Collection, Sequence

from fastapi import Request
from fastapi.responses import Response

from services.reporting.access.viewers import Viewer, viewing
from services.reporting.read_model.overview import read_overview
from services.reporting.read_model.responses import MapPart
from services.reporting.rendering.china_map import CLASSES, Shade, class_edges
from services.reporting.rendering.page_context import PageContext, address, answer_or_none
from services.reporting.rendering.sheet_charts import draw_days, draw_hours
from services.reporting.rendering.texts import Translator, grouped, percent, yuan_text
from shared.domain.calendar import Month


async def show_overview(context: PageContext, request: Request, viewer: Viewer, shade: str) -> Response:
    """The last closed day; `shade` says by what the map is coloured."""
    t = context.renderer.translator(request)
    async with viewing(context.engine, viewer) as connection:
        overview = await read_overview(connection, context.joined)
    log = await answer_or_none(context.sources.log_state())
    if overview.sheet is None or overview.day is None:
        return context.renderer.page(request, "overview.html", viewer=viewer, overview=overview)
    sheet, day = overview.sheet, overview.day
    period = str(Month.of(day))
    shades = {part.province: _shade(part, shade, t, period) for part in overview.map}
    return context.renderer.page(
        request, "overview.html", viewer=viewer, overview=overview, period=period, shade=shade,
        log=log,
        map=context.renderer.map.draw(shades, t("overview.map")), legend=_legend(shades.values(), shade, t),
        provinces=sorted(overview.map, key=_rank), line=draw_days(sheet, t, lambda day_shown: f"/days/{day_shown}"),
        hours=draw_hours(sheet, t),
        enterprise_link=lambda code: address(f"/enterprises/{code}", day=day),
        industry_link=lambda code: address(f"/industries/{code}", day=day),
    )  # fmt: skip


def _rank(part: MapPart) -> tuple[bool, int, str]:
    """Most orders first, those outside the pilot last."""
    return not part.is_in_pilot, -(part.figures.orders if part.figures else 0), part.province


def _value(part: MapPart, shade: str) -> int:
    """The figure that shades the map, as an integer: workers, 0.0001 yuan, or ten-thousandths."""
    if part.figures is None:
        return 0
    match shade:
        case "workers":
            return part.figures.worker_days or 0
        case "premium":
            return part.figures.premium
        case _:
            return round(float(part.figures.insured_share or 0) * 10_000)


def _shade(part: MapPart, shade: str, t: Translator, period: str) -> Shade:
    name, href = t.province(part.province), f"/provinces/{part.province}?period={period}"
    if not part.is_in_pilot:
        return Shade(None, t("overview.map_outside", name=name), href)
    figures = part.figures
    said = t(
        "overview.map_said",
        name=name,
        workers=grouped(figures.worker_days or 0 if figures else 0),
        orders=grouped(figures.orders if figures else 0),
        premium=grouped(yuan_text(figures.premium if figures else 0)),
        share=percent(figures.insured_share if figures else None),
    )
    return Shade(_value(part, shade), said, href)


def _legend(shades: Collection[Shade], shade: str, t: Translator) -> Sequence[tuple[str, str]]:
    edges = class_edges([shade_of.value for shade_of in shades if shade_of.value])
    first = CLASSES - len(edges)

    def said(value: int) -> str:
        match shade:
            case "workers":
                return grouped(value)
            case "premium":
                return grouped(yuan_text(value))
            case _:
                return f"{value / 100:.2f}%"

    reported = [(f"q{first + place}", t("overview.up_to", most=said(edge))) for place, edge in enumerate(edges)]
    nothing = [("q0", t("overview.no_orders"))] if any(shade_of.value == 0 for shade_of in shades) else []
    last = t("overview.above") if edges else t(f"overview.shade_{shade}")
    outside = [("outside", t("overview.outside"))] if any(shade_of.value is None for shade_of in shades) else []
    return [*nothing, *reported, (f"q{CLASSES}", last), *outside]
