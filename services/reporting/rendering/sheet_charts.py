"""Draw the charts of a sheet: the line of days, the bars of hours."""

from collections.abc import Callable, Sequence
from datetime import date, timedelta
from typing import Final

from markupsafe import Markup

from services.reporting.read_model.responses import DayPart, Sheet
from services.reporting.rendering.charts import Mark, bars, line_of_days
from services.reporting.rendering.texts import Translator, grouped

PEAKS: Final = frozenset({11, 12, 17, 18, 19})
"""Lunch and dinner."""
LABELS: Final = 5
"""So many labels fit on a phone."""


def draw_days(sheet: Sheet, t: Translator, link: Callable[[date], str]) -> Markup:
    """Orders a day, from the first one with an order on; every day is a link."""
    marks = []
    for day in _in_a_row(sheet.days):
        key = "figure.said" if day.worker_days is None else "figure.said_workers"
        values = {"label": day.day, "value": grouped(day.orders), "workers": grouped(day.worker_days)}
        marks.append(Mark(f"{day.day:%m-%d}", day.orders, t(key, **values), href=link(day.day)))
    return line_of_days(marks, every=max(1, -(-len(marks) // LABELS)))


def _in_a_row(days: Sequence[DayPart]) -> list[DayPart]:
    """With the days between that nothing is known of, so that a day is as wide as any other."""
    known = {part.day: part for part in days}
    ordered = [part.day for part in days if part.orders]
    if not ordered:
        return []
    first, last = min(ordered), max(known)
    every = [first + timedelta(days=offset) for offset in range((last - first).days + 1)]
    return [known.get(day) or DayPart(day=day) for day in every]


def draw_hours(sheet: Sheet, t: Translator) -> Markup | None:
    """Acceptances by hour; None where none were reported."""
    if sheet.hours is None or not any(sheet.hours):
        return None
    marks = [
        Mark(
            f"{hour}",
            orders,
            t("figure.said_hour", hour=hour, next=hour + 1, value=grouped(orders)),
            is_peak=hour in PEAKS,
        )
        for hour, orders in enumerate(sheet.hours)
    ]
    return bars(marks, every=3)
