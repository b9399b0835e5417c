"""Query what each party paid and what became of it: settled, late fees, and a balance that is carried forward."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from sqlalchemy import func, literal, select, union_all
from sqlalchemy.ext.asyncio import AsyncConnection

from services.ledger import tables
from shared.domain.books.journal import Party
from shared.domain.money import Amount, yuan


@dataclass(frozen=True, slots=True)
class PartyBalance:
    """Money of an enterprise in a province to the end of a day: received is settled, late fees paid, and the balance.

    `settled_yuan` is net of statements below zero, which are credit; the balance is carried forward to what comes due.
    """

    enterprise: str
    province: str
    received_yuan: str
    settled_yuan: str
    late_fees_paid_yuan: str
    balance_yuan: str


async def read_balances(
    connection: AsyncConnection, as_of: date, enterprise: str | None = None, province: str | None = None
) -> list[PartyBalance]:
    """Read what each party paid by the end of `as_of` and what became of it, by enterprise and province."""
    money, statement, part = tables.remittance.c, tables.statement.c, tables.allocation.c
    received = select(money.enterprise, money.province, literal("received").label("what"), money.amount).where(
        money.received_on <= as_of
    )
    used = (
        select(statement.enterprise, statement.province, part.what, part.amount)
        .join_from(tables.allocation, tables.statement, part.statement_id == statement.statement_id)
        .where(part.effective_on <= as_of)
    )
    moved = union_all(received, used).subquery()
    query = (
        select(moved.c.enterprise, moved.c.province, moved.c.what, func.sum(moved.c.amount).label("amount"))
        .group_by(moved.c.enterprise, moved.c.province, moved.c.what)
        .order_by(moved.c.enterprise, moved.c.province)
    )
    for column, value in ((moved.c.enterprise, enterprise), (moved.c.province, province)):
        if value is not None:
            query = query.where(column == value)
    sums: dict[Party, dict[str, int]] = {}
    for row in await connection.execute(query):
        sums.setdefault(Party(row.enterprise, row.province), {})[row.what] = int(row.amount)
    return [_balance(party, of_party) for party, of_party in sums.items()]


def _balance(party: Party, sums: Mapping[str, int]) -> PartyBalance:
    received, settled, fees = (sums.get(what, 0) for what in ("received", "principal", "late_fee"))
    return PartyBalance(
        enterprise=party.enterprise,
        province=party.province,
        received_yuan=yuan(Amount(received)),
        settled_yuan=yuan(Amount(settled)),
        late_fees_paid_yuan=yuan(Amount(fees)),
        balance_yuan=yuan(Amount(received - settled - fees)),
    )
