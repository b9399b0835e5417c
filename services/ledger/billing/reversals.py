"""Take a remittance back (docs/decisions/0027): an entry that names it, and what it settled is open again.

The parts that it settled are taken back on the day that they counted from, so arrears and late fees are as if the money
had never come. Money of others that waits as an advance then settles what is open, from the day on which it came.
If the process dies here: the reversal is in the books with all of this, or not at all and comes again.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date

from sqlalchemy import func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.ledger import tables
from services.ledger.billing.debts import read_advances, read_debts, write_allocations
from services.ledger.books.journal import Source, write_journal_entry
from shared.contracts.manifests import RemittanceReceived
from shared.contracts.quarantine import Quarantined, QuarantineReason
from shared.domain.books.billing import NOTHING, Allocation, allocate
from shared.domain.books.journal import (
    CASH,
    Account,
    Balance,
    EntryKind,
    Party,
    advances,
    late_fee_receivable,
    receivable,
)
from shared.domain.money import Amount


@dataclass(frozen=True, slots=True)
class _Part:
    """An allocation and the day from which it counts."""

    given: Allocation
    effective_on: date


async def reverse_remittance(
    connection: AsyncConnection, reversal: RemittanceReceived, amount: Amount, content: bytes, day: date
) -> None:
    """Book the reversal on a posting day; raises Quarantined for one that does not repeat a remittance that is held."""
    original, entry_id = await _read_original(connection, reversal, amount)
    party = Party(reversal.enterprise, reversal.province)
    row = {
        "remittance_id": reversal.remittance_id,
        "enterprise": party.enterprise,
        "province": party.province,
        "amount": -amount,
        "received_on": reversal.received_on,
        "content_sha256": content,
        "reverses": original,
        "reason": reversal.reason,
        "authority": reversal.authority,
    }
    await connection.execute(insert(tables.remittance).values(row))
    undone = await _read_undone(connection, party, original)
    rest = Amount(amount - sum(part.given.amount for part in undone))
    recovered = await _read_recovered(connection, party, undone, rest)
    balance = Balance()
    for part in undone:
        balance.move(_target(party, part), CASH, part.given.amount)
    balance.move(advances(party), CASH, rest)
    for part in recovered:
        balance.move(_target(party, part), advances(party), part.given.amount)
    source = Source(remittance_id=reversal.remittance_id, corrects=entry_id)
    written = await write_journal_entry(connection, balance.needed_entry(EntryKind.REMITTANCE_REVERSAL), day, source)
    for part, why in [*((part, source) for part in undone), *((part, Source()) for part in recovered)]:
        taken = replace(part.given, amount=Amount(-part.given.amount))
        await write_allocations(connection, [taken], part.effective_on, why, written)
    await _use_what_waits(connection, party, day)


def _target(party: Party, part: _Part) -> Account:
    return receivable(party) if part.given.what == "principal" else late_fee_receivable(party)


async def _read_original(connection: AsyncConnection, reversal: RemittanceReceived, amount: Amount) -> tuple[str, int]:
    """Id and entry of the remittance that is taken back."""
    known, entry = tables.remittance.c, tables.journal_entry.c
    query = select(tables.remittance, entry.entry_id).join(
        tables.journal_entry, entry.remittance_id == known.remittance_id
    )
    row = (await connection.execute(query.where(known.remittance_id == reversal.reverses))).one_or_none()
    name = f"remittance {reversal.reverses}"
    if row is None:
        raise Quarantined(QuarantineReason.UNEXPECTED, f"{name} is not in the books: nothing to reverse")
    if row.reverses is not None:
        raise Quarantined(QuarantineReason.UNEXPECTED, f"{name} is a reversal itself: send the money again instead")
    by = await connection.scalar(select(known.remittance_id).where(known.reverses == reversal.reverses))
    if by is not None:
        raise Quarantined(QuarantineReason.UNEXPECTED, f"{name} was reversed by {by} before")
    held = (row.enterprise, row.province, row.amount, row.received_on)
    if held != (reversal.enterprise, reversal.province, amount, reversal.received_on):
        detail = f"the reversal of {name} does not repeat its enterprise, province, amount and day"
        raise Quarantined(QuarantineReason.DIFFERENT_CONTENT, detail)
    return row.remittance_id, row.entry_id


async def _read_undone(connection: AsyncConnection, party: Party, original: str) -> list[_Part]:
    """What the remittance settled; of a late fee not what became an advance since."""
    part = tables.allocation.c
    rows = await connection.execute(
        select(tables.allocation).where(part.remittance_id == original).order_by(part.allocation_id)
    )
    paid = await _read_fees_paid(connection, party)
    undone = []
    for row in rows:
        amount = row.amount if row.what == "principal" else max(min(row.amount, paid[row.statement_id]), 0)
        if row.what == "late_fee":
            paid[row.statement_id] -= amount
        if amount:
            undone.append(_Part(Allocation(row.statement_id, row.what, Amount(amount)), row.effective_on))
    return undone


async def _read_fees_paid(connection: AsyncConnection, party: Party) -> Counter[str]:
    debts = (await read_debts(connection, party)).get(party, [])
    return Counter({debt.statement_id: debt.fee_paid for debt in debts})


async def _read_recovered(connection: AsyncConnection, party: Party, undone: list[_Part], rest: Amount) -> list[_Part]:
    """What advances settled meanwhile and is taken back, newest first: so much of `rest` is not held any more."""
    lacking = rest - (await read_advances(connection, party)).get(party, NOTHING)
    if lacking <= 0:
        return []
    paid = await _read_fees_paid(connection, party)
    for part in undone:
        if part.given.what == "late_fee":
            paid[part.given.statement_id] -= part.given.amount
    part_of, entry, statement = tables.allocation.c, tables.journal_entry.c, tables.statement.c
    key = (part_of.statement_id, part_of.what, part_of.effective_on)
    query = (
        select(*key, func.sum(part_of.amount).label("net"))
        .join(tables.journal_entry, entry.entry_id == part_of.entry_id)
        .join(tables.statement, statement.statement_id == part_of.statement_id)
        .where(
            part_of.remittance_id.is_(None),
            entry.kind.in_([EntryKind.ADVANCE.value, EntryKind.REMITTANCE_REVERSAL.value]),
            statement.enterprise == party.enterprise,
            statement.province == party.province,
        )
        .group_by(*key)
        .having(func.sum(part_of.amount) > 0)
        .order_by(part_of.effective_on.desc(), part_of.statement_id.desc(), part_of.what)
    )
    recovered = []
    for row in await connection.execute(query):
        most = int(row.net) if row.what == "principal" else max(min(int(row.net), paid[row.statement_id]), 0)
        amount = min(most, lacking)
        if amount > 0:
            recovered.append(_Part(Allocation(row.statement_id, row.what, Amount(amount)), row.effective_on))
            lacking -= amount
    return recovered


async def _use_what_waits(connection: AsyncConnection, party: Party, day: date) -> None:
    """Set advances against what is open again, each part from the day on which its money came."""
    held = (await read_advances(connection, party)).get(party, NOTHING)
    for amount, came_on in reversed(list(_newest(held, await _read_inflows(connection, party), day))):
        given, _ = allocate(amount, (await read_debts(connection, party)).get(party, []))
        balance = Balance()
        for part in given:
            balance.move(advances(party), _target(party, _Part(part, came_on)), part.amount)
        if entry := balance.entry(EntryKind.ADVANCE):
            entry_id = await write_journal_entry(connection, entry, day, Source())
            await write_allocations(connection, given, came_on, Source(), entry_id)


def _newest(held: Amount, inflows: list[tuple[date, int]], day: date) -> Iterator[tuple[Amount, date]]:
    """The newest inflows that add up to what is held: the older ones were used first."""
    left = int(held)
    for came_on, amount in sorted(inflows, reverse=True):
        part = min(left, amount)
        if part > 0:
            yield Amount(part), came_on
            left -= part
    if left > 0:
        yield Amount(left), day


async def _read_inflows(connection: AsyncConnection, party: Party) -> list[tuple[date, int]]:
    """What became an advance of the party, and when it came: remittances beyond what they settled, and credits."""
    known, part, entry, statement = (
        tables.remittance.c, tables.allocation.c, tables.journal_entry.c, tables.statement.c
    )  # fmt: skip
    gone = select(known.reverses).where(known.reverses.is_not(None))
    settled = select(func.coalesce(func.sum(part.amount), 0)).where(part.remittance_id == known.remittance_id)
    money = select(known.received_on, (known.amount - settled.scalar_subquery()).label("rest")).where(
        known.enterprise == party.enterprise,
        known.province == party.province,
        known.reverses.is_(None),
        known.remittance_id.not_in(gone),
    )
    kinds = [EntryKind.CREDIT.value, EntryKind.LATE_FEE_RELEASE.value]
    credit = (
        select(part.effective_on, (-part.amount).label("rest"))
        .join(tables.journal_entry, entry.entry_id == part.entry_id)
        .join(tables.statement, statement.statement_id == part.statement_id)
        .where(entry.kind.in_(kinds), statement.enterprise == party.enterprise, statement.province == party.province)
    )
    rows = [*await connection.execute(money), *await connection.execute(credit)]
    return [(row[0], int(row[1])) for row in rows]
