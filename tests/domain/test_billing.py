"""Billing against second, stupid models: fractions for rounding, day by day for late fees, in turn for money."""

from dataclasses import replace
from datetime import date, timedelta
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.books.billing import (
    Allocation,
    BookedSum,
    Debt,
    Paid,
    accrued_late_fee,
    allocate,
    draw_up_bill,
    payment_state,
)
from shared.domain.calendar import Month
from shared.domain.errors import Refused
from shared.domain.money import Amount

PERIOD = Month(2026, 10)
DUE = date(2026, 11, 16)
fen = st.integers(1, 10**7).map(lambda n: n * 100)
days = st.integers(-40, 400).map(lambda n: DUE + timedelta(days=n))


def booked(month: Month, line: int, charged: int, taken_back: int, base: int) -> BookedSum:
    premium = Amount((charged - taken_back) * base)
    return BookedSum(month, "ride_hailing", line, charged, taken_back, premium, frozenset({base}))


months = st.sampled_from([Month(2026, 8), Month(2026, 9), PERIOD])
counts = st.integers(0, 10**8)
sums = st.builds(booked, months, st.integers(1, 9), counts, counts, st.integers(1, 10_000))
bills = st.lists(sums, max_size=12, unique_by=lambda one: (one.insured_month, one.tariff_line))


def half_away(amount: int) -> int:
    exact = Fraction(abs(amount), 100)
    whole = exact.numerator // exact.denominator
    fen_count = whole + (exact - whole >= Fraction(1, 2))
    return (fen_count if amount >= 0 else -fen_count) * 100


@given(bills)
def test_every_line_is_rounded_once_and_the_difference_is_named(given_sums: list[BookedSum]) -> None:
    bill = draw_up_bill(PERIOD, given_sums)
    assert len(bill.lines) == len(given_sums)
    assert all(line.amount == half_away(line.exact_amount) for line in bill.lines)
    assert bill.exact_amount == sum(one.premium for one in given_sums)
    assert bill.orders == sum(one.charged - one.reversed for one in given_sums)
    assert bill.amount == bill.exact_amount + bill.rounding
    assert abs(bill.rounding) <= 50 * len(bill.lines)


@given(bills, st.randoms(use_true_random=False))
def test_the_bill_does_not_depend_on_the_order_of_the_rows(given_sums: list[BookedSum], random: object) -> None:
    shuffled = list(given_sums)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert draw_up_bill(PERIOD, shuffled) == draw_up_bill(PERIOD, given_sums)


def test_lines_come_before_adjustments_which_name_their_month() -> None:
    bill = draw_up_bill(PERIOD, [booked(Month(2026, 9), 2, 0, 3, 7), booked(PERIOD, 1, 5, 1, 7)])
    shown = [(line.number, line.kind, str(line.insured_month), line.orders) for line in bill.lines]
    assert shown == [(1, "line", "2026-10", 4), (2, "adjustment", "2026-09", -3)]


@pytest.mark.parametrize(
    "bad",
    [
        booked(Month(2026, 11), 1, 1, 0, 7),
        BookedSum(PERIOD, "ride_hailing", 1, 2, 0, Amount(15), frozenset({7})),
        BookedSum(PERIOD, "ride_hailing", 1, 2, 0, Amount(15), frozenset({7, 8})),
    ],
)
def test_a_bill_that_nobody_could_explain_is_refused(bad: BookedSum) -> None:
    with pytest.raises(Refused):
        draw_up_bill(PERIOD, [bad])


