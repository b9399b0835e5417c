"""Book late fees (滞纳金): what accrued by the end of a day, less what is booked already.

If the process dies here: the increments of a run are one transaction; a run that is repeated finds nothing to add.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from sqlalchemy import func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.ledger import tables
from services.ledger.billing.debts import read_advances, read_debts, use_advances, write_allocations
from services.ledger.books.journal import Source, write_journal_entry
from services.ledger.books.open_days import ledger_lock, read_books
from services.ledger.books.set_aside import Step, open_quarantine
from shared.adapters.postgres.quarantine import Item
from shared.domain.books.billing import NOTHING, Allocation, Debt, accrued_late_fee
from shared.domain.books.journal import (
    Account,
    AccountKind,
    Balance,
    EntryKind,
    Party,
    advances,
    late_fee_receivable,
)
from shared.domain.money import Amount


@dataclass(frozen=True, slots=True)
class LateFeesBooked:
    """How many statements got an increment, and the sum of the increments."""

    booked: int = 0
    amount: Amount = NOTHING

    def plus(self, step: Amount) -> "LateFeesBooked":
        """With the increment of one more statement; zero is none."""
        return LateFeesBooked(self.booked + bool(step), Amount(self.amount + step))


async def book_late_fees(engine: AsyncEngine, as_of: date) -> LateFeesBooked:
    """Bring the late fee of every statement to what accrued by the end of `as_of`; run again it adds nothing.

    A statement assessed for a later day already is not touched. Money that turns out to have come earlier than
    it was reported lowers the fee again; what was paid of it then becomes an advance. An enterprise and province whose
    fees cannot be booked is set aside with an alarm; all others are booked.
    """
    quarantine = open_quarantine(engine)
    async with ledger_lock(engine) as connection:
        assessed = await _read_assessed(connection)
        posting_day = max(as_of, (await read_books(connection)).oldest_open_day)
        debts = await read_debts(connection)
        waiting = await quarantine.read_waiting(connection, Step.LATE_FEE)
        parties = {_name(party): party for party in sorted(debts.keys() | (await read_advances(connection)).keys())}
        items = [Item(Step.LATE_FEE, name, party) for name, party in parties.items() if name not in waiting]

        async def book(chosen: Sequence[Item[Party]]) -> LateFeesBooked:
            booked = LateFeesBooked()
            for item in chosen:
                for debt in debts.get(item.content, ()):
                    if as_of >= assessed.get(debt.statement_id, as_of):
                        booked = booked.plus(await _assess(connection, item.content, debt, as_of, posting_day))
            held = await read_advances(connection, chosen[0].content if len(chosen) == 1 else None)
            for item in chosen:
                if item.content in held:
                    await use_advances(connection, item.content, as_of, posting_day)
            return booked

        results = await quarantine.do_all_within(connection, items, book)
    return LateFeesBooked(sum(result.booked for result in results), Amount(sum(result.amount for result in results)))


def _name(party: Party) -> str:
    return f"{party.province}-{party.enterprise}"


async def _read_assessed(connection: AsyncConnection) -> dict[str, date]:
    fee = tables.late_fee.c
    rows = await connection.execute(select(fee.statement_id, func.max(fee.as_of)).group_by(fee.statement_id))
    return {row[0]: row[1] for row in rows}


async def _assess(connection: AsyncConnection, party: Party, debt: Debt, as_of: date, posting_day: date) -> Amount:
    total = accrued_late_fee(debt, as_of)
    step = Amount(total - debt.fee_booked)
    if not step:
        return step
    source = Source(statement_id=debt.statement_id)
    balance = Balance()
    balance.move(late_fee_receivable(party), Account(AccountKind.LATE_FEE_INCOME, party), step)
    entry = balance.needed_entry(EntryKind.LATE_FEE)
    entry_id = await write_journal_entry(connection, entry, posting_day, source)
    row = {"statement_id": debt.statement_id, "as_of": as_of, "amount": step, "total": total}
    await connection.execute(insert(tables.late_fee).values({**row, "entry_id": entry_id}))
    if surplus := max(debt.fee_paid - total, 0):
        await _release(connection, party, debt.statement_id, Amount(surplus), posting_day)
    return step


async def _release(
    connection: AsyncConnection, party: Party, statement_id: str, surplus: Amount, posting_day: date
) -> None:
    """Late fee paid beyond what is owed becomes an advance."""
    balance = Balance()
    balance.move(late_fee_receivable(party), advances(party), surplus)
    entry = balance.needed_entry(EntryKind.LATE_FEE_RELEASE)
    source = Source(statement_id=statement_id)
    entry_id = await write_journal_entry(connection, entry, posting_day, source)
    released = [Allocation(statement_id, "late_fee", Amount(-surplus))]
    await write_allocations(connection, released, posting_day, source, entry_id)
