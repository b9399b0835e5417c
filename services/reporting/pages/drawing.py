"""Sheets as drawings: the line of days, the bars of hours."""

from collections.abc import Callable
from datetime import date
from typing import Final

from markupsafe import Markup

from services.reporting.pages.charts import Mark, bars, line_of_days
from services.reporting.pages.texts import Speech, grouped
from services.reporting.read_model.answers import Sheet

PEAKS: Final = frozenset({11, 12, 17, 18, 19})
"""Lunch and dinner."""
LABELS: Final = 6
"""So many labels fit on a phone."""


def draw_days(sheet: Sheet, t: Speech, link: Callable[[date], str]) -> Markup:
    """Orders a day; every day is a link."""
    marks = []
    for each in sheet.days:
        key = "figure.said" if each.worker_days is None else "figure.said_workers"
        values = {"label": each.day, "value": grouped(each.orders), "workers": grouped(each.worker_days)}
        marks.append(Mark(f"{each.day:%m-%d}", each.orders, t(key, **values), href=link(each.day)))
    return line_of_days(marks, every=max(1, -(-len(marks) // LABELS)))


def draw_hours(sheet: Sheet, t: Speech) -> Markup | None:
    """Acceptances by hour; None where nobody told."""
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
