"""The tariff (缴费标准): dated lines, each with the notice it comes from (docs/decisions/0002)."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import groupby, pairwise
from typing import Final

from shared.domain.money import AMOUNT_PER_YUAN, Amount
from shared.domain.scheme.industry import Industry

LARGEST_BASE_AMOUNT: Final = Amount(AMOUNT_PER_YUAN)
"""Base amounts lie below 1 yuan an order: the highest published is 0.25; 7 or 25 are fen typed as yuan."""
LARGEST_LINE_NUMBER: Final = 32_767
"""Line numbers are stored in every row, in two bytes."""


@dataclass(frozen=True, slots=True)
class TariffLine:
    """One row of the tariff.

    `number` is unique, stable and stored in rows (1 to 32,767). `province` has two digits. `enterprise` is a
    USCC, or None for every enterprise; a line that names one goes before one that names none. The line holds
    for orders accepted from `valid_from` until before `valid_to` (None: no end known), both aware instants.
    `base_amount` (缴费基准额) is money an order. `grade` is that of the evidence, A to D, or M for "from
    general knowledge only"; `is_assumption` marks what no text read says.
    """

    number: int
    province: str
    industry: Industry
    enterprise: str | None
    valid_from: datetime
    valid_to: datetime | None
    base_amount: Amount
    notice: str
    is_assumption: bool = False
    note: str = ""
    grade: str = ""

    def holds_at(self, instant: datetime) -> bool:
        return self.valid_from <= instant and (self.valid_to is None or instant < self.valid_to)


@dataclass(frozen=True, slots=True)
class Fault:
    """Two lines of one province, industry and enterprise that do not follow on each other."""

    earlier: TariffLine
    later: TariffLine
    is_gap: bool

    def __str__(self) -> str:
        if self.is_gap:
            return f"line {self.later.number} leaves a gap after line {self.earlier.number}"
        return f"line {self.later.number} overlaps line {self.earlier.number}"


def end_open_lines(lines: Iterable[TariffLine]) -> Iterator[TariffLine]:
    """The lines, each one without an end ended by the next one of its province, industry and enterprise.

    So a tariff is changed by adding a line with a date, and no existing line is ever edited.
    """
    for _, group in groupby(sorted(lines, key=_place_and_start), line_key):
        ordered = list(group)
        for line, following in pairwise(ordered):
            starts_later = line.valid_from < following.valid_from
            ends = line.valid_to is None and starts_later
            yield replace(line, valid_to=following.valid_from) if ends else line
        yield ordered[-1]


def succession_faults(lines: Iterable[TariffLine]) -> Iterator[Fault]:
    """Every overlap and every gap between successive lines of one province, industry and enterprise.

    A gap is refused for an enterprise's own lines too: going back to the general amount is a decision,
    so it is a line with a notice.
    """
    for _, group in groupby(sorted(lines, key=_place_and_start), line_key):
        for earlier, later in pairwise(group):
            if earlier.valid_to is None or later.valid_from < earlier.valid_to:
                yield Fault(earlier, later, is_gap=False)
            elif earlier.valid_to < later.valid_from:
                yield Fault(earlier, later, is_gap=True)


def line_key(line: TariffLine) -> tuple[str, str, str]:
    """Key that has one amount at a time: province, industry, enterprise ("" for any)."""
    return line.province, line.industry.value, line.enterprise or ""


def _place_and_start(line: TariffLine) -> tuple[str, str, str, datetime, int]:
    return *line_key(line), line.valid_from, line.number
