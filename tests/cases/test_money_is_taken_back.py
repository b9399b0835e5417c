"""Kind: money that was reported wrongly is reversed by a message that names it, and the books are as if without it."""

from collections import Counter
from collections.abc import AsyncIterator
from datetime import date, timedelta
from typing import Final

import msgspec
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from services.audit.books.bookings import JournalRow
from services.audit.books.reversals import RemittanceRow, check_reversals
from services.audit.verdict import Verdict
from services.ledger.billing.late_fees import book_late_fees
from services.ledger.billing.remittances import take_remittance
from services.reporting.message_intake import Intake
from services.reporting.read_model.statements import list_remittances
from shared.adapters.postgres.engine import open_engine
from shared.contracts.quarantine import Quarantined, QuarantineReason
from tests.integration.ledger.ledger_harness import ANY_TIME, ENTERPRISE, Ledger, open_ledger
from tests.integration.ledger.test_ledger_billing import DUE_ON, OPENED_ON, remit, september, state
from tests.integration.reporting.reporting_harness import migrate_reporting

WRONG_DAY: Final = {"reason": "wrong_day", "authority": "order-2026-7"}
LATE: Final = DUE_ON + timedelta(days=10)


@pytest.fixture
async def ledger(database: str) -> AsyncIterator[Ledger]:
    """A statement over 100 yuan, due on 2026-10-15."""
    async with open_ledger(database, OPENED_ON) as opened:
        await september(opened)
        yield opened


def back(of: str, amount: str, on: date, name: str = "", **changes: str) -> bytes:
    """The message that takes a remittance back."""
    repeated = {"enterprise": ENTERPRISE, "province": "44", "amount_yuan": amount, "received_on": str(on)}
    named = {"remittance_id": name or f"{of}-back", "reverses": of, **WRONG_DAY}
    return msgspec.json.encode(named | repeated | changes)


async def take_back(ledger: Ledger, message: bytes) -> str:
    return await take_remittance(ledger.engine, message, ANY_TIME)


async def is_balanced(ledger: Ledger) -> bool:
    return sum((await ledger.balances()).values()) == 0


async def test_the_right_money_settles_once_the_wrong_one_is_taken_back(ledger: Ledger) -> None:
    """Case 3: r-1 has a wrong day, r-2 is the same money rightly; no late fee is owed in the end."""
    assert await remit(ledger, "r-1", "100.00", LATE + timedelta(days=20)) == "booked"
    assert await remit(ledger, "r-2", "100.00", DUE_ON - timedelta(days=5)) == "booked"
    await book_late_fees(ledger.engine, LATE)
    assert await state(ledger, LATE) == [("100.00", "0.00", "100.00", "100.00", "0.50")]
    message = back("r-1", "100.00", LATE + timedelta(days=20))
    assert await take_back(ledger, message) == "reversed"
    assert await take_back(ledger, message) == "already_booked"
    assert (await book_late_fees(ledger.engine, LATE)).amount == -5_000, "what r-2 paid of it settles the rest"
    assert await state(ledger, LATE) == [("100.00", "100.00", "0.00", "0.00", "0.00")]
    assert await is_balanced(ledger)
    assert (await ledger.balances())["cash"] == 1_000_000
    named = await ledger.rows("""select e.kind, o.remittance_id, r.reason, r.authority from ledger.journal_entry e
        join ledger.journal_entry o on o.entry_id = e.corrects join ledger.remittance r
        on r.remittance_id = e.remittance_id""")
    assert [tuple(row) for row in named] == [("remittance_reversal", "r-1", "wrong_day", "order-2026-7")]


async def test_what_a_reversed_remittance_settled_is_open_again_and_costs_its_late_fee(ledger: Ledger) -> None:
    await remit(ledger, "a", "100.00", DUE_ON)
    assert (await book_late_fees(ledger.engine, LATE)).booked == 0
    assert await take_back(ledger, back("a", "100.00", DUE_ON)) == "reversed"
    assert await state(ledger, LATE) == [("100.00", "0.00", "100.00", "100.00", "0.50")]
    assert (await book_late_fees(ledger.engine, LATE)).amount == 5_000
    assert await remit(ledger, "b", "100.50", LATE) == "booked"
    assert await state(ledger, LATE) == [("100.00", "100.00", "0.00", "0.00", "0.45")]
    assert await is_balanced(ledger)


