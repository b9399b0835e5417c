"""Presumed orders (推定订单): what is owed for numbers without an acceptance (docs/decisions/0007). A dated rule.

No text read says what is owed for orders that were not sent, so whether they are assessed is the authority's to set.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

MOST_ASSESSED: Final = 1_000_000
"""Numbers of one series and day. More are a finding only: they are a fault of numbering, and would be absurd money."""
ASSESSED: Final = "assessed"


class PresumptionMode(StrEnum):
    FINDING_ONLY = "finding_only"
    """Missing numbers are shown to the regulator, and nothing is owed for them."""
    ASSESS = "assess"
    """They are charged as orders, until they are declared unused or arrive."""


@dataclass(frozen=True, slots=True)
class PresumptionRule:
    """The rule for insured days that begin from `valid_from` (aware) on; `province` None: provinces without a rule."""

    valid_from: datetime
    province: str | None
    mode: PresumptionMode
    source: str
    is_assumption: bool = False


def is_assessed(rules: Iterable[PresumptionRule], province: str, day_begins_at: datetime) -> bool:
    """Whether missing numbers of a day are charged in a province; without any rule they are not."""
    held = [rule for rule in rules if rule.valid_from <= day_begins_at and rule.province in (province, None)]
    best = max(held, key=lambda rule: (rule.province is not None, rule.valid_from), default=None)
    return best is not None and best.mode is PresumptionMode.ASSESS


def assessed_reason(series: str) -> str:
    """The reason of a total of assessed numbers: it names the series."""
    return f"{ASSESSED}:{series}"


def series_of(reason: str | None) -> str | None:
    """The series of such a reason; None for any other."""
    word, colon, series = (reason or "").partition(":")
    return series if word == ASSESSED and colon else None


@dataclass(frozen=True, slots=True)
class Seen:
    """Charged orders of one enterprise on one day; `premium` is 0.0001 yuan an order."""

    series: str
    province: str
    industry: int
    tariff_line: int
    premium: int
    orders: int


@dataclass(frozen=True, slots=True)
class Basis:
    """Base amount, line and place at which a missing number is charged."""

    province: str
    industry: int
    tariff_line: int
    base_amount: int


def basis_of(series: str, seen: Iterable[Seen]) -> Basis | None:
    """The enterprise's highest base amount of the day, in the province with most of that series' orders of the day.

    Where the series has none that day, most of all the enterprise's orders; None where nothing was charged. Of equals
    the lowest tariff line, and the lowest code of a province.
    """
    all_of_it = list(seen)
    if not all_of_it:
        return None
    highest = min(all_of_it, key=lambda group: (-group.premium, group.tariff_line))
    own = [group for group in all_of_it if group.series == series] or all_of_it
    orders: dict[str, int] = {}
    for group in own:
        orders[group.province] = orders.get(group.province, 0) + group.orders
    province = min(orders, key=lambda code: (-orders[code], code))
    return Basis(province, highest.industry, highest.tariff_line, highest.premium)
