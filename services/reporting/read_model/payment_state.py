"""Join the ledger's payment state of a statement with what the read model holds of it."""

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Annotated, Final, Literal

from pydantic import Field

from services.reporting.read_model.responses import Statement
from services.reporting.service_clients import Sources
from shared.contracts.reports import PaymentItem
from shared.domain.errors import Refused, Retry
from shared.domain.money import parse_yuan

State = Literal["issued", "declared", "part_paid", "paid", "overdue"]
STATES: Final[tuple[State, ...]] = ("issued", "declared", "part_paid", "paid", "overdue")
Payments = Mapping[str, PaymentItem]
"""By statement."""
Yuan = Annotated[str | None, Field(description="null while the books do not answer", examples=["3085.25"])]


PAYMENT_FIELDS: Final = {
    "due_on", "due_on_is_provisional", "remitted_yuan", "outstanding_yuan", "arrears_yuan", "late_fee_yuan",
}  # fmt: skip
"""Figures that the ledger is queried for each time; its due date may be later than the one that was issued."""


class Standing(Statement):
    """A statement with the state of its payment at the end of a day, as the books have it."""

    state: Annotated[State, Field(description="of payment only where the books answer", examples=["declared"])]
    as_of: Annotated[date, Field(examples=["2026-11-20"])]
    remitted_yuan: Yuan = None
    outstanding_yuan: Yuan = None
    arrears_yuan: Yuan = None
    late_fee_yuan: Yuan = None


def state_of(statement: Statement, payment: PaymentItem | None) -> State:
    """Paid and overdue go before what only the declaration says."""
    if payment is not None and parse_yuan(payment.outstanding_yuan) <= 0:
        return "paid"
    if payment is not None and parse_yuan(payment.arrears_yuan) > 0:
        return "overdue"
    if payment is not None and parse_yuan(payment.remitted_yuan) > 0:
        return "part_paid"
    return "issued" if statement.receipt_id is None else "declared"


async def read_payments(sources: Sources, periods: Iterable[str], as_of: date) -> Payments:
    """Of every statement of these months; those of a month for which the ledger does not answer are missing."""
    payments: dict[str, PaymentItem] = {}
    for period in sorted(set(periods)):
        try:
            states = await sources.payment_states(period, as_of)
        except (Refused, Retry):
            continue
        payments |= {item.statement_id: item for items in states.values() for item in items}
    return payments


def with_payment(statement: Statement, payments: Payments, as_of: date) -> Standing:
    """The statement with its state."""
    payment = payments.get(statement.statement_id)
    values = {name: getattr(statement, name) for name in Statement.model_fields}
    if payment is not None:
        values |= payment.model_dump(include=PAYMENT_FIELDS)
    return Standing(state=state_of(statement, payment), as_of=as_of, **values)