@st.composite
def debts(draw: st.DrawFn, number: int = 0) -> Debt:
    principal = draw(fen)
    paid, rest = [], principal
    for _ in range(draw(st.integers(0, 4))):
        part = draw(st.integers(0, rest // 100)) * 100
        if part:
            paid.append(Paid(Amount(part), draw(days)))
            rest -= part
    due_on = DUE + timedelta(days=30 * number)
    fee = draw(st.integers(0, 10**5)) * 100
    return Debt(f"s{number}", Amount(principal), due_on, tuple(paid), Amount(fee), Amount(0))


def late_fee_day_by_day(debt: Debt, as_of: date) -> int:
    """A day at a time; each part of the principal accrues at most itself."""
    fee = Fraction(0)
    unpaid = debt.principal - sum(part.amount for part in debt.paid)
    for amount, on in [*((part.amount, part.on) for part in debt.paid), (unpaid, date.max)]:
        accrued = Fraction(0)
        day = debt.due_on + timedelta(days=1)
        while day <= as_of and day < on:
            accrued += Fraction(amount * 5, 10_000)
            day += timedelta(days=1)
        fee += min(accrued, Fraction(amount))
    whole = fee / 100
    return int(whole + Fraction(1, 2)) * 100


@given(debts(), days)
def test_late_fee_is_what_a_day_by_day_count_gives(debt: Debt, as_of: date) -> None:
    assert accrued_late_fee(debt, as_of) == late_fee_day_by_day(debt, as_of)


@given(debts(), days)
def test_nothing_is_late_while_the_due_date_is_provisional(debt: Debt, as_of: date) -> None:
    provisional = replace(debt, due_on_is_provisional=True)
    assert accrued_late_fee(provisional, as_of) == 0
    assert payment_state(provisional, as_of).arrears == 0


@given(debts(), days, st.integers(0, 5_000))
def test_late_fee_never_falls_and_never_passes_the_principal(debt: Debt, as_of: date, later: int) -> None:
    fee = accrued_late_fee(debt, as_of)
    assert 0 <= fee <= accrued_late_fee(debt, as_of + timedelta(days=later)) <= debt.principal
    assert fee % 100 == 0


@pytest.mark.parametrize(
    ("principal", "days", "fee"),
    [
        (1_000_000, -3, 0),
        (1_000_000, 0, 0),  # paid on the day it was due
        (1_000_000, 1, 500),  # 100.00 yuan: 0.05 yuan a day
        (1_000_000, 10, 5_000),
        (100, 1, 0),  # 0.01 yuan: 0.0005 fen
        (90_000, 1, 0),  # 9.00 yuan: 0.45 fen
        (99_999_900, 1, 50_000),  # 9,999.99 yuan: 499.9995 fen
        (100_000, 1, 100),  # 10.00 yuan: half a fen goes up
        (1_000_000, 1_999, 999_500),
        (1_000_000, 2_000, 1_000_000),
        (1_000_000, 20_000, 1_000_000),  # never more than the principal
        (0, 30, 0),
        (-1_000_000, 30, 0),  # an advance accrues nothing
    ],
)
def test_late_fee(principal: int, days: int, fee: int) -> None:
    assert accrued_late_fee(Debt("s", Amount(principal), DUE), DUE + timedelta(days=days)) == fee


@given(st.integers(0, 10**12).map(lambda fen: Amount(fen * 100)), st.integers(0, 5_000))
def test_a_late_fee_is_within_half_a_fen_of_the_exact_one(principal: Amount, days: int) -> None:
    fee = accrued_late_fee(Debt("s", principal, DUE), DUE + timedelta(days=days))
    exact = min(Fraction(principal * days * 5, 10_000), Fraction(principal))
    assert abs(fee - exact) <= 50
    assert 0 <= fee <= principal
    assert fee % 100 == 0


def test_late_fee_of_a_credit_is_nothing() -> None:
    assert accrued_late_fee(Debt("s", Amount(-500), DUE), DUE + timedelta(days=99)) == 0


several = st.integers(1, 4).flatmap(lambda n: st.tuples(*map(debts, range(n))))


@given(st.integers(1, 10**8).map(lambda n: n * 100), several)
def test_allocation_adds_up_and_takes_the_oldest_principal_first(amount: int, owed: tuple[Debt, ...]) -> None:
    given_parts, rest = allocate(Amount(amount), list(reversed(owed)))
    assert sum(part.amount for part in given_parts) + rest == amount
    wanted = [("principal", debt.statement_id, debt.outstanding) for debt in owed]
    wanted += [("late_fee", debt.statement_id, debt.fee_outstanding) for debt in owed]
    got: dict[tuple[str, str], int] = {(part.what, part.statement_id): part.amount for part in given_parts}
    is_short = False
    for what, statement_id, due in wanted:
        taken = got.pop((what, statement_id), 0)
        assert 0 <= taken <= due
        assert not (is_short and taken), "a later debt was served before an earlier one was settled"
        is_short = is_short or taken < due
    assert not got
    assert rest == 0 or not is_short


def test_allocation_sets_nothing_against_a_credit() -> None:
    credit = Debt("c", Amount(-900), DUE)
    assert allocate(Amount(500), [credit, Debt("d", Amount(300), DUE)]) == (
        [Allocation("d", "principal", Amount(300))],
        200,
    )


@given(debts(), days)
def test_payment_state_knows_only_what_was_received_by_then(debt: Debt, as_of: date) -> None:
    state = payment_state(debt, as_of)
    assert state.remitted == sum(part.amount for part in debt.paid if part.on <= as_of)
    assert state.outstanding == debt.principal - state.remitted
    assert state.arrears == (state.outstanding if as_of > DUE else 0)
    assert state.late_fee == late_fee_day_by_day(debt, as_of)
