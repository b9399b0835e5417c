"""Tabulates the scheme of one day for the database: a few spans of time for each place. Pure."""

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from msgspec import Struct

from services.charging.rows.row_kinds import EXCLUSION_REASONS
from shared.domain.calendar import EPOCH, instant_of
from shared.domain.scheme.industry import Industry
from shared.domain.scheme.rating import BEFORE_EVERYTHING, Charged, Excluded, ExclusionReason, Outcome, Scheme

NO_LINE: Final = -1
"""Code of the reason "enrolled, and no tariff line holds"; no row has it."""
_EMPLOYEE: Final = Excluded(ExclusionReason.INSURED_AS_EMPLOYEE)


class RatedPlace(Struct, frozen=True):
    """An enterprise's orders in a province and industry."""

    enterprise: int
    uscc: str
    province: int
    industry: int


class Rate(Struct, frozen=True):
    """How orders of a place that are accepted within a span of time are rated; `premium` is 0.0001 yuan."""

    enterprise: int
    province: int
    industry: int
    is_employee: bool
    valid_from: datetime
    valid_to: datetime
    premium: int
    tariff_line: int
    reason: int


def rates_of(scheme: Scheme, places: Iterable[RatedPlace], begin: datetime, end: datetime) -> list[Rate]:
    """Tabulate the rates of the places between two instants."""
    rates: list[Rate] = []
    for place in places:
        industry = Industry.of_code(place.industry)
        starts, outcomes = scheme.timeline(place.uscc, f"{place.province:02}", industry)
        ends = [*map(_instant, starts[1:]), end]
        for start, until, outcome in zip(map(_instant, starts), ends, outcomes, strict=True):
            valid_from, valid_to = max(start, begin), min(until, end)
            if valid_from < valid_to:
                for is_employee, rated in ((False, outcome), (True, _for_employee(outcome))):
                    rates.append(
                        Rate(
                            place.enterprise, place.province, place.industry, is_employee, valid_from, valid_to,
                            *_rate(rated),
                        )
                    )  # fmt: skip
    return rates


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
