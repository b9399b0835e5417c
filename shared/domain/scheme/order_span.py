"""How long an order may last: it covers its worker from acceptance to its end, up to a dated span of its industry.

An order whose end never came counts as open for that span: a ride may be reserved days ahead.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from shared.domain.scheme.industry import Industry

DAYS_WITHOUT_LINE: Final = 7
"""Span of an industry for which no line holds yet."""


@dataclass(frozen=True, slots=True)
class OrderSpan:
    """The span of orders of an industry that are accepted from `valid_from` (aware) until the next line begins."""

    industry: Industry
    longest_days: int
    valid_from: datetime
    notice: str = ""
    grade: str = ""
    is_assumption: bool = False


class OrderSpans:
    """The spans of every industry, by the instant of acceptance."""

    def __init__(self, spans: Iterable[OrderSpan]) -> None:
        self._spans = sorted(spans, key=lambda span: span.valid_from)

    @property
    def longest(self) -> timedelta:
        """The longest span of any industry and time."""
        return timedelta(days=max([DAYS_WITHOUT_LINE, *(span.longest_days for span in self._spans)]))

    def of(self, industry: Industry, accepted_at: datetime) -> timedelta:
        """The span of an order of the industry that was accepted at an instant."""
        days = DAYS_WITHOUT_LINE
        for span in self._spans:
            if span.industry is industry and span.valid_from <= accepted_at:
                days = span.longest_days
        return timedelta(days=days)
