"""A made-up quarter of orders, event by event, of enterprises that leave nothing out: seeded.

Everything that happens to honest ones does: orders around midnight, cancellations, numbers given to no order (declared
unused), employees, events sent twice, ends that come before their acceptance or days after it, weekends and holidays.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from random import Random
from typing import Any

import msgspec

from shared.contracts.bounds import IndustryName
from shared.contracts.events import DayDeclared, Declaration, DeclaredSeries, DeclaredTotal, NumberRange
from shared.domain.calendar import day_start
from tests.generators.quarter_figures import is_regular, scattered
from tests.integration.charging.charging_harness import (
    BEIJING,
    FREIGHT,
    GUANGDONG,
    RIDES,
    Sent,
    accepted,
    cancelled,
    completed,
)
from tests.integration.charging.charging_harness import worker as token

ERRANDS = "91000000FAKE00006Y"
SHANGHAI = "310115"
FIRST = date(2026, 7, 20)
WORKERS = 40


@dataclass(frozen=True)
class Place:
    """What an enterprise does in a region: orders on a usual day, hundredths of a yuan an order."""

    uscc: str
    region: str
    industry: IndustryName
    series: str
    orders: int
    fen: int


PLACES = (
    Place(RIDES, GUANGDONG, "ride_hailing", "main", 20, 1),
    Place(RIDES, BEIJING, "ride_hailing", "north", 9, 1),
    Place(ERRANDS, GUANGDONG, "instant_delivery", "app", 14, 7),
    Place(ERRANDS, SHANGHAI, "instant_delivery", "app", 10, 7),
    Place(FREIGHT, GUANGDONG, "intracity_freight", "one", 8, 18),
)


@dataclass
class Day:
    """What is sent because of a day, and how many orders of it an enterprise has."""

    sent: list[Sent] = field(default_factory=list)
    orders: dict[str, int] = field(default_factory=lambda: defaultdict(int))


@dataclass
class _Said:
    """What an enterprise will declare of the day."""

    used: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    unused: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    totals: dict[tuple[str, IndustryName], list[int]] = field(default_factory=lambda: defaultdict(lambda: [0, 0]))


class Quarter:
    """Days one after the other; the events of order number `dropped` (counted from 0) are never sent."""

    def __init__(self, seed: int, dropped: int | None = None) -> None:
        self._rng, self._dropped, self._orders = Random(seed), dropped, 0
        self._last: dict[tuple[str, str], int] = defaultdict(int)

    def days(self, count: int) -> Iterator[tuple[date, Day]]:
        for day in (FIRST + timedelta(days=n) for n in range(count)):
            yield day, self._day(day)

    def _day(self, day: date) -> Day:
        made, said = Day(), defaultdict[str, _Said](_Said)
        usual = (1.0 if day.weekday() < 5 else 1.2) if is_regular(day) else 0.7
        drawn = [
            (day_start(day) + timedelta(seconds=self._rng.randrange(86_400), microseconds=n), place)
            for place in PLACES
            for n in range(scattered(self._rng, usual * place.orders))
        ]
        for at, place in sorted(drawn, key=lambda each: each[0]):
            self._order(made, said[place.uscc], at, place)
        made.sent += [_manifest(uscc, day, accepted) for uscc, accepted in said.items()]
        return made

    def _order(self, made: Day, said: _Said, at: datetime, place: Place) -> None:
        rng, key = self._rng, (place.uscc, place.series)
        self._last[key] += 1
        if rng.random() < 0.02:
            said.unused[place.series].append(self._last[key])
            self._last[key] += 1
        number, is_employee = self._last[key], rng.random() < 0.03
        made.orders[place.uscc] += 1
        said.used[place.series].append(number)
        if not is_employee:
            total = said.totals[place.region[:2], place.industry]
            total[0], total[1] = total[0] + 1, total[1] + place.fen
        events = self._events(place, number, at, {"employer_insurance_no": "GS-1"} if is_employee else {})
        if self._orders != self._dropped:
            made.sent += events
        self._orders += 1

    def _events(self, place: Place, number: int, at: datetime, more: dict[str, Any]) -> list[Sent]:
        rng, order_id = self._rng, f"{place.series}-{number}"
        same: dict[str, Any] = {
            "uscc": place.uscc, "worker_id": token(rng.randrange(WORKERS)), "acceptance_region": place.region,
            "industry": place.industry, **more,
        }  # fmt: skip
        acceptance = accepted(order_id, at, series=place.series, sequence=number, **same)
        if rng.random() < 0.1:
            end = cancelled(order_id, at, rng.randint(5, 300), **same)
        else:
            end = completed(order_id, at, rng.randint(300, 7_200), **same)
        events = [
            _sent(acceptance, rng.randrange(3_000) if rng.random() < 0.05 else 1),
            _sent(end, rng.randrange(2 * 86_400) if rng.random() < 0.03 else 1),
        ]
        return events + [_sent(event, rng.randrange(86_400)) for event in events if rng.random() < 0.02]


def _sent(event: Sent, seconds: float) -> Sent:
    """An event recorded `seconds` after it happened."""
    return Sent(event.value, event.at + timedelta(seconds=seconds), event.uscc)


def _manifest(uscc: str, day: date, said: _Said) -> Sent:
    """At eight in the morning after."""
    reported = Declaration(
        declaration_id=f"d{day}",
        day=day,
        series=[
            DeclaredSeries(name, [NumberRange(n, n) for n in used], [NumberRange(n, n) for n in said.unused[name]])
            for name, used in said.used.items()
        ],
        totals=[
            DeclaredTotal(*place, orders, f"{fen // 100}.{fen % 100:02}")
            for place, (orders, fen) in said.totals.items()
        ],
    )
    event = DayDeclared(specversion="1.0", id=reported.declaration_id, source=f"urn:uscc:{uscc}", data=reported)
    return Sent(msgspec.json.encode(event), day_start(day) + timedelta(hours=32), uscc)
