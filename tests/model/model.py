"""The auditor: a slow and obvious second implementation of the scheme, over a list of events and operator's steps.

It knows the rules of design and policy, plain dictionaries and loops, and nothing of the services but the contracts.
`model_events` reads bytes, `model_scheme` the data files, `model_charging` says where events end, `model_bills` bills;
here is the ledger: what is booked when and on which day, the closes, the statements.
"""

from collections import Counter
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from tests.model.bills import Bills, draw_up
from tests.model.charging import ONE, ModelCharging
from tests.model.rows import Closing, Count, Manifest, Total
from tests.model.scheme import day_of, midnight

CLOSE_AFTER = timedelta(hours=36)


@dataclass
class Model(ModelCharging):
    """Charging and the ledger as the rules have them."""

    opened_on: date = date(2026, 10, 29)
    booked: dict[str, int] = field(default_factory=dict)
    inbox: set[tuple[str, int]] = field(default_factory=set)
    lines: list[tuple[date, Total, int]] = field(default_factory=list)
    last_closed: date | None = None
    previous_cut: dict[str, int] = field(default_factory=dict)
    closed: dict[date, Count] = field(default_factory=dict)
    bills: Bills = field(default_factory=Bills)

    @property
    def first_open(self) -> date:
        """The oldest day that is not closed."""
        return self.last_closed + ONE if self.last_closed else self.opened_on

    @property
    def takes_postings(self) -> date:
        """The oldest day that takes postings; a day whose cut is frozen does not."""
        return self.first_open + ONE if self.closing else self.first_open

    def deliver(self, run: str, number: int) -> str:
        """A manifest reaches the ledger; what becomes of it."""
        if number <= self.booked.get(run, 0):
            return "already_booked"
        self.inbox.add((run, number))
        self.book_waiting()
        return "booked" if number <= self.booked.get(run, 0) else "waiting"

    def book_waiting(self) -> None:
        """Book what follows without a gap; settlements wait for a close that is under way."""
        for run, number in sorted(self.inbox):
            is_held = self.manifests[run, number].kind == "settlement" and self.closing is not None
            if number == self.booked.get(run, 0) + 1 and not is_held:
                self.inbox.remove((run, number))
                self._book(self.manifests[run, number], self.takes_postings)

    def _book(self, manifest: Manifest, oldest: date) -> None:
        self.booked[manifest.run] = manifest.number
        for total, orders in manifest.totals.items():
            self.lines.append((max(total.insured_on or oldest, oldest), total, orders))

    def freeze(self, day: date, as_of: datetime) -> str:
        """The wish to close a day."""
        if day < self.opened_on or day > self.first_open:
            return "refused"
        if day < self.first_open:
            return "closed"
        if as_of < midnight(day) + CLOSE_AFTER:
            return "refused"
        if self.closing is None:
            self.closing = Closing(day, dict(self.booked), self.previous_cut)
        return "closing"

    def close(self) -> Count:
        """The count reaches the ledger and is equal: the day is closed."""
        closing = self.closing
        assert closing is not None
        count = self.count()
        self.previous_cut = dict(closing.cut)
        if closing.settlement:
            self._book(closing.settlement, closing.day)
            self.previous_cut[closing.settlement.run] = 1
        assert count.totals == self.posted_on(closing.day, {"charged", "excluded", "reversed"}), "the model is at fault"
        self.last_closed, self.closing = closing.day, None
        self.closed[closing.day] = count
        self.book_waiting()
        return count

    def posted_on(self, day: date, outcomes: set[str]) -> Counter[Total]:
        """The lines of a posting day."""
        sums: Counter[Total] = Counter()
        for posted_on, total, orders in self.lines:
            if posted_on == day and total.outcome in outcomes:
                sums[total] += orders
        return sums

    def bill(self, period: str, as_of: datetime) -> str:
        """The wish to bill a month."""
        if period in self.bills.periods:
            return "already_issued"
        year, month = int(period[:4]), int(period[5:])
        after = date(year + month // 12, month % 12 + 1, 1)
        expected = f"{self.opened_on:%Y-%m}"
        if self.bills.periods:
            expected = f"{date.fromisoformat(self.bills.periods[-1] + '-01') + timedelta(days=31):%Y-%m}"
        if period != expected or day_of(as_of) < after or self.first_open < after:
            return "refused"
        lines = [
            (
                total.insured_on,
                *total[1:4],
                total.line,
                abs(total.base),
                orders if total.base > 0 else -orders,
                total.reason.removeprefix("assessed:") if total.reason.startswith("assessed:") else "",
            )
            for posted_on, total, orders in self.lines
            if total.outcome in {"charged", "reversed"} and f"{posted_on:%Y-%m}" == period and total.insured_on
        ]
        self.bills.issue(period, draw_up(lines, period), day_of(as_of))
        return "issued"
