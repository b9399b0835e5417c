"""The auditor's bills: statements to the fen, remittances, advances and late fees. Money is yuan as Fraction."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction

import chinese_calendar

Party = tuple[str, str]
ZERO = Fraction(0)
NOT_ANNOUNCED = 2027
FIXED_BY_LAW = [date(2027, *day) for day in ((1, 1), (2, 5), (2, 8), (4, 5), (6, 9), (9, 15), (10, 1))]
"""Weekdays off that the law itself fixes; which others there are, nobody has said."""


def to_fen(yuan: Fraction) -> Fraction:
    """The nearest fen, halves away from zero."""
    exact = Decimal(yuan.numerator) / Decimal(yuan.denominator)  # a denominator of ours divides a power of ten
    return Fraction(exact.quantize(Decimal("0.01"), ROUND_HALF_UP))


@dataclass
class BillLine:
    """One line of a statement."""

    kind: str
    insured_month: str
    industry: str
    tariff_line: str
    base: Fraction
    orders: int
    series: str = ""
    insured_on: date | None = None
    """Of an assessed line: whose missing numbers of which day."""

    @property
    def exact(self) -> Fraction:
        return self.orders * self.base

    @property
    def amount(self) -> Fraction:
        return to_fen(self.exact)


@dataclass
class Bill:
    """A statement, what was paid of it, and its late fee."""

    party: Party
    period: str
    due_on: date
    lines: list[BillLine]
    paid: list[tuple[Fraction, date]] = field(default_factory=list)
    is_provisional: bool = False
    fee_booked: Fraction = ZERO
    fee_paid: Fraction = ZERO
    assessed_on: date = date.min

    @property
    def amount(self) -> Fraction:
        return sum((line.amount for line in self.lines), ZERO)

    @property
    def rounding(self) -> Fraction:
        return self.amount - sum((line.exact for line in self.lines), ZERO)

    @property
    def owed(self) -> Fraction:
        return self.amount - sum((part for part, _ in self.paid), ZERO)

    @property
    def fee_owed(self) -> Fraction:
        return self.fee_booked - self.fee_paid

    def fee(self, as_of: date) -> Fraction:
        """0.05 % a day on what was not there at the end of the day, from the day after `due_on`, at most itself."""
        if self.amount <= 0 or self.is_provisional:
            return ZERO
        fee = ZERO
        for part, there_on in [*self.paid, (self.owed, date.max)]:
            late, day = 0, self.due_on + timedelta(days=1)
            while day <= as_of and day < there_on:
                late, day = late + 1, day + timedelta(days=1)
            fee += min(part * late * Fraction(5, 10_000), part) if part > 0 else ZERO
        return to_fen(fee)

    def state(self, as_of: date) -> dict[str, Fraction]:
        """Amounts of the bill at the end of a day, from the payments received by then."""
        paid = [payment for payment in self.paid if payment[1] <= as_of]
        known = Bill(self.party, self.period, self.due_on, self.lines, paid, self.is_provisional)
        is_late = as_of > self.due_on and not self.is_provisional
        return {
            "due_yuan": known.amount,
            "remitted_yuan": known.amount - known.owed,
            "outstanding_yuan": known.owed,
            "arrears_yuan": known.owed if is_late and known.owed > 0 else ZERO,
            "late_fee_yuan": known.fee(as_of),
        }


@dataclass
class Bills:
    """Every statement in the order of its issue, and what each party paid before it owed it."""

    issued: list[Bill] = field(default_factory=list)
    periods: list[str] = field(default_factory=list)
    advances: dict[Party, Fraction] = field(default_factory=dict)
    remittances: dict[str, tuple[Party, Fraction, date]] = field(default_factory=dict)

    def issue(self, period: str, lines: dict[Party, list[BillLine]], issued_on: date) -> None:
        """Statements of a month; one below zero becomes an advance, and advances pay at once."""
        self.periods.append(period)
        for party in sorted(lines):
            ordered = sorted(
                lines[party],
                key=lambda each: (
                    ("line", "adjustment", "assessed").index(each.kind),
                    each.insured_month,
                    each.industry,
                    int(each.tariff_line),
                    each.series,
                    each.insured_on or date.min,
                ),
            )
            due_on, is_provisional = due_date(period)
            bill = Bill(party, period, due_on, ordered, is_provisional=is_provisional)
            self.issued.append(bill)
            if bill.amount < 0:
                self._add(party, -bill.amount)
                bill.paid.append((bill.amount, issued_on))
            self._use_advances(party, issued_on)

    def remit(self, name: str, party: Party, amount: Fraction, on: date) -> str:
        """Money arrives: principals first, oldest due first, then late fees; the rest is an advance."""
        if amount <= 0:
            return "refused"
        if name in self.remittances:
            return "already_booked" if self.remittances[name] == (party, amount, on) else "refused"
        self.remittances[name] = (party, amount, on)
        self._add(party, self._allocate(party, amount, on))
        return "booked"

    def book_late_fees(self, as_of: date) -> tuple[int, Fraction]:
        """How many statements got an increment, and their sum."""
        steps = []
        for bill in self.issued:
            step = bill.fee(as_of) - bill.fee_booked
            if as_of < bill.assessed_on or not step:
                continue
            steps.append(step)
            bill.fee_booked, bill.assessed_on = bill.fee_booked + step, as_of
            if (surplus := bill.fee_paid - bill.fee_booked) > 0:
                bill.fee_paid -= surplus
                self._add(bill.party, surplus)
        for party in list(self.advances):
            self._use_advances(party, as_of)
        return len(steps), sum(steps, ZERO)

    def _add(self, party: Party, amount: Fraction) -> None:
        self.advances[party] = self.advances.get(party, ZERO) + amount

    def _use_advances(self, party: Party, on: date) -> None:
        self.advances[party] = self._allocate(party, self.advances.get(party, ZERO), on)

    def _allocate(self, party: Party, amount: Fraction, on: date) -> Fraction:
        mine = sorted(
            (bill for bill in self.issued if bill.party == party), key=lambda bill: (bill.due_on, bill.period)
        )
        for bill in mine:
            part = max(min(amount, bill.owed), ZERO)
            if part:
                bill.paid.append((part, on))
            amount -= part
        for bill in mine:
            part = max(min(amount, bill.fee_owed), ZERO)
            bill.fee_paid += part
            amount -= part
        return amount


def due_date(period: str) -> tuple[date, bool]:
    """The 15th of the next month, or the next working day; and whether a notice may still move it."""
    year, month = int(period[:4]), int(period[5:])
    day = date(year + month // 12, month % 12 + 1, 15)
    while not _is_working(day):
        day += timedelta(days=1)
    return day, day.year == NOT_ANNOUNCED


def _is_working(day: date) -> bool:
    if day.year == NOT_ANNOUNCED:
        return day.weekday() < 5 and day not in FIXED_BY_LAW
    return bool(chinese_calendar.is_workday(day))


def draw_up(
    lines: list[tuple[date, str, str, str, str, Fraction, int, str]], period: str
) -> dict[Party, list[BillLine]]:
    """Lines by party, from what was posted: insured on, enterprise, province, industry, line, base, orders, series.

    `orders` is negative for a reversal. What was insured in another month is an adjustment; a series is named for what
    was assessed, which has a line for each day.
    """
    sums: Counter[tuple[Party, str, str, str, Fraction, str, date | None]] = Counter()
    for insured_on, enterprise, province, industry, line, base, orders, series in lines:
        own = (series, insured_on if series else None)
        sums[(enterprise, province), f"{insured_on:%Y-%m}", industry, line, base, *own] += orders
    bills: dict[Party, list[BillLine]] = {}
    for (party, month, industry, line, base, series, on), orders in sums.items():
        kind = "assessed" if series else "line" if month == period else "adjustment"
        bills.setdefault(party, []).append(BillLine(kind, month, industry, line, base, orders, series, on))
    return bills
