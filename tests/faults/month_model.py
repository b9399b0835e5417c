"""A generated month as the auditor's model lives it: charged and closed by day, billed, paid, with late fees."""

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from fractions import Fraction

from services.demo.demo import AS_OF, REMITTED_ON, payments
from services.demo.driver import closes_at
from services.demo.generator.records import Record as Sent
from services.demo.running.answers import Statement
from shared.adapters.files.regions import known_regions
from shared.domain.calendar import Month, since_epoch_ms
from tests.integration.charging.charging_harness import ROOT, Record
from tests.model.model import Model
from tests.model.scheme import read_scheme

SCHEME = (ROOT / "deploy" / "tariffs", ROOT / "deploy" / "demo")


class MonthModel:
    """One partition a topic: an order's events keep their order, and no figure depends on that of others."""

    def __init__(self, month: Month) -> None:
        scheme = read_scheme(SCHEME)
        enterprises = {line["uscc"] for line in scheme.enterprises}
        self.model = Model(scheme, enterprises, known_regions(), opened_on=month.first_day)
        self._month = month
        self._ends: dict[str, int] = {}

    def live(self, records: Iterable[Sent], close_after_hours: int) -> None:
        """Take in what comes up to the instant of each close, close the day there, and bill the month at last."""
        waiting, coming = iter(records), None
        for day in self._month.days():
            border, taken = closes_at(day, close_after_hours), []
            coming = coming or next(waiting, None)
            while coming is not None and coming.time_ms <= since_epoch_ms(border):
                taken.append(self._place(coming))
                coming = next(waiting, None)
            self._live(day, taken, border)
        assert self.model.bill(str(self._month), closes_at(self._month.last_day, close_after_hours)) == "issued"

    def pay(self, statements: Sequence[Statement]) -> None:
        """What `remit` pays of these statements, and the late fees after it."""
        for statement, amount in payments(statements):
            party = (statement["enterprise"], statement["province"])
            self.model.bills.remit(f"R {party}", party, Fraction(amount, 10_000), REMITTED_ON)
        self.model.bills.book_late_fees(AS_OF)

    def _place(self, sent: Sent) -> Record:
        offset = self._ends.get(sent.topic, 0)
        self._ends[sent.topic] = offset + 1
        return Record(sent.topic, 0, offset, sent.time_ms, sent.key, sent.value)

    def _live(self, day: date, records: list[Record], border: datetime) -> None:
        run, settling = f"orders {day}", f"settlement {day}"
        self.model.take(run, list(records))
        self.model.deliver(run, 1)
        if self.model.settle(settling):
            self.model.deliver(settling, 1)
        assert self.model.freeze(day, border) == "closing"
        self.model.close()
