"""The clock goes back or leaps over several closes, or two ledgers read it at once: the books move one way only."""

import asyncio
from collections.abc import AsyncIterator
from datetime import date, timedelta

import pytest

from services.ledger.billing.issue_statements import issue_statements
from services.ledger.billing.late_fees import book_late_fees
from services.ledger.close.close_day import close_day
from services.ledger.operations.scheduler import do_due_duties
from shared.adapters.postgres.engine import open_engine
from shared.domain.calendar import Month
from tests.integration.ledger.ledger_harness import ANY_TIME, Ledger, due, new_run, open_ledger, total
from tests.support.deployed_calendar import deployed_calendar

FIRST, SECOND, LAST = date(2026, 9, 28), date(2026, 9, 29), date(2026, 9, 30)
SEPTEMBER = Month(2026, 9)
STATE = """select (select count(*) from ledger.day_closing), (select count(*) from ledger.day_closed),
    (select count(*) from ledger.statement), (select count(*) from ledger.journal_entry),
    (select count(*) from ledger.late_fee), (select count(*) from ledger.outbox)"""


@pytest.fixture
async def ledger(database: str) -> AsyncIterator[Ledger]:
    async with open_ledger(database, FIRST) as opened:
        for day in (FIRST, SECOND, LAST):
            await opened.charge(new_run(), total(orders=100_000, day=FIRST), total(orders=5, day=day))
        yield opened


async def tick(ledger: Ledger, day: date) -> list[str]:
    """Do the duties that are due at the instant when a day may be closed."""
    return await do_due_duties(ledger.engine, due(day), 36, deployed_calendar(), ANY_TIME)


async def test_a_clock_that_goes_back_undoes_nothing(ledger: Ledger) -> None:
    for day in (FIRST, SECOND, LAST):
        assert await tick(ledger, day) == [f"close {day}"]
        assert await ledger.answer() == "closed"
    assert await tick(ledger, LAST) == ["bill 2026-09: issued"]
    before = await ledger.rows(STATE)
    for back in (LAST, SECOND, FIRST, FIRST - timedelta(days=400)):
        assert await tick(ledger, back) == []
    assert await ledger.rows(STATE) == before


async def test_a_clock_that_leaps_closes_day_by_day_and_waits_for_each_answer(ledger: Ledger) -> None:
    far = LAST + timedelta(days=3)
    for day in (FIRST, SECOND, LAST):
        assert await tick(ledger, far) == [f"close {day}"]
        assert await tick(ledger, far) == [], "the answer is awaited"
        assert await ledger.answer() == "closed"
    assert await tick(ledger, far) == ["close 2026-10-01", "bill 2026-09: issued"]
    in_order = "select array_agg(day order by recorded_at) = array_agg(day order by day) from ledger.day_closed"
    assert await ledger.value(in_order)


async def test_two_ledgers_that_look_at_once(ledger: Ledger) -> None:
    """Two processes with separate pools: the second one finds each duty done."""
    async with open_engine(ledger.url) as other:
        engines = [ledger.engine, other] * 3
        far = due(LAST + timedelta(days=40))
        for number, day in enumerate((FIRST, SECOND, LAST), 1):
            answers = await asyncio.gather(*(close_day(engine, day, far, 36) for engine in engines))
            assert [answer.reason for answer in answers].count(None) == 1
            assert {answer.state for answer in answers} == {"closing"}
            assert await ledger.value("select count(*) from ledger.day_closing") == number
            assert await ledger.answer() == "closed"
        issued = await asyncio.gather(
            *(issue_statements(engine, SEPTEMBER, far, deployed_calendar()) for engine in engines)
        )
        assert sorted(answer.state for answer in issued) == ["already_issued"] * 5 + ["issued"]
        assert {answer.statements for answer in issued} == {1}
        fees = await asyncio.gather(*(book_late_fees(engine, date(2026, 12, 1)) for engine in engines))
        assert sorted(fee.booked for fee in fees) == [0] * 5 + [1]
        calendar = deployed_calendar()
        done = await asyncio.gather(*(do_due_duties(engine, far, 36, calendar, ANY_TIME) for engine in engines))
        assert sorted(done) == [[]] * 5 + [["close 2026-10-01"]]
    assert sum((await ledger.balances()).values()) == 0


async def test_billing_before_its_time_or_twice_changes_nothing_and_says_so(ledger: Ledger) -> None:
    before = await ledger.rows(STATE)
    wishes = {
        Month(2026, 8): "the books begin on 2026-09-28",
        SEPTEMBER: "2026-09-28 is not closed yet",
        Month(2026, 10): "2026-10 is not over on 2026-10-01",
    }
    for month, reason in wishes.items():
        answer = await issue_statements(ledger.engine, month, due(LAST), deployed_calendar())
        assert (answer.state, answer.reason) == ("refused", reason)
    assert await ledger.rows(STATE) == before
    for day in (FIRST, SECOND, LAST):
        assert await ledger.close(day) == "closed"
    assert (await issue_statements(ledger.engine, SEPTEMBER, due(LAST), deployed_calendar())).state == "issued"
    before = await ledger.rows(STATE)
    again = await issue_statements(ledger.engine, SEPTEMBER, due(LAST), deployed_calendar())
    assert (again.state, again.reason) == ("already_issued", "2026-09 is billed already")
    assert await ledger.rows(STATE) == before
