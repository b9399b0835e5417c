"""What the scheme says of one day, laid out for the database: a few stretches of time for each place. Pure."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final

from services.charging.rows.row_kinds import EXCLUSION_REASONS
from shared.domain.calendar import EPOCH, instant_of
from shared.domain.scheme.industry import Industry
from shared.domain.scheme.rating import BEFORE_EVERYTHING, Charged, Excluded, ExclusionReason, Outcome, Scheme

NO_LINE: Final = -1
"""Code of the reason "enrolled, and no tariff line holds"; it stands in no row."""
_EMPLOYEE: Final = Excluded(ExclusionReason.INSURED_AS_EMPLOYEE)
_COLUMNS: Final = 9


class Rules:
    """Rows of (enterprise, province, industry, is_employee, valid_from, valid_to, premium, tariff line, reason)."""

    def __init__(self, rows: list[tuple[Any, ...]]) -> None:
        self.columns: list[list[Any]] = [list(column) for column in zip(*rows, strict=True)] or [[]] * _COLUMNS
        """As `unnest` takes them."""

    def __bool__(self) -> bool:
        return bool(self.columns[0])


def rules_of(scheme: Scheme, places: Iterable[Any], begin: datetime, end: datetime) -> Rules:
    """The rules of the places between two instants; a place has `enterprise`, `uscc`, `province` and `industry`."""
    rows: list[tuple[Any, ...]] = []
    for place in places:
        industry = Industry.of_code(place["industry"])
        starts, outcomes = scheme.timeline(place["uscc"], f"{place['province']:02}", industry)
        ends = [*map(_instant, starts[1:]), end]
        for start, until, outcome in zip(map(_instant, starts), ends, outcomes, strict=True):
            valid_from, valid_to = max(start, begin), min(until, end)
            if valid_from < valid_to:
                key = (place["enterprise"], place["province"], place["industry"])
                rows.append((*key, False, valid_from, valid_to, *_rate(outcome)))
                rows.append((*key, True, valid_from, valid_to, *_rate(_for_employee(outcome))))
    return Rules(rows)


def _for_employee(outcome: Outcome) -> Outcome:
    return outcome if isinstance(outcome, Excluded) else _EMPLOYEE


def _rate(outcome: Outcome) -> tuple[int, int, int]:
    """Premium, tariff line and code of the reason, as a row holds them."""
    match outcome:
        case Charged(line):
            return int(line.base_amount), line.number, 0
        case Excluded(reason):
            return 0, 0, EXCLUSION_REASONS.index(reason.value)
        case _:
            return 0, 0, NO_LINE


def _instant(microseconds: int) -> datetime:
    return EPOCH if microseconds == BEFORE_EVERYTHING else instant_of(microseconds)
