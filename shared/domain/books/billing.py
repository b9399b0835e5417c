"""Billing (费款所属期): statement lines from booked lines, rounding, allocation of remittances, arrears, late fees.

Amounts are whole numbers of 0.0001 yuan. Rounding happens once per statement line and once per late fee.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Final, Literal

from shared.domain.calendar import LATE_FEE_PER_10_000_A_DAY, Month
from shared.domain.errors import Refused
from shared.domain.money import Amount, round_fraction_to_fen, round_to_fen

NOTHING: Final = Amount(0)
FULL: Final = 10_000
"""The denominator of the late fee's daily share, and its cap: a part's late fee is at most the part itself."""


OUTSIDE_DECLARATION: Final = "outside_declaration"
"""The kind of a line of orders outside the signed declaration, and the reason of their reversal."""
LineKind = Literal["line", "adjustment", "assessed", "outside_declaration"]


@dataclass(frozen=True, slots=True)
class BookedSum:
    """Booked orders of one party in one posting month that share insured month and tariff line.

    `charged` and `reversed` are orders (both positive), `premium` is net; `base_amounts` are all the amounts
    an order that occur among them. Of assessed numbers `series` and `insured_on` say which. `outside` of the orders
    lie outside the signed declaration; below zero where more moved back within than out.
    """

    insured_month: Month
    industry: str
    tariff_line: int
    charged: int
    reversed: int
    premium: Amount
    base_amounts: frozenset[int]
    series: str | None = None
    insured_on: date | None = None
    outside: int = 0


@dataclass(frozen=True, slots=True)
class Line:
    """One statement line; `amount` is `exact_amount` rounded to the fen, `orders` is charged less reversed.

    Of an assessed line orders are numbers of `series`, presumed to be orders of `insured_on`. A line of orders outside
    the signed declaration takes the rounding: with the line of the other orders it is as much as one of all of them.
    """

    number: int
    kind: LineKind
    insured_month: Month
    industry: str
    tariff_line: int
    base_amount: Amount
    orders: int
    exact_amount: Amount
    amount: Amount
    series: str | None = None
    insured_on: date | None = None


@dataclass(frozen=True, slots=True)
class Bill:
    """The lines of one statement and their sums; `rounding` is what rounding added, over all lines."""

    lines: tuple[Line, ...]

    @property
    def orders(self) -> int:
        return sum(line.orders for line in self.lines)

    @property
    def exact_amount(self) -> Amount:
        return Amount(sum(line.exact_amount for line in self.lines))

    @property
    def amount(self) -> Amount:
        return Amount(sum(line.amount for line in self.lines))

    @property
    def rounding(self) -> Amount:
        return Amount(self.amount - self.exact_amount)


def draw_up_bill(period: Month, sums: Iterable[BookedSum]) -> Bill:
    """Lines of orders insured in the period, then adjustments, each naming the earlier month it belongs to, then what
    was assessed, each line a series and day, then orders outside the signed declaration.

    Raises `Refused` where a tariff line was booked at two amounts, or the premium is not orders times amount:
    such a bill cannot be explained to anybody, so it is not issued.
    """
    ordered = sorted(sums, key=lambda one: (one.series is not None, one.insured_month != period, *_line_key(one)))
    pairs = [_split(_line(period, 0, one), one.outside) for one in ordered]
    lines = [within for within, _ in pairs if within] + [outside for _, outside in pairs if outside]
    return Bill(tuple(replace(line, number=number) for number, line in enumerate(lines, 1)))


def _split(line: Line, outside: int) -> tuple[Line | None, Line | None]:
    """The line of the orders within the signed declaration, and that of those outside; None for one without orders."""
    if not outside:
        return line, None
    orders, exact = line.orders - outside, Amount((line.orders - outside) * line.base_amount)
    within = replace(line, orders=orders, exact_amount=exact, amount=round_to_fen(exact))
    beyond = replace(
        line,
        kind=OUTSIDE_DECLARATION,
        orders=outside,
        exact_amount=Amount(outside * line.base_amount),
        amount=Amount(line.amount - within.amount),
    )
    return within if orders else None, beyond


def _line_key(one: BookedSum) -> tuple[Month, str, int, str, date]:
    return one.insured_month, one.industry, one.tariff_line, one.series or "", one.insured_on or date.min


def _line(period: Month, number: int, one: BookedSum) -> Line:
    if one.insured_month > period:
        raise Refused(f"orders insured in {one.insured_month} cannot be billed for {period}")
    if len(one.base_amounts) != 1:
        amounts = ", ".join(map(str, sorted(one.base_amounts)))
        raise Refused(f"tariff line {one.tariff_line} was booked at several amounts an order: {amounts}")
    (base_amount,) = one.base_amounts
    orders = one.charged - one.reversed
    if orders * base_amount != one.premium:
        raise Refused(f"tariff line {one.tariff_line}: {orders} orders at {base_amount} are not {one.premium}")
    kind: LineKind = "line" if one.insured_month == period else "adjustment"
    if one.series is not None:
        kind = "assessed"
    return Line(
        number=number,
        kind=kind,
        insured_month=one.insured_month,
        industry=one.industry,
        tariff_line=one.tariff_line,
        base_amount=Amount(base_amount),
        orders=orders,
        exact_amount=one.premium,
        amount=round_to_fen(one.premium),
        series=one.series,
        insured_on=one.insured_on,
    )


@dataclass(frozen=True, slots=True)
class Paid:
    """A part of a statement's principal that was settled on a day (by a remittance or an advance)."""

    amount: Amount
    on: date


