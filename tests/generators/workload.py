"""Seeded histories with everything nasty in them: what enterprises send, and what the operator does in between.

A history is a list of steps, each a dictionary that JSON can hold, so that one that was found is kept as a file. It is
drawn from a `random.Random`, or from Hypothesis's, which shrinks it. Insured days lie around a month's end, on both
sides of every date in `tests/seeds/scheme`; records come in any order between the closes, so they are late by chance.
"""

import json
import random
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

from tests.generators.workload_faults import AGENCY, FAULTS, Value
from tests.generators.workload_places import CORNERS, EVERYWHERE, INDUSTRIES, JOINING, PLACES, REGIONS

SHANGHAI = timezone(timedelta(hours=8))
OPENED_ON = date(2026, 10, 29)
FIRST, LAST = date(2026, 10, 27), date(2026, 11, 3)
PARTITIONS = 2
MICROSECOND = timedelta(microseconds=1)

Step = dict[str, Any]


def bytes_of(value: Value) -> bytes | None:
    """The bytes of a record in a history: text, {"hex": ...} or {"before": text, "many": text, "times": n,
    "after": text}."""
    if isinstance(value, dict):
        if "hex" in value:
            return bytes.fromhex(value["hex"])
        return str(value["before"] + value["many"] * value["times"] + value.get("after", "")).encode()
    return None if value is None else value.encode()


@dataclass
class Order:
    """One order as its enterprise knows it."""

    uscc: str
    data: dict[str, Any]
    accepted_at: datetime
    is_sent: bool = False


