"""Join the ledger's payment states and balances with the statements that the read model holds.

The ledger knows what was paid. While it does not answer, the state of a statement is `unknown`, not `declared`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Final, Literal

from pydantic import Field

from services.reporting.read_model.responses import Answer, Province, Statement, Uscc
from services.reporting.read_model.statements import KnownPayments, StandingFilter
from services.reporting.service_clients import Sources
from shared.contracts.reports import PaymentItem
from shared.domain.errors import Refused, Retry
from shared.domain.money import parse_yuan

State = Literal["issued", "declared", "part_paid", "paid", "overdue", "unknown"]
STATES: Final[tuple[State, ...]] = ("issued", "declared", "part_paid", "paid", "overdue", "unknown")
OF_PAYMENT: Final[tuple[State, ...]] = ("part_paid", "paid", "overdue")
"""States that the ledger alone decides."""
Yuan = Annotated[str | None, Field(description="null while the books do not answer", examples=["3085.25"])]
SumYuan = Annotated[str, Field(examples=["3085.25"])]


@dataclass(frozen=True, slots=True)
class Payments:
    """Payment of the statements of some months, by statement; `unanswered` are the months that stay unknown."""

    items: Mapping[str, PaymentItem]
    unanswered: frozenset[str] = frozenset()

    def state_of(self, statement: Statement) -> State:
        """Paid and overdue go before what only the declaration says."""
        payment = self.items.get(statement.statement_id)
        if payment is not None and (state := state_of_payment(payment)) is not None:
            return state
        if statement.period in self.unanswered:
            return "unknown"
        return "issued" if statement.receipt_id is None else "declared"

    def in_state(self, state: State) -> StandingFilter:
        """The filter of the statements in this state."""
        if state == "unknown":
            return StandingFilter(periods=self.unanswered)
        states = {name: state_of_payment(payment) for name, payment in self.items.items()}
        if state in OF_PAYMENT:
            return StandingFilter(ids=[name for name, known in states.items() if known == state])
        others = [name for name, known in states.items() if known is not None]
        return StandingFilter(other_than=others, not_periods=self.unanswered, is_declared=state == "declared")

    def columns(self) -> KnownPayments:
        """Settled and outstanding of every statement, to be summed."""
        items = self.items.values()
        return KnownPayments(
            list(self.items),
            [parse_yuan(item.remitted_yuan) for item in items],
            [parse_yuan(item.outstanding_yuan) for item in items],
        )


PAYMENT_FIELDS: Final = {
    "due_on", "due_on_is_provisional", "remitted_yuan", "outstanding_yuan", "arrears_yuan", "late_fee_yuan",
}  # fmt: skip
"""Figures that the ledger is queried for each time; its due date may be later than the one that was issued."""


class Standing(Statement):
    """A statement with the state of its payment at the end of a day, as the books have it."""

    state: Annotated[State, Field(description="`unknown` while the books do not answer", examples=["declared"])]
    as_of: Annotated[date, Field(examples=["2026-11-20"])]
    remitted_yuan: Annotated[
        Yuan, Field(description="settled of this statement; null while the books do not answer")
    ] = None
    outstanding_yuan: Yuan = None
    arrears_yuan: Yuan = None
    late_fee_yuan: Yuan = None


class Balance(Answer):
    """Money of an enterprise in a province to date: received is settled, late fees paid, and the balance."""

    enterprise: Uscc
    province: Province
    received_yuan: Annotated[SumYuan, Field(description="all that arrived (实收)")]
    settled_yuan: Annotated[SumYuan, Field(description="set against statements, net of those below zero (已抵缴)")]
    late_fees_paid_yuan: SumYuan
    balance_yuan: Annotated[SumYuan, Field(description="paid over, carried forward (余额，结转下期)")]


def state_of_payment(payment: PaymentItem) -> State | None:
    """What the money says; None where nothing is paid and nothing is late."""
    if parse_yuan(payment.outstanding_yuan) <= 0:
        return "paid"
    if parse_yuan(payment.arrears_yuan) > 0:
        return "overdue"
    return "part_paid" if parse_yuan(payment.remitted_yuan) > 0 else None


class PaymentReader:
    """Queries the ledger once for each month, and for no further month once it was away."""

    def __init__(self, sources: Sources, as_of: date) -> None:
        self._sources, self._as_of, self._is_away = sources, as_of, False
        self._known: dict[str, dict[str, PaymentItem] | None] = {}

    async def read(self, periods: Iterable[str]) -> Payments:
        """Payment of every statement of these months."""
        wanted = sorted(set(periods), reverse=True)
        for period in wanted:
            if period not in self._known:
                self._known[period] = None if self._is_away else await self._query(period)
        answers = {period: self._known[period] for period in wanted}
        items = {name: item for answer in answers.values() for name, item in (answer or {}).items()}
        return Payments(items, frozenset(period for period, answer in answers.items() if answer is None))

    async def _query(self, period: str) -> dict[str, PaymentItem] | None:
        try:
            states = await self._sources.payment_states(period, self._as_of)
        except Refused:
            return None
        except Retry:
            self._is_away = True
            return None
        return {item.statement_id: item for of_province in states.values() for item in of_province}


async def read_balances(
    sources: Sources, as_of: date, enterprise: str | None = None, province: str | None = None
) -> list[Balance] | None:
    """Of every party, or of those of an enterprise or province; None while the ledger does not answer."""
    try:
        known = await sources.balances(as_of, enterprise, province)
    except (Refused, Retry):
        return None
    return [Balance(**{name: getattr(balance, name) for name in Balance.model_fields}) for balance in known]


def with_payment(statement: Statement, payments: Payments, as_of: date) -> Standing:
    """The statement with its state."""
    payment = payments.items.get(statement.statement_id)
    values = {name: getattr(statement, name) for name in Statement.model_fields}
    if payment is not None:
        values |= payment.model_dump(include=PAYMENT_FIELDS)
    return Standing(state=payments.state_of(statement), as_of=as_of, **values)
