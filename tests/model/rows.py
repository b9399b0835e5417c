"""What the auditor's charging keeps: rows, totals, manifests, and the count of a close. Money is yuan as Fraction."""

from collections import Counter
from dataclasses import dataclass
from datetime import date, datetime
from fractions import Fraction
from typing import Any, NamedTuple, Protocol

from tests.model.scheme import SHANGHAI


class Received(Protocol):
    """A record of an orders topic; `timestamp` is milliseconds since 1970."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    value: bytes | None


class Total(NamedTuple):
    """What is counted together; `base` is yuan an order, below 0 where it is taken back; "" and None for nothing."""

    insured_on: date | None
    enterprise: str
    province: str
    industry: str
    outcome: str
    reason: str = ""
    line: str = ""
    base: Fraction = Fraction(0)


@dataclass
class Row:
    """An event that is in the books, or a reversal that was made of one."""

    kind: str
    key: tuple[str, str, str, datetime]
    """Enterprise, order, first 16 digits of the worker's token, acceptance."""
    said: dict[str, Any]
    total: Total
    run: str
    number: int
    place: int
    """How many events were received before it."""
    is_settled: bool = False
    reversed_by: str = ""
    code: int = 0
    """1 an acceptance, 8, 10 ... a charge by a re-rating; 4, 9, 11 ... what takes these back."""
    latest: "Row | None" = None
    """Of a re-rated acceptance: the charge that holds."""

    @property
    def charge(self) -> "Row":
        return self.latest or self


@dataclass
class Manifest:
    """Totals of one batch."""

    run: str
    number: int
    kind: str
    totals: Counter[Total]


@dataclass
class Closing:
    """A day whose cut is frozen."""

    day: date
    cut: dict[str, int]
    previous: dict[str, int]
    settlement: Manifest | None = None
    count: "Count | None" = None


@dataclass
class Count:
    """What the close of a day counts."""

    day: date
    settlement: Counter[Total]
    totals: Counter[Total]
    workers: Counter[tuple[date, str, str]]
    """Insured day, enterprise ("" for all of them) and province."""
    first_time: dict[str, set[str]]
    employees: Counter[tuple[str, str, str, str]]
    """Enterprise, province, worker and insurance number."""
    resends: int
    unmatched: int
    hours: Counter[tuple[date, str, str, int]]
    """Acceptances by insured day, enterprise, province and hour."""


def hours_of(row: Row) -> list[tuple[date, str, str, int]]:
    """The hour that an acceptance counts in; nothing of other rows."""
    at, total = row.key[3].astimezone(SHANGHAI), row.total
    return [(at.date(), total.enterprise, total.province, at.hour)] if row.kind == "accepted" else []


def reaches(cut: dict[str, int] | None, row: Row) -> bool:
    """A cut, or none at all, reaches the row."""
    return cut is None or row.number <= cut.get(row.run, 0)