async def test_an_advance_that_was_used_is_taken_back_from_what_it_settled(ledger: Ledger) -> None:
    """The money is gone from the advances, so the newest statement that they settled is open again."""
    await remit(ledger, "a", "100.30", DUE_ON + timedelta(days=4))
    await book_late_fees(ledger.engine, LATE)
    before = await ledger.balances()
    assert (before["late_fee_receivable"], before["advances"]) == (0, -1_500)
    assert await take_back(ledger, back("a", "100.30", DUE_ON + timedelta(days=4))) == "reversed"
    after = await ledger.balances()
    assert (after["cash"], after["advances"], after["late_fee_receivable"]) == (0, 0, 1_500)
    assert await state(ledger, LATE) == [("100.00", "0.00", "100.00", "100.00", "0.50")]
    assert await is_balanced(ledger)


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (back("b", "100.00", DUE_ON), "unexpected"),
        (back("a", "99.00", DUE_ON), "different_content"),
        (back("a", "100.00", DUE_ON, province="31"), "different_content"),
        (back("a", "100.00", DUE_ON + timedelta(days=1)), "different_content"),
        (back("a", "100.00", DUE_ON, name="a"), "undecodable"),
        (back("a", "100.00", DUE_ON, reason="because"), "undecodable"),
        (back("a", "100.00", DUE_ON, authority="13800138000"), "identity_in_clear"),
    ],
)
async def test_a_reversal_of_something_else_is_set_aside(ledger: Ledger, message: bytes, reason: str) -> None:
    await remit(ledger, "a", "100.00", DUE_ON)
    assert await take_back(ledger, message) == "refused"
    assert await ledger.value("select reason from ledger.refused_message") == reason
    assert await state(ledger, LATE) == [("100.00", "100.00", "0.00", "0.00", "0.00")]


async def test_a_remittance_is_taken_back_once(ledger: Ledger) -> None:
    await remit(ledger, "a", "100.00", DUE_ON)
    assert await take_back(ledger, back("a", "100.00", DUE_ON)) == "reversed"
    assert await take_back(ledger, back("a", "100.00", DUE_ON, name="again")) == "refused"
    assert await take_back(ledger, back("a-back", "100.00", DUE_ON)) == "refused"
    async with ledger.owner.connect() as connection:
        with pytest.raises(DBAPIError, match="it repeats no remittance a-back"):
            await connection.execute(text(_BY_HAND), {"of": "a-back"})


_BY_HAND: Final = """insert into ledger.remittance (remittance_id, enterprise, province, amount, received_on,
    content_sha256, reverses, reason, authority) select 'x', enterprise, province, -amount, received_on,
    content_sha256, :of, 'twice', 'order' from ledger.remittance where remittance_id = :of"""


async def test_pages_list_the_reversal_beside_what_it_takes_back(database: str) -> None:
    async with open_engine(await migrate_reporting(database)) as engine:
        intake = Intake(engine, lambda: None, ANY_TIME.span)
        paid = {"remittance_id": "a", "enterprise": ENTERPRISE, "province": "44", "amount_yuan": "100.00"}
        await intake.take_remittance(msgspec.json.encode(paid | {"received_on": str(DUE_ON)}))
        for _ in range(2):
            await intake.take_remittance(back("a", "100.00", DUE_ON))
        for wrong in (back("a", "100.00", DUE_ON, name="again"), back("b", "100.00", DUE_ON)):
            with pytest.raises(Quarantined) as refused:
                await intake.take_remittance(wrong)
            assert refused.value.reason is QuarantineReason.UNEXPECTED
        async with engine.connect() as connection:
            listed = await list_remittances(connection, ENTERPRISE, "44")
    assert [(row.remittance_id, str(row.amount), row.reverses) for row in listed] == [
        ("a-back", "-1000000", "a"),
        ("a", "1000000", None),
    ]


def _row(name: str, amount: int, reverses: str | None = None) -> RemittanceRow:
    return RemittanceRow(name, ENTERPRISE, "44", amount, DUE_ON, reverses)


def _entry(entry_id: int, kind: str, corrects: int | None = None) -> JournalRow:
    return JournalRow(entry_id, kind, DUE_ON, None, None, None, None, None, corrects, None)


@pytest.mark.parametrize(
    ("rows", "settled", "words"),
    [
        ([_row("a", 100), _row("b", -100, "a")], 0, None),
        ([_row("a", 100), _row("b", -90, "a")], 0, "what it takes back"),
        ([_row("a", 100), _row("b", -100, "c")], 0, "is no remittance"),
        ([_row("a", 100), _row("b", -100, "a")], 100, "still settles"),
    ],
)
def test_the_audit_names_a_reversal_that_does_not_fit(
    rows: list[RemittanceRow], settled: int, words: str | None
) -> None:
    verdict = Verdict()
    check = verdict.check("I3", "reversals")
    entries = {"a": [_entry(1, "remittance")], "b": [_entry(2, "remittance_reversal", 1)]}
    check_reversals(check, rows, entries, Counter({("a", "2026-09-44-x"): settled}))
    findings = " ".join(check.findings)
    assert (words in findings) if words else not findings
