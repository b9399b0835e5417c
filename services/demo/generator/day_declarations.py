"""Generate each enterprise's declaration of a day, sent the morning after: `day.declared.v1`."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from random import Random
from typing import Final

import msgspec

from services.demo.generator.plan import Operation, Plan
from services.demo.generator.records import Record
from services.demo.generator.wire import DAY, SECOND, Acceptance, start_micros
from shared.contracts.events import DayDeclared, Declaration, DeclaredSeries, DeclaredTotal, NumberRange
from shared.contracts.topics import orders_topic
from shared.domain.calendar import day_start, instant_of
from shared.domain.money import Amount, yuan
from shared.domain.scheme.industry import Industry
from shared.domain.scheme.rating import Charged, Scheme

SENT_FROM_HOUR: Final = 2
SENT_WITHIN_HOURS: Final = 7
_ENCODER = msgspec.json.Encoder()


class Declarer:
    """Declares honestly what was generated: numbers used, and charged orders with their premium by accepted day."""

    def __init__(self, scheme: Scheme, plan: Plan) -> None:
        self._scheme = scheme
        self._enterprises = sorted({operation.uscc for operation in plan.operations})

    def declare(self, day: date, made: Sequence[tuple[Operation, Acceptance]], rng: Random) -> Iterator[Record]:
        """One record for each enterprise, sent between 02:00 and 09:00 of the next day."""
        numbers: dict[tuple[str, str], list[int]] = defaultdict(list)
        counts: dict[tuple[str, str, Industry], int] = defaultdict(int)
        for operation, order in made:
            numbers[order.uscc, order.series].append(order.sequence)
            if "employer_insurance_no" not in order.tail:
                counts[order.uscc, operation.province, operation.industry] += 1
        for uscc in self._enterprises:
            series = [
                DeclaredSeries(series=name, used=[NumberRange(first=used[0], last=used[-1])])
                for (owner, name), used in sorted(numbers.items())
                if owner == uscc
            ]
            totals = [
                DeclaredTotal(province=province, industry=industry.value, orders=orders, premium_yuan=yuan(premium))
                for (owner, province, industry), orders in sorted(counts.items())
                if owner == uscc and (premium := self._premium(day, uscc, province, industry, orders))
            ]
            hours = SENT_FROM_HOUR + SENT_WITHIN_HOURS * rng.random()
            yield _record(day, uscc, series, totals, start_micros(day) + DAY + int(hours * 3_600 * SECOND))

    def _premium(self, day: date, uscc: str, province: str, industry: Industry, orders: int) -> Amount:
        """Return the premium of this many orders; zero where they are not charged."""
        outcome = self._scheme.rate(uscc, province, industry, day_start(day) + timedelta(hours=12), is_employee=False)
        return Amount(orders * outcome.line.base_amount) if isinstance(outcome, Charged) else Amount(0)


def _record(day: date, uscc: str, series: list[DeclaredSeries], totals: list[DeclaredTotal], sent: int) -> Record:
    name = f"declared-{day.isoformat()}"
    declaration = Declaration(declaration_id=name, day=day, series=series, totals=totals)
    event = DayDeclared(specversion="1.0", id=name, source=f"urn:uscc:{uscc}", time=instant_of(sent), data=declaration)
    return Record(sent // 1_000, orders_topic(uscc), name.encode(), _ENCODER.encode(event))