@dataclass
class Workload:
    """Draws one history; `random` decides everything."""

    random: random.Random
    months: tuple[str, ...] = ("2026-10-31", "2026-11-30")
    """How far the days are closed and billed in the longest of histories."""
    orders: list[Order] = field(default_factory=list)
    sent: list[dict[str, Any]] = field(default_factory=list)
    declared: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    count: int = 0

    def history(self, steps: int, events: int) -> list[Step]:
        """A list of about so many steps; a sending step has up to `events` events."""
        made: list[Step] = []
        while len(made) < steps:
            made += self._some_steps(events)
        made += [{"do": "deliver", "picks": [0] * 8, "twice": False}, {"do": "settle"}]
        for until in self.random.choice([[], ["2026-10-31"], ["2026-11-02"], self.months]):
            made += [{"do": "rush", "until": until}, {"do": "bill"}]
            made += [self.money() for _ in range(self.random.randint(2, 8))]
        if self.random.random() < 0.5:
            made += [*self.correct(), {"do": "deliver", "picks": [0] * 8, "twice": False}, *self._close()]
        return made

    def _some_steps(self, events: int) -> list[Step]:
        chance = self.random.random()
        if chance < 0.45:
            return [self.send(events)]
        if chance < 0.65:
            return [self.deliver()]
        if chance < 0.72:
            return [{"do": "settle"}]
        if chance < 0.88:
            return self._close()
        if chance < 0.90:
            return [{"do": "bill"}]
        if chance < 0.92:
            return self.correct()
        if chance < 0.95:
            return [self.money()]
        clock = {"do": "clock", "seconds": self.random.choice([-3_600, 3_600])}
        return [self.random.choice([{"do": "restart", "worker": 0}, {"do": "zombie"}, {"do": "fill"}, clock])]

    def _close(self) -> list[Step]:
        """A close in its steps, at times with traffic between them, at times requested or answered twice."""
        steps: list[Step] = [{"do": "freeze"}]
        steps += self._between()
        steps += [{"do": "count"}] * self.random.choice([1, 1, 2])
        steps += self._between()
        return [*steps, {"do": "answer", "twice": self.random.random() < 0.3}]

    def _between(self) -> list[Step]:
        if self.random.random() < 0.6:
            return []
        return [self.random.choice([self.send(3), self.deliver(), {"do": "settle"}, {"do": "freeze"}, {"do": "bill"}])]

    def correct(self) -> list[Step]:
        """Other scheme files, at times the first ones again, and a re-rating of the orders of a window."""
        days = sorted(FIRST + timedelta(days=self.random.randint(0, 7)) for _ in range(2))
        window = {"first": str(days[0]), "last": str(days[1])}
        enterprise = self.random.choice(["", "", EVERYWHERE, JOINING])
        province = self.random.choice(["", "", "44", "31"])
        rerate = {"do": "rerate", **window, "enterprise": enterprise, "province": province}
        scheme = self.random.choice(["scheme-corrected", "scheme-corrected", "scheme"])
        return [{"do": "correct", "scheme": scheme}, *self._between(), rerate]

    def deliver(self) -> Step:
        """Hand over some of the manifests on their way, in any order; `twice` each of them."""
        picks = [self.random.randint(0, 7) for _ in range(self.random.randint(1, 4))]
        return {"do": "deliver", "picks": picks, "twice": self.random.random() < 0.2}

    def money(self) -> Step:
        if self.random.random() < 0.3:
            return {
                "do": "fees",
                "as_of": str(
                    date(2026, 11, 10) + timedelta(days=self.random.choice([0, 7, 40, 300, 1000, 1999, 2500]))
                ),
            }
        return {
            "do": "remit",
            "which": self.random.randint(0, 5),
            "hundredths": self.random.choice([1, 33, 50, 100, 100, 150, 1000]),
            "on": str(date(2026, 11, 1) + timedelta(days=self.random.randint(0, 60))),
            "again": self.random.choice(["", "", "same", "other"]),
        }

    # Events

    def send(self, events: int) -> Step:
        """A batch of one of two workers, by COPY or INSERT; with `concurrent`, another enterprise's batch at once."""
        records = [self.record() for _ in range(self.random.randint(1, max(events, 1)))]
        use_copy = self.random.random() < 0.5
        step = {"do": "send", "worker": self.random.randint(0, 1), "use_copy": use_copy, "records": records}
        if self.random.random() < 0.15:
            step["concurrent"] = [self.record() for _ in range(self.random.randint(1, max(events, 1)))]
        return step

    def record(self) -> dict[str, Any]:
        """One record: topic, partition, record time in milliseconds, value."""
        chance = self.random.random()
        unsent = [order for order in self.orders if not order.is_sent]
        if not self.orders or chance < 0.42:
            order = self._new_order()
            if self.random.random() < 0.75:
                return self._accept(order)
            return self._end(order)
        if unsent and chance < 0.50:
            return self._accept(self.random.choice(unsent))
        order = self.random.choice(self.orders[-8:] if self.random.random() < 0.5 else self.orders)
        makers: list[tuple[float, Callable[[Order], dict[str, Any]]]] = [
            (0.70, self._end),
            (0.75, self._repeat),
            (0.78, self._dressed_up),
            (0.82, self._conflict),
            (0.89, self._under_another_time),
            (0.92, self._another_worker),
            (0.95, self._declare),
        ]
        for limit, make in makers:
            if chance < limit:
                return make(order)
        return self._garbage(order)

    def _new_order(self) -> Order:
        self.count += 1
        uscc, industry, province = self.random.choice(PLACES)
        at = self._instant()
        data: dict[str, Any] = {
            "order_id": f"o{self.count}",
            "worker_id": f"{self.random.randint(1, 5):016x}{'0' * 47}{self.random.choice('1111112')}",
            "token_key": 1,
            "industry": industry,
            "acceptance_region": REGIONS[province],
        }
        if self.random.random() < 0.08:
            data["employer_insurance_no"] = self.random.choice(["GS-1", "GS-2"])
        if self.random.random() < 0.1:
            data["agency_uscc"] = AGENCY
        order = Order(uscc, data, at)
        self.orders.append(order)
        return order

    def _instant(self) -> datetime:
        if self.random.random() < 0.4:
            corner = datetime.fromisoformat(self.random.choice(CORNERS))
            return corner + self.random.choice([-1, 0, 0, 1]) * MICROSECOND
        day = FIRST + timedelta(days=self.random.randint(0, (LAST - FIRST).days))
        moment = datetime(day.year, day.month, day.day, tzinfo=SHANGHAI)
        return moment + timedelta(minutes=self.random.randint(0, 1439))

    def _accept(self, order: Order) -> dict[str, Any]:
        order.is_sent = True
        sequence = self.random.randint(1, 99)
        return self._event(order, "accepted", {"series": "main", "sequence": sequence}, order.accepted_at)

    def _end(self, order: Order) -> dict[str, Any]:
        seconds = self.random.choice([0, 1, 20, 59, 60, 60, 61, 89, 90, 3600, 100_000])
        part = self.random.choice([0, 0, -1, 1]) if seconds else 0
        end = order.accepted_at + timedelta(seconds=seconds, microseconds=part)
        if self.random.random() < 0.3 and end > order.accepted_at:
            return self._event(order, "completed", {"completed_at": self._text(end)}, end)
        reason = self.random.choice(["customer", "worker", "enterprise", "other"])
        more = {"cancelled_at": self._text(end), "reason": reason, "departed": self.random.random() < 0.2}
        return self._event(order, "cancelled", more, end)

    def _event(self, order: Order, kind: str, more: dict[str, Any], known_at: datetime, **other: Any) -> dict[str, Any]:
        data = {**order.data, "accepted_at": self._text(order.accepted_at), **more, **other}
        self.count += 1
        reported = {
            "specversion": "1.0",
            "id": f"e{self.count}",
            "source": f"urn:uscc:{order.uscc}",
            "type": f"order.{kind}.v1",
            "data": {name: value for name, value in data.items() if value is not None},
        }
        record = self._place(order.uscc, str(data["order_id"]), self._time_ms(known_at), json.dumps(reported))
        self.sent.append(record)
        return record

    def _time_ms(self, known_at: datetime) -> int:
        """A record time at which the event is taken: at once, minutes or days later, at the last moment."""
        lag = self.random.choice([0, 0, 0, -300, 5, 3_600, 86_400, 20 * 86_400])
        moment = known_at + timedelta(seconds=lag)
        return -(-(moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1))

    def _text(self, moment: datetime) -> str:
        zone = self.random.choice([SHANGHAI, SHANGHAI, UTC, timezone(timedelta(hours=-11, minutes=-30))])
        text = moment.astimezone(zone).isoformat()
        return text.replace("+00:00", "Z")

    def _place(self, uscc: str, key: str, time_ms: int, value: Value) -> dict[str, Any]:
        partition = zlib.crc32(key.encode()) % PARTITIONS
        return {"topic": f"orders.v1.{uscc}", "partition": partition, "ms": time_ms, "value": value}

    # Sent before

    def _repeat(self, order: Order) -> dict[str, Any]:
        """The very bytes, at once or days later."""
        if not self.sent:
            return self._accept(order)
        before = self.random.choice(self.sent)
        later = self.random.choice([0, 1, 86_400_000, 9 * 86_400_000])
        return {**before, "ms": before["ms"] + later}

    def _reported_before(self, order: Order) -> tuple[dict[str, Any], dict[str, Any]] | None:
        mine = [record for record in self.sent if f'"{order.data["order_id"]}"' in record["value"]]
        if not mine:
            return None
        before = self.random.choice(mine)
        return before, json.loads(before["value"])

    def _dressed_up(self, order: Order) -> dict[str, Any]:
        """A repeat of an event: its content in another envelope, with other numbers or offsets."""
        earlier = self._reported_before(order)
        if earlier is None:
            return self._accept(order)
        before, reported = earlier
        reported |= {"id": "again", "time": "2026-11-05T00:00:00Z", "traceparent": "x"}
        for name in ("accepted_at", "completed_at", "cancelled_at"):
            if name in reported["data"]:
                reported["data"][name] = self._text(datetime.fromisoformat(reported["data"][name]))
        if "sequence" in reported["data"]:
            reported["data"] |= {"sequence": 7, "series": "b"}
        return {**before, "value": json.dumps(dict(reversed(reported.items())))}

    def _conflict(self, order: Order) -> dict[str, Any]:
        """Another content under the same key."""
        earlier = self._reported_before(order)
        if earlier is None:
            return self._accept(order)
        before, reported = earlier
        changes: list[dict[str, Any]] = [
            {"acceptance_region": self.random.choice(list(REGIONS.values()))},
            {"industry": self.random.choice(INDUSTRIES)},
            {"token_key": 2},
            {"agency_uscc": EVERYWHERE},
            {"employer_insurance_no": "GS-9"},
            {"worker_id": reported["data"]["worker_id"][:16] + "f" * 48},
        ]
        if "departed" in reported["data"]:
            changes += [{"departed": not reported["data"]["departed"]}, {"reason": "other"}]
        reported["data"] |= self.random.choice(changes)
        record = {**before, "value": json.dumps(reported)}
        self.sent.append(record)
        return record

    def _under_another_time(self, order: Order) -> dict[str, Any]:
        """A resend of an order with another acceptance time; worker and enterprise are equal."""
        shift = self.random.choice([MICROSECOND, timedelta(hours=1), timedelta(days=1), timedelta(days=2)])
        other = Order(order.uscc, dict(order.data), order.accepted_at + shift * self.random.choice([-1, 1]))
        self.orders.append(other)
        return self._accept(other)

    def _another_worker(self, order: Order) -> dict[str, Any]:
        """A second worker on the order, at the same instant or a minute later."""
        data = {**order.data, "worker_id": f"{self.random.randint(6, 7):016x}" + "0" * 48}
        other = Order(order.uscc, data, order.accepted_at + timedelta(seconds=self.random.choice([0, 60])))
        self.orders.append(other)
        return self._accept(other)

    def _declare(self, order: Order) -> dict[str, Any]:
        """A declaration; at times a repeat, or another under its id."""
        if self.declared and self.random.random() < 0.5:
            uscc, reported = self.random.choice(self.declared)
            if self.random.random() < 0.5:
                reported = {**reported, "day": "2026-10-29"}
        else:
            self.count += 1
            series = {"series": "main", "used": [{"first": 1, "last": self.random.randint(1, 9)}]}
            day = str(FIRST + timedelta(days=self.random.randint(1, 5)))
            uscc, reported = (
                order.uscc,
                {"declaration_id": f"d{self.count}", "day": day, "series": [series], "totals": []},
            )
            self.declared.append((uscc, reported))
        event = {
            "specversion": "1.0",
            "id": "d",
            "source": f"urn:uscc:{uscc}",
            "type": "day.declared.v1",
            "data": reported,
        }
        return self._place(uscc, "declared", self._time_ms(order.accepted_at), json.dumps(event))

    # Garbage

    def _garbage(self, order: Order) -> dict[str, Any]:
        """One fault of the closed list."""
        record = self._event(order, "accepted", {"series": "main", "sequence": 1}, order.accepted_at)
        self.sent.pop()
        reported = json.loads(record["value"])
        return {**record, **self.random.choice(FAULTS)(record, reported)}


def draw(seed: int, steps: int = 40, events: int = 12) -> list[Step]:
    """The history of a seed."""
    return Workload(random.Random(seed)).history(steps, events)
