"""Generate a month of order events in order of record time; equal seeds give equal bytes.

No clock, no files. A day's acceptances are made first, numbered in their order (each series without a gap), and
only then turned into events; what is sent late waits until its record time has come.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date
from itertools import accumulate
from random import Random
from typing import Final

from services.demo.generator import curves, wire
from services.demo.generator.bad_input import BAD_INPUT
from services.demo.generator.day_declarations import Declarer
from services.demo.generator.plan import Operation, Plan, make_plan
from services.demo.generator.records import Record
from services.demo.generator.wire import DAY, SECOND, Acceptance
from shared.domain.calendar import Month
from shared.domain.errors import Refused
from shared.domain.scheme.rating import Scheme

CANCELLED: Final = 0.05
REASSIGNED: Final = 0.012
NEVER_ENDED: Final = 0.004
REPEATED: Final = 0.010
REPEATED_LATER: Final = 0.002
SERIES: Final = ("s1", "s2")
REASONS: Final = ("customer", "customer", "worker", "enterprise", "other")
FEWEST_ORDERS: Final = 100


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to generate; `orders` are acceptances in the month, without bad, repeated or resent ones."""

    orders: int
    seed: int
    month: Month


def generate(scheme: Scheme, wanted: Wanted) -> Iterator[Record]:
    """Yield every record of the month and the late ones after it, in order of record time.

    Raises Refused for fewer orders than FEWEST_ORDERS, and for a scheme that covers no enterprise in the month.
    """
    if wanted.orders < FEWEST_ORDERS:
        raise Refused(f"at least {FEWEST_ORDERS} orders are needed to show a month, not {wanted.orders}")
    plan = make_plan(scheme, wanted.month, wanted.orders, wanted.seed)
    yield from _Generator(scheme, wanted, plan).records()


