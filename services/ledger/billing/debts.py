"""Reads what each party owes, and sets money and advances against it."""

from collections import defaultdict
from datetime import date

from sqlalchemy import Select, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.ledger import tables
from services.ledger.billing.due_dates import DUE_ON, IS_PROVISIONAL, WITH_DUE_DATES
from services.ledger.books.journal import Source, write_journal_entry
from shared.domain.books.billing import NOTHING, Allocation, Debt, Paid, allocate
from shared.domain.books.journal import (
    AccountKind,
    Balance,
    EntryKind,
    Party,
    advances,
    late_fee_receivable,
    receivable,
)
from shared.domain.money import Amount

Wanted = Select[tuple[str]]
"""The wanted statement ids, as a query."""


async def read_debts(
    connection: AsyncConnection, party: Party | None = None, period: str | None = None
) -> dict[Party, list[Debt]]:
    """Every statement as a debt, of one party or period or all; by party, oldest due first."""
    statement = tables.statement.c
    query = select(tables.statement, DUE_ON, IS_PROVISIONAL).select_from(WITH_DUE_DATES)
    query = query.order_by(DUE_ON, statement.statement_id)
    if party:
        query = query.where(statement.enterprise == party.enterprise, statement.province == party.province)
    if period:
        query = query.where(statement.period == period)
    wanted = query.with_only_columns(statement.statement_id).order_by(None)
    paid = await _read_paid(connection, wanted)
    fees = await _read_fees(connection, wanted)
    debts: dict[Party, list[Debt]] = defaultdict(list)
    for row in (await connection.execute(query)).all():
        parts = paid[row.statement_id]
        debt = Debt(
            statement_id=row.statement_id,
            principal=Amount(row.amount),
            due_on=row.due_on_now,
            paid=tuple(Paid(Amount(amount), on) for what, amount, on in parts if what == "principal"),
            fee_booked=Amount(fees.get(row.statement_id, 0)),
            fee_paid=Amount(sum(amount for what, amount, _ in parts if what == "late_fee")),
            due_on_is_provisional=row.is_provisional_now,
        )
        debts[Party(row.enterprise, row.province)].append(debt)
    return debts


async def _read_paid(connection: AsyncConnection, wanted: Wanted) -> dict[str, list[tuple[str, int, date]]]:
    paid: dict[str, list[tuple[str, int, date]]] = defaultdict(list)
    part = tables.allocation.c
    query = select(tables.allocation).where(part.statement_id.in_(wanted)).order_by(part.allocation_id)
    for row in await connection.execute(query):
        paid[row.statement_id].append((row.what, row.amount, row.effective_on))
    return paid


async def _read_fees(connection: AsyncConnection, wanted: Wanted) -> dict[str, int]:
    fee = tables.late_fee.c
    query = select(fee.statement_id, func.sum(fee.amount)).where(fee.statement_id.in_(wanted))
    rows = await connection.execute(query.group_by(fee.statement_id))
    return {row[0]: int(row[1]) for row in rows}


async def read_advances(connection: AsyncConnection, party: Party | None = None) -> dict[Party, Amount]:
    """What each party (or the one) holds in advances, where it holds any; above zero."""
    account, posting = tables.account.c, tables.posting.c
    query = (
        select(account.enterprise, account.province, (-func.sum(posting.amount)).label("held"))
        .join_from(tables.posting, tables.account, posting.account_id == account.account_id)
        .where(account.kind == AccountKind.ADVANCES.value)
        .group_by(account.enterprise, account.province)
        .having(func.sum(posting.amount) < 0)
    )
    if party:
        query = query.where(account.enterprise == party.enterprise, account.province == party.province)
    rows = (await connection.execute(query)).all()
    return {Party(row.enterprise, row.province): Amount(int(row.held)) for row in rows}


async def write_allocations(
    connection: AsyncConnection, given: list[Allocation], effective_on: date, source: Source, entry_id: int
) -> None:
    """One row for each part; `effective_on` is when the money was there, which ends that part's late fee."""
    common = {"effective_on": effective_on, "remittance_id": source.remittance_id, "entry_id": entry_id}
    rows = [{"statement_id": part.statement_id, "what": part.what, "amount": part.amount, **common} for part in given]
    if rows:
        await connection.execute(insert(tables.allocation), rows)


async def use_advances(connection: AsyncConnection, party: Party, effective_on: date, posting_day: date) -> Amount:
    """Set what the party holds in advances against what it owes; returns how much was used."""
    held = (await read_advances(connection, party)).get(party, NOTHING)
    if not held:
        return NOTHING
    given, rest = allocate(held, (await read_debts(connection, party)).get(party, []))
    balance = Balance()
    for part in given:
        target = receivable(party) if part.what == "principal" else late_fee_receivable(party)
        balance.move(advances(party), target, part.amount)
    if entry := balance.entry(EntryKind.ADVANCE):
        entry_id = await write_journal_entry(connection, entry, posting_day, Source())
        await write_allocations(connection, given, effective_on, Source(), entry_id)
    return Amount(held - rest)


async def credit_to_advance(
    connection: AsyncConnection,
    party: Party,
    credit: Allocation,
    effective_on: date,
    posting_day: date,
) -> None:
    """A statement below zero (the credit's amount) is settled by turning it into an advance."""
    balance = Balance()
    balance.move(receivable(party), advances(party), -credit.amount)
    entry = balance.needed_entry(EntryKind.CREDIT)
    source = Source(statement_id=credit.statement_id)
    entry_id = await write_journal_entry(connection, entry, posting_day, source)
    await write_allocations(connection, [credit], effective_on, source, entry_id)
