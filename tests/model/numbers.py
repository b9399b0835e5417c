"""The auditor's numbers: which are missing of a day, and what is charged for them. Sets of numbers, one by one.

A number counts from the close whose cut reaches its acceptance; the numbers of parked events and conflicts are not
missing; of the manifests of a day the highest signed revision holds, without one the last received.
"""

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import date, timedelta
from fractions import Fraction
from typing import Any, NamedTuple

from tests.model.declarations import replaces
from tests.model.identity import names_a_person

ONE = timedelta(days=1)
MOST = 1_000_000


class Used(NamedTuple):
    """An acceptance that stands in a row, as far as its number goes."""

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
        for each in heard:
            number = number_in(each.value, each.enterprise)
            if each.outcome in {"charged", "excluded"} and number and each.insured_on:
                self.used.append(Used(*number, each.insured_on, each.province, each.industry, each.line, each.base))
                came.add(number)
            elif each.outcome == "recorded":
                new.append(said_in(each.value, each.enterprise, each.revision))
            elif number:
                self.kept.add(number)
        self.said += new
        back = self.settle(came, new)
        found = [each for each in self.presume(day, gap_days) if is_charged(each.province, each.insured_on)]
        self.charged |= set(found)
        return found, back

    def presume(self, day: date, gap_days: int) -> list[Missing]:
        """At a close: what is missing of the days whose time has come, by the rules for a gap."""
        self.counted.append(day)
        found = []
        for judged in [each for each in self.counted if each <= day - gap_days * ONE and each not in self.judged]:
            known = set().union(*self.judged.values()) if self.judged else set()
            self.judged[judged] = self._missing(judged) - known
            found += [self._charge(judged, *each) for each in sorted(self.judged[judged])]
        return [each for each in found if each is not None]

    def settle(self, came: set[tuple[str, str, int]], new: list[Said]) -> set[Missing]:
        """What is taken back now: numbers that arrived, or that a new manifest of about their day declares unused."""
        found, held = set(), self._held()
        new = [each for each in new if each is held[each.enterprise, each.day]
               or each.revision is None is held[each.enterprise, each.day].revision]  # fmt: skip
        for each in self.charged - self.taken_back:
            number = each[:3]
            is_unused = any(
                said.enterprise == each.enterprise
                and abs(said.day - each.insured_on) <= ONE
                and each.sequence in said.unused.get(each.series, set())
                for said in new
            )
            if number in came or is_unused:
                found.add(each)
        self.taken_back |= found
        return found

    def _held(self) -> dict[tuple[str, date], Said]:
        found: dict[tuple[str, date], Said] = {}
        for each in self.said:
            key = (each.enterprise, each.day)
            if key not in found or replaces(each.revision, found[key].revision):
                found[key] = each
        return found

    def _missing(self, day: date) -> set[tuple[str, str, int]]:
        held, found = self._held(), set()
        series = {(each.enterprise, each.series) for each in self.used}
        series |= {(each.enterprise, name) for each in held.values() for name in each.used}
        for enterprise, name in series:
            seen = {each.sequence for each in self.used if each[:2] == (enterprise, name)}
            expected = set()
            for each in self.used:
                if each[:2] == (enterprise, name) and each.insured_on == day and any(n < each.sequence for n in seen):
                    below = each.sequence - 1
                    while below not in seen:
                        expected.add(below)
                        below -= 1
            for on, held_used in ((each.day, each.used) for each in held.values() if each.enterprise == enterprise):
                expected |= held_used.get(name, set()) if on == day else set()
            unused = [each.unused.get(name, set()) for each in held.values()
                      if each.enterprise == enterprise and abs(each.day - day) <= ONE]  # fmt: skip
            missing = expected - seen - set().union(*unused)
            found |= {(enterprise, name, n) for n in missing} - self.kept
        return found

    def _charge(self, day: date, enterprise: str, series: str, sequence: int) -> Missing | None:
        """At the highest base amount of the day, in the province with most of the series' charged orders."""
        mine = [each for each in self.used if each.enterprise == enterprise and each.insured_on == day and each.line]
        if not mine:
            return None
        best = min(mine, key=lambda each: (-each.base, int(each.line)))
        own = [each.province for each in mine if each.series == series] or [each.province for each in mine]
        province = min(set(own), key=lambda code: (-own.count(code), code))
        return Missing(enterprise, series, sequence, day, province, best.industry, best.line, best.base)


def number_in(value: bytes | None, enterprise: str) -> tuple[str, str, int] | None:
    """The number that kept bytes bear, where they can be read and are the enterprise's own."""
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


def said_in(value: bytes | None, enterprise: str, revision: int | None) -> Said:
    """A manifest that was taken in."""
    data: dict[str, Any] = json.loads(value or b"")["data"]

    def numbers(what: str) -> dict[str, set[int]]:
        found: dict[str, set[int]] = {}
        for series in data["series"]:
            mine = found.setdefault(series["series"], set())
            for each in series.get(what, []):
                mine |= set(range(each["first"], min(each["last"], each["first"] + MOST) + 1))
        return found

    return Said(enterprise, date.fromisoformat(data["day"]), numbers("used"), numbers("unused"), revision)