class _Generator:
    def __init__(self, scheme: Scheme, wanted: Wanted, plan: Plan) -> None:
        self.rng, self.wanted, self.plan = Random(wanted.seed), wanted, plan
        self.days = list(wanted.month.days())
        self.weights = list(accumulate(operation.weight for operation in plan.operations))
        self.numbers: dict[tuple[str, str], int] = defaultdict(int)
        self.orders_of: dict[str, int] = defaultdict(int)
        self.declarer = Declarer(scheme, plan)
        self.waiting: list[Record] = []
        few = max(2, wanted.orders // 8_000)
        picks = self.rng.sample(range(wanted.orders), 2 * few)
        self.conflicts, self.resends = set(picks[:few]), set(picks[few:])
        self.made = 0

    def records(self) -> Iterator[Record]:
        """Yield records day by day, holding back those that are sent later."""
        self._late_of_the_month_before()
        self._bad_input()
        for day, count in zip(self.days, self._counts(), strict=True):
            self._day(day, count)
            yield from self._ready(wire.start_micros(day) + DAY)
        yield from sorted(self.waiting)

    def _ready(self, until: int) -> list[Record]:
        border = until // 1_000
        ready = sorted(record for record in self.waiting if record.time_ms < border)
        self.waiting = [record for record in self.waiting if record.time_ms >= border]
        return ready

    def _counts(self) -> list[int]:
        """Return the number of orders of each day; they sum to the wanted number."""
        sums = list(accumulate(curves.day_weights(self.days)))
        ends = [round(self.wanted.orders * total / sums[-1]) for total in sums]
        return [end - start for start, end in zip([0, *ends], ends, strict=False)]

    def _day(self, day: date, count: int) -> None:
        start = wire.start_micros(day)
        made = self._number(self._acceptances(start, count))
        for operation, order, is_reassigned in made:
            self._events(operation, order, is_reassigned)
        for record in self.declarer.declare(day, [(operation, order) for operation, order, _ in made], self.rng):
            self.waiting.append(record)
            if self.rng.random() < REPEATED * 4:
                self.waiting.append(record._replace(time_ms=record.time_ms + 60_000))

    def _acceptances(self, start: int, count: int) -> list[tuple[Operation, Acceptance, bool]]:
        """Make a day's new orders; a reassigned one is followed by its second worker's acceptance."""
        rng, made = self.rng, []
        for operation in rng.choices(self.plan.operations, cum_weights=self.weights, k=count):
            order = self._order(operation, start + curves.time_of_day(rng, operation.industry))
            again = order.accepted + int((40 + 240 * rng.random()) * SECOND)
            is_reassigned = rng.random() < REASSIGNED and again < start + DAY
            made.append((operation, order, is_reassigned))
            if is_reassigned:
                worker = rng.choice(operation.workers)
                if worker.token != order.worker:
                    made.append(
                        (
                            operation,
                            replace(order, accepted=again, worker=worker.token, tail=worker.tail),
                            False,
                        )
                    )
        return made

    def _order(self, operation: Operation, at: int) -> Acceptance:
        rng = self.rng
        self.orders_of[operation.uscc] = number = self.orders_of[operation.uscc] + 1
        worker = operation.workers[int(rng.random() ** 1.4 * len(operation.workers))]
        return Acceptance(
            accepted=at,
            topic=operation.topic,
            uscc=operation.uscc,
            order_id=f"{self.wanted.month.year % 100:02d}{self.wanted.month.month:02d}-{number:09d}",
            worker=worker.token,
            industry=operation.industry.value,
            region=operation.regions[int(rng.random() * len(operation.regions))],
            series=SERIES[operation.province >= "40"],
            tail=worker.tail,
        )

    def _number(self, made: list[tuple[Operation, Acceptance, bool]]) -> list[tuple[Operation, Acceptance, bool]]:
        """Give each acceptance the next number of its series, in order of acceptance."""
        made.sort(key=lambda each: (each[1].accepted, each[1].uscc, each[1].order_id))
        for _, order, _ in made:
            key = (order.uscc, order.series)
            self.numbers[key] = order.sequence = self.numbers[key] + 1
        return made

    def _events(self, operation: Operation, order: Acceptance, is_reassigned: bool) -> None:
        """Generate the acceptance and the end of an order, with the faults of its delivery."""
        rng = self.rng
        self._send(order, order.accepted, wire.accepted(order))
        self._oddities(operation, order)
        fate = rng.random()
        if is_reassigned:
            at = order.accepted + int((10 + 25 * rng.random()) * SECOND)
            self._send(order, at, wire.cancelled(order, at, "worker", False))
        elif fate < CANCELLED:
            at = order.accepted + curves.cancelled_after(rng)
            self._send(order, at, wire.cancelled(order, at, rng.choice(REASONS), rng.random() < 0.4))
        elif fate < 1 - NEVER_ENDED:
            at = order.accepted + curves.duration(rng, operation.industry)
            self._send(order, at, wire.completed(order, at))

    def _send(self, order: Acceptance, at: int, value: bytes) -> None:
        """Send an event, perhaps late; sometimes repeat it, at once or days later, at times in a new envelope."""
        rng = self.rng
        sent = at + curves.delay(rng)
        key = order.order_id.encode()
        self.waiting.append(Record(sent // 1_000, order.topic, key, value))
        chance = rng.random()
        if chance < REPEATED:
            again = sent + int((0.001 + 4 * rng.random()) * SECOND)
            self.waiting.append(Record(again // 1_000, order.topic, key, value))
        elif chance < REPEATED + REPEATED_LATER:
            again = min(sent + int((0.5 + 20 * rng.random()) * DAY), order.accepted + 29 * DAY)
            self.waiting.append(Record(again // 1_000, order.topic, key, value.replace(b'"id":"', b'"id":"again-', 1)))

    def _oddities(self, operation: Operation, order: Acceptance) -> None:
        """Send, for a few orders, a conflict: an equal key with other content, or the order with another time."""
        number, self.made = self.made, self.made + 1
        if number in self.conflicts:
            other = operation.regions[-1] if order.region != operation.regions[-1] else operation.regions[0]
            at = order.accepted + 90 * SECOND
            self._send_plain(order, at, wire.accepted(replace(order, region=other)))
        if number in self.resends:
            later = replace(order, accepted=order.accepted + 2 * SECOND)
            self._send_plain(order, order.accepted + 30 * SECOND, wire.accepted(later))

    def _send_plain(self, order: Acceptance, at: int, value: bytes) -> None:
        self.waiting.append(Record(at // 1_000, order.topic, order.order_id.encode(), value))

    def _late_of_the_month_before(self) -> None:
        """Send orders of the month before whose acceptances arrive in this one: adjustments in the statement."""
        first = wire.start_micros(self.days[0])
        picked = self.rng.choices(self.plan.operations, cum_weights=self.weights, k=self._few(1_500))
        ages = [int((0.1 + 24 * self.rng.random()) * DAY) for _ in picked]
        made = [
            (picked_one, self._order(picked_one, first - age), False)
            for picked_one, age in zip(picked, ages, strict=True)
        ]
        for operation, order, _ in self._number(made):
            sent = max(first, order.accepted + 4 * DAY) + int(self.rng.random() * DAY)
            self._send_plain(order, sent, wire.accepted(order))
            at = order.accepted + curves.duration(self.rng, operation.industry)
            self._send_plain(order, sent + int(SECOND * (self.rng.random() * 4 - 2)), wire.completed(order, at))

    def _few(self, each: int) -> int:
        return max(5, self.wanted.orders // each)

    def _bad_input(self) -> None:
        """Send every kind of bad input, at random times of the month."""
        length = len(self.days) * DAY
        for make in BAD_INPUT.values():
            for operation in self.rng.choices(self.plan.operations, k=max(1, self.wanted.orders // 40_000)):
                at = wire.start_micros(self.days[0]) + int(self.rng.random() * length)
                order = self._order(operation, at)
                order.order_id, order.sequence = f"bad-{order.order_id}", 1
                self._send_plain(order, at + SECOND // 2, make(order))
