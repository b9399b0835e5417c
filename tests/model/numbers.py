"""The auditor's numbers: which are missing of a day, and what is charged for them. Sets of numbers, one by one.

A number counts from the close whose cut reaches its acceptance; the numbers of parked events and conflicts are not
missing; of the manifests of a day the highest revision holds, a signed one before any that is not.
"""

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import date, timedelta
from fractions import Fraction
from typing import Any, NamedTuple

from tests.model.identity import names_a_person

ONE = timedelta(days=1)
MOST = 1_000_000


class Used(NamedTuple):
    """The sequence number of an acceptance that is stored in a row, with what rates it."""

    enterprise: str
    series: str
    sequence: int
    insured_on: date
    province: str
    industry: str
    line: str
    """"" where it is not charged."""
    base: Fraction


class Said(NamedTuple):
    """A manifest of a day."""

    enterprise: str
    day: date
    used: dict[str, set[int]]
    unused: dict[str, set[int]]
    revision: int | None
    stated: int
    sent: tuple[int, str]
    """Record time and id."""


class Heard(NamedTuple):
    """What came in a batch and what became of it; of a charge its line and base."""

    run: str
    number: int
    enterprise: str
    value: bytes | None
    insured_on: date | None
    province: str
    industry: str
    outcome: str
    line: str
    base: Fraction
    revision: int | None
    """Of a signed manifest."""
    recorded_ms: int


class Missing(NamedTuple):
    """A number that is charged, at what and where."""

    enterprise: str
    series: str
    sequence: int
    insured_on: date
    province: str
    industry: str
    line: str
    base: Fraction


@dataclass
class Numbers:
    """What the closes so far have seen."""

    used: list[Used] = field(default_factory=list)
    kept: set[tuple[str, str, int]] = field(default_factory=set)
    said: list[Said] = field(default_factory=list)
    counted: list[date] = field(default_factory=list)
    judged: dict[date, set[tuple[str, str, int]]] = field(default_factory=dict)
    charged: set[Missing] = field(default_factory=set)
    taken_back: set[Missing] = field(default_factory=set)

    def close(
        self, day: date, gap_days: int, heard: Iterable[Heard], is_charged: Callable[[str, date], bool]
    ) -> tuple[list[Missing], set[Missing]]:
        """A close that reaches more than the ones before: what is charged by it, and what is taken back."""
        came, new = set(), []
        for record in heard:
            number = number_in(record.value, record.enterprise)
            if record.outcome in {"charged", "excluded"} and number and record.insured_on:
                place = (record.insured_on, record.province, record.industry)
                self.used.append(Used(*number, *place, record.line, record.base))
                came.add(number)
            elif record.outcome == "recorded":
                new.append(said_in(record))
            elif number:
                self.kept.add(number)
        self.said += new
        back = self.settle(came, new)
        presumed = self.presume(day, gap_days)
        charged = [missing for missing in presumed if is_charged(missing.province, missing.insured_on)]
        self.charged |= set(charged)
        return charged, back

    def presume(self, day: date, gap_days: int) -> list[Missing]:
        """At a close: what is missing of the days whose time has come, by the rules for a gap."""
        self.counted.append(day)
        charged = []
        last = day - gap_days * ONE
        for judged in [counted for counted in self.counted if counted <= last and counted not in self.judged]:
            known = set().union(*self.judged.values()) if self.judged else set()
            self.judged[judged] = self._missing(judged) - known
            charged += [self._charge(judged, *key) for key in sorted(self.judged[judged])]
        return [missing for missing in charged if missing is not None]

    def settle(self, came: set[tuple[str, str, int]], new: list[Said]) -> set[Missing]:
        """What is taken back now: numbers that arrived, or that a new manifest of about their day declares unused."""
        reversed_numbers, held = set(), self._held()
        new = [declared for declared in new if declared is held[declared.enterprise, declared.day]]
        for missing in self.charged - self.taken_back:
            number = missing[:3]
            is_unused = any(
                said.enterprise == missing.enterprise
                and abs(said.day - missing.insured_on) <= ONE
                and missing.sequence in said.unused.get(missing.series, set())
                for said in new
            )
            if number in came or is_unused:
                reversed_numbers.add(missing)
        self.taken_back |= reversed_numbers
        return reversed_numbers

    def _held(self) -> dict[tuple[str, date], Said]:
        by_day: dict[tuple[str, date], list[Said]] = {}
        for declared in self.said:
            by_day.setdefault((declared.enterprise, declared.day), []).append(declared)
        return {key: _holding(of_day) for key, of_day in by_day.items()}

    def _missing(self, day: date) -> set[tuple[str, str, int]]:
        held, absent = self._held(), set()
        series = {(row.enterprise, row.series) for row in self.used}
        series |= {(declared.enterprise, name) for declared in held.values() for name in declared.used}
        for enterprise, name in series:
            seen = {row.sequence for row in self.used if row[:2] == (enterprise, name)}
            expected = set()
            for row in self.used:
                if row[:2] == (enterprise, name) and row.insured_on == day and any(n < row.sequence for n in seen):
                    below = row.sequence - 1
                    while below not in seen:
                        expected.add(below)
                        below -= 1
            for declared in held.values():
                if declared.enterprise == enterprise and declared.day == day:
                    expected |= declared.used.get(name, set())
            unused = [declared.unused.get(name, set()) for declared in held.values()
                      if declared.enterprise == enterprise and abs(declared.day - day) <= ONE]  # fmt: skip
            missing = expected - seen - set().union(*unused)
            absent |= {(enterprise, name, n) for n in missing} - self.kept
        return absent

    def _charge(self, day: date, enterprise: str, series: str, sequence: int) -> Missing | None:
        """At the highest base amount of the day, in the province with most of the series' charged orders."""
        mine = [row for row in self.used if row.enterprise == enterprise and row.insured_on == day and row.line]
        if not mine:
            return None
        best = min(mine, key=lambda each: (-each.base, int(each.line)))
        own = [row.province for row in mine if row.series == series] or [row.province for row in mine]
        province = min(set(own), key=lambda code: (-own.count(code), code))
        return Missing(enterprise, series, sequence, day, province, best.industry, best.line, best.base)


