"""The same views as tables for spreadsheets: UTF-8 with a byte order mark, and no cell that a spreadsheet would run."""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from services.reporting.views import DayView, StatementView
from services.reporting.words import Words
from shared.contracts.reports import PremiumLine

_NUMBER: Final = re.compile(r"-?[0-9]+(\.[0-9]+)?")
_RUN_BY_SPREADSHEETS: Final = ("=", "+", "-", "@", "\t", "\r", "\n")
DAY_COLUMNS: Final = (
    "record",
    "day",
    "insured_on",
    "province",
    "enterprise",
    "enterprise_name",
    "industry",
    "tariff_line",
    "base_yuan",
    "charged",
    "reversed",
    "orders",
    "premium_yuan",
    "reason",
    "distinct_workers",
)
STATEMENT_COLUMNS: Final = (
    "record",
    "statement_id",
    "period",
    "province",
    "enterprise",
    "enterprise_name",
    "insured_month",
    "insured_on",
    "series",
    "industry",
    "tariff_line",
    "base_yuan",
    "orders",
    "exact_yuan",
    "amount_yuan",
    "due_on",
)
INDEX_COLUMNS: Final = (
    "kind",
    "report_id",
    "day",
    "period",
    "province",
    "enterprise",
    "enterprise_name",
    "orders",
    "amount_yuan",
    "state",
    "receipt_id",
    "received_at",
)
DISCREPANCY_COLUMNS: Final = (
    "id",
    "kind",
    "state",
    "count",
    "found_at",
    "last_seen_at",
    "times_seen",
    "noted_at",
    "actor",
    "note",
    "report_id",
    "period",
    "day",
    "province",
    "enterprise",
    "declared",
    "reported",
    "detail",
)


def write_csv(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> bytes:
    """A header and one line a row; a cell without a value is empty."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow([guarded(row.get(column)) for column in columns])
    return out.getvalue().encode("utf-8-sig")


def guarded(value: Any) -> str:
    """The cell's text; one that a spreadsheet would take for a formula gets an apostrophe before it."""
    text = "" if value is None else str(value)
    if text.startswith(_RUN_BY_SPREADSHEETS) and not _NUMBER.fullmatch(text):
        return "'" + text
    return text


def day_rows(view: DayView, words: Words) -> Iterator[dict[str, Any]]:
    """Lines, amendments, exclusions and distinct workers of a day, each as a record of its own."""
    report = view.report
    known = {"day": report.day, "province": report.province}
    for row in _report_rows(view):
        yield known | row | {"enterprise_name": words.enterprise(row.get("enterprise"))}
    if view.is_whole:
        yield known | {
            "record": "distinct_workers_in_province",
            "insured_on": report.day,
            "distinct_workers": report.province_workers,
        }
        yield known | {
            "record": "first_time_workers_in_province",
            "insured_on": report.day,
            "distinct_workers": report.first_time_workers,
        }


def _report_rows(view: DayView) -> Iterator[dict[str, Any]]:
    report = view.report
    for line in report.lines:
        yield _line_row(line, "line" if line.insured_on == report.day else "amendment")
    for exclusion in report.exclusions:
        yield exclusion.model_dump() | {"record": "exclusion"}
    for count in report.workers:
        yield {
            "record": "distinct_workers_of_enterprise",
            "insured_on": count.insured_on,
            "enterprise": count.enterprise,
            "distinct_workers": count.workers,
        }


def _line_row(line: PremiumLine, record: str) -> dict[str, Any]:
    return line.model_dump() | {"record": record}


def statement_rows(view: StatementView, words: Words) -> Iterator[dict[str, Any]]:
    """Lines and adjustments, then the total."""
    report = view.report
    known = report.model_dump(include={"statement_id", "period", "province", "enterprise", "due_on"})
    known["enterprise_name"] = words.enterprise(report.enterprise)
    for line in report.lines:
        yield known | line.model_dump(exclude={"kind"}) | {"record": line.kind}
    yield known | report.model_dump(include={"orders", "exact_yuan", "amount_yuan"}) | {"record": "total"}
