"""Take remittances (缴费入库): each once, set against what is owed, the rest kept as an advance.

If the process dies here: the remittance is in the books with its entry and allocations, or not at all and comes again.
"""

from datetime import date
from typing import Final

import msgspec
from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.ledger import tables
from services.ledger.billing.debts import read_debts, write_allocations
from services.ledger.billing.reversals import reverse_remittance
from services.ledger.books.clocks import BOUND, Clocks
from services.ledger.books.journal import Source, write_journal_entry
from services.ledger.books.open_days import ledger_lock, read_books
from services.ledger.books.refused_messages import keep_if_refused
from shared.contracts.manifests import RemittanceReceived
from shared.contracts.quarantine import Quarantined, QuarantineReason
from shared.contracts.topics import REMITTANCES
from shared.domain.books.billing import Allocation, allocate
from shared.domain.books.journal import (
    CASH,
    Balance,
    Entry,
    EntryKind,
    Party,
    advances,
    late_fee_receivable,
    receivable,
)
from shared.domain.errors import Refused
from shared.domain.money import Amount, parse_yuan
from shared.intake.free_fields import find_identity
from shared.intake.message_content import content_hash

DECODER: Final = msgspec.json.Decoder(RemittanceReceived)


async def take_remittance(engine: AsyncEngine, payload: bytes, clocks: Clocks = BOUND) -> str:
    """Take a remittance as `handle_remittance` does, but quarantine one that is not taken here: `refused`."""

    async def handle() -> str:
        return await handle_remittance(engine, payload, clocks)

    return await keep_if_refused(engine, REMITTANCES, payload, handle, "refused")


async def handle_remittance(engine: AsyncEngine, payload: bytes, clocks: Clocks = BOUND) -> str:
    """Take one message of the topic; returns `booked`, `reversed` or `already_booked`, or raises for one not taken.

    The same `remittance_id` with the same content is harmless; with other content it is quarantined.
    Money of a day that has not come, or that is before the books, is quarantined: it would settle nothing until then.
    An enterprise that the books do not know is no reason to refuse money: it becomes an advance, and an alarm.
    """
    remittance = DECODER.decode(payload)
    if name := find_identity(remittance):
        detail = f"{name} reads as a citizen's number or a mobile number; send the number of the transfer"
        raise Quarantined(QuarantineReason.IDENTITY_IN_CLEAR, detail)
    amount = _amount(remittance)
    async with ledger_lock(engine) as connection:
        known = tables.remittance.c
        query = select(known.content_sha256).where(known.remittance_id == remittance.remittance_id)
        before = await connection.scalar(query)
        if before is None:
            if remittance.reverses is not None:
                day = await _posting_day(connection, remittance.received_on)
                await reverse_remittance(connection, remittance, amount, content_hash(remittance), day)
                return "reversed"
            (await clocks.read_bounds(connection)).check_day("received_on", remittance.received_on)
            return await _book(connection, remittance, amount)
        if before == content_hash(remittance):
            return "already_booked"
        detail = f"remittance {remittance.remittance_id} is known with other content"
        raise Quarantined(QuarantineReason.DIFFERENT_CONTENT, detail)


def _amount(remittance: RemittanceReceived) -> Amount:
    amount = parse_yuan(remittance.amount_yuan)
    if amount <= 0:
        raise Refused(f"remittance {remittance.remittance_id} of {remittance.amount_yuan} yuan")
    return amount


async def _book(connection: AsyncConnection, remittance: RemittanceReceived, amount: Amount) -> str:
    party = Party(remittance.enterprise, remittance.province)
    debts = (await read_debts(connection, party)).get(party, [])
    given, rest = allocate(amount, debts)
    row = {
        "remittance_id": remittance.remittance_id,
        "enterprise": remittance.enterprise,
        "province": remittance.province,
        "amount": amount,
        "received_on": remittance.received_on,
        "content_sha256": content_hash(remittance),
    }
    await connection.execute(insert(tables.remittance).values(row))
    source = Source(remittance_id=remittance.remittance_id)
    day = await _posting_day(connection, remittance.received_on)
    entry_id = await write_journal_entry(connection, remittance_entry(party, given, rest), day, source)
    await write_allocations(connection, given, remittance.received_on, source, entry_id)
    return "booked"


async def _posting_day(connection: AsyncConnection, received_on: date) -> date:
    return max(received_on, (await read_books(connection)).oldest_open_day)


def remittance_entry(party: Party, given: list[Allocation], rest: Amount) -> Entry:
    """Cash against what it settles, and against advances for what is left."""
    balance = Balance()
    for part in given:
        target = receivable(party) if part.what == "principal" else late_fee_receivable(party)
        balance.move(CASH, target, part.amount)
    balance.move(CASH, advances(party), rest)
    return balance.needed_entry(EntryKind.REMITTANCE)
