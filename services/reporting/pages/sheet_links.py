"""Build the addresses around a sheet: its own, its neighbours', its parents', and its downloads."""

from collections.abc import Callable, Sequence
from datetime import date, timedelta
from typing import Final

from services.reporting.access.viewers import Role, Viewer
from services.reporting.read_model.responses import Sheet, Where
from services.reporting.read_model.sheets import Span
from services.reporting.rendering.layout import EVERYWHERE
from services.reporting.rendering.page_context import address
from services.reporting.rendering.texts import Translator
from shared.domain.calendar import Month

PARTS: Final = ("province", "enterprise", "industry")


def own_place(viewer: Viewer) -> Where:
    """The province or enterprise that a viewer is confined to; nothing for those who see the whole country."""
    match viewer.role:
        case Role.PROVINCE:
            return Where(province=viewer.scope)
        case Role.ENTERPRISE:
            return Where(enterprise=viewer.scope)
        case _:
            return Where()


def name_of(t: Translator, place: Where) -> str:
    """The place in words; the whole country where nothing is named."""
    named = [t.named(name, value) for name in PARTS if (value := getattr(place, name)) is not None]
    return " · ".join(named) or t("figure.whole_country")


def _main(place: Where) -> str | None:
    """The parameter that the page is about: the most specific one that is named."""
    for name in ("industry", "enterprise", "province"):
        if getattr(place, name) is not None:
            return name
    return None


def parameters_of(place: Where) -> dict[str, str | None]:
    """Parameters of the address that narrow the page further."""
    return {name: getattr(place, name) for name in PARTS if name != _main(place)}


def path_of(place: Where) -> str | None:
    """The path of the place's page; None for the whole country."""
    match _main(place):
        case None:
            return None
        case "industry":
            return f"/industries/{place.industry}"
        case name:
            return f"/{name}s/{getattr(place, name)}"


def link_to(place: Where, *, period: str | None = None, day: date | None = None) -> str:
    """The page of a place and a time."""
    path, parameters = path_of(place), parameters_of(place)
    if day is not None and place.enterprise is None and place.industry is None:
        return f"/days/{day}" + (f"/{place.province}" if place.province else "")
    if path is None:
        return f"/months/{period}"
    return address(path, **parameters, period=period, day=day)


def day_link(place: Where) -> Callable[[date], str]:
    """A function that links a day of the place."""
    return lambda day: link_to(place, day=day)


def breadcrumbs(t: Translator, place: Where, span: Span, viewer: Viewer) -> list[tuple[str, str]]:
    """The way up: the country, the month of a day."""
    ways = [("/", t("nav.overview"))] if viewer.role in EVERYWHERE else []
    if span.is_day:
        period = str(Month.of(span.first))
        ways.append((link_to(place, period=period), t.month(period)))
    return ways


def neighbours(t: Translator, place: Where, span: Span, known: Sequence[str]) -> list[tuple[str, str, str]]:
    """Links to the days or months before and after this one, as far as any is known."""
    before, after = span.first - timedelta(days=1), span.last + timedelta(days=1)
    ways = [(before, "previous", "prev"), (after, "next", "next")]
    unit = "day" if span.is_day else "month"
    return [
        (
            link_to(place, day=day) if span.is_day else link_to(place, period=str(Month.of(day))),
            t(f"figure.{word}_{unit}"),
            rel,
        )
        for day, word, rel in ways
        if known and known[0] <= str(Month.of(day)) <= known[-1]
    ]


def period_choices(t: Translator, known: Sequence[str], span: Span) -> list[tuple[str, str]]:
    """Months to choose from, newest first, with their names."""
    every = sorted({*known, str(Month.of(span.first))}, reverse=True)
    return [(period, t.month(period)) for period in every]


def statements_link(place: Where, span: Span) -> str:
    """The list of statements of the place and month."""
    return address("/statements", period=Month.of(span.first), province=place.province, enterprise=place.enterprise)


def report_links(t: Translator, sheet: Sheet, span: Span, viewer: Viewer) -> list[tuple[str, str]]:
    """The reports behind a day; an enterprise sees none, for they hold the others' rows."""
    if not span.is_day or viewer.role is Role.ENTERPRISE or sheet.where.enterprise or sheet.where.industry:
        return []
    codes = [part.code for part in sheet.provinces]
    return [(f"/reports/{span.first}/{code}", t.province(code)) for code in sorted(codes)]


def download_links(place: Where, span: Span) -> list[tuple[str, str]]:
    """The sheet as XLSX and CSV."""
    known = {name: getattr(place, name) for name in PARTS}
    when = {"first": span.first, "last": span.last}
    return [(kind.upper(), address("/v1/sheets", **known, **when, format=kind)) for kind in ("xlsx", "csv")]