@dataclass(frozen=True, slots=True)
class Debt:
    """One statement as a debt: its principal, when it is due, what was settled of it, late fee booked and paid."""

    statement_id: str
    principal: Amount
    due_on: date
    paid: tuple[Paid, ...] = ()
    fee_booked: Amount = NOTHING
    fee_paid: Amount = NOTHING
    due_on_is_provisional: bool = False
    """A notice of holidays may still move the due date: nothing is late before that is settled."""

    def remitted(self, as_of: date) -> Amount:
        """Principal settled by the end of `as_of`."""
        return Amount(sum(part.amount for part in self.paid if part.on <= as_of))

    @property
    def outstanding(self) -> Amount:
        """Principal that nothing has been set against yet, whenever it was received."""
        return Amount(self.principal - sum(part.amount for part in self.paid))

    @property
    def fee_outstanding(self) -> Amount:
        """Booked late fee not yet paid; below zero where more was paid than is owed."""
        return Amount(self.fee_booked - self.fee_paid)


def accrued_late_fee(debt: Debt, as_of: date) -> Amount:
    """Late fee (滞纳金) of one statement up to the end of `as_of`, rounded once for the whole statement.

    Every part of the principal costs 0.05 % for each day from the day after `due_on` on whose end it was not
    yet received, at most itself (Social Insurance Law, article 86; the cap is an assumption, see
    `shared.domain.calendar`). Money received on a day stops that day's fee. Never falls as `as_of` grows.
    """
    if debt.principal <= 0 or debt.due_on_is_provisional:
        return NOTHING
    parts = [*debt.paid, Paid(debt.outstanding, as_of + timedelta(days=1))]
    return round_fraction_to_fen(sum(part.amount * _share(debt, part, as_of) for part in parts), FULL)


def _share(debt: Debt, part: Paid, as_of: date) -> int:
    last = min(as_of, part.on - timedelta(days=1))
    days = max((last - debt.due_on).days, 0)
    return min(days * LATE_FEE_PER_10_000_A_DAY, FULL)


@dataclass(frozen=True, slots=True)
class PaymentState:
    """How far a statement is paid at the end of a day. `arrears` (欠费) is principal past a settled due date."""

    due: Amount
    remitted: Amount
    outstanding: Amount
    arrears: Amount
    late_fee: Amount


def payment_state(debt: Debt, as_of: date) -> PaymentState:
    """The state at the end of `as_of`, from what was received by then."""
    known = replace(debt, paid=tuple(part for part in debt.paid if part.on <= as_of))
    outstanding = known.outstanding
    is_late = as_of > debt.due_on and outstanding > 0 and not debt.due_on_is_provisional
    return PaymentState(
        due=debt.principal,
        remitted=known.remitted(as_of),
        outstanding=outstanding,
        arrears=outstanding if is_late else NOTHING,
        late_fee=accrued_late_fee(known, as_of),
    )


@dataclass(frozen=True, slots=True)
class Allocation:
    """A part of what was received, set against one statement."""

    statement_id: str
    what: Literal["principal", "late_fee"]
    amount: Amount


def allocate(amount: Amount, debts: Sequence[Debt]) -> tuple[list[Allocation], Amount]:
    """Set money against debts: every principal, oldest due first, then booked late fees; the rest is an advance.

    `debts` may come in any order. Returns the allocations (each above zero) and the rest; they add up to `amount`.
    """
    ordered = sorted(debts, key=lambda debt: (debt.due_on, debt.statement_id))
    wanted = [Allocation(debt.statement_id, "principal", debt.outstanding) for debt in ordered]
    wanted += [Allocation(debt.statement_id, "late_fee", debt.fee_outstanding) for debt in ordered]
    given, rest = [], amount
    for want in wanted:
        part = Amount(max(min(rest, want.amount), 0))
        if part:
            given.append(replace(want, amount=part))
            rest = Amount(rest - part)
    return given, rest