def number_in(value: bytes | None, enterprise: str) -> tuple[str, str, int] | None:
    """The sequence number in kept bytes, where they can be read and are the enterprise's own."""
    try:
        reported = json.loads(value or b"")
        if reported["type"] != "order.accepted.v1" or reported["source"] != f"urn:uscc:{enterprise}":
            return None
        series, sequence = reported["data"]["series"], reported["data"]["sequence"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    is_number = isinstance(sequence, int) and not isinstance(sequence, bool) and 1 <= sequence < 2**53
    is_series = isinstance(series, str) and re.fullmatch(r"[A-Za-z0-9_-]{1,16}", series) is not None
    is_series = is_series and not names_a_person(series)
    return (enterprise, series, sequence) if is_number and is_series else None


def _holding(of_day: list[Said]) -> Said:
    """The first signed manifest of the highest revision; where none is signed, the last of the highest revision."""
    signed = [said for said in of_day if said.revision is not None]
    highest = max(said.stated for said in signed or of_day)
    of_highest = [said for said in signed or of_day if said.stated == highest]
    return min(of_highest, key=lambda said: said.sent) if signed else max(of_highest, key=lambda said: said.sent)


def said_in(record: Heard) -> Said:
    """A manifest that was taken in."""
    event: dict[str, Any] = json.loads(record.value or b"")
    data = event["data"]

    def numbers(what: str) -> dict[str, set[int]]:
        by_series: dict[str, set[int]] = {}
        for series in data["series"]:
            mine = by_series.setdefault(series["series"], set())
            for span in series.get(what, []):
                mine |= set(range(span["first"], min(span["last"], span["first"] + MOST) + 1))
        return by_series

    sent, day = (record.recorded_ms, data["declaration_id"]), date.fromisoformat(data["day"])
    stated = int(event.get("revision") or 0)
    return Said(record.enterprise, day, numbers("used"), numbers("unused"), record.revision, stated, sent)
