"""Closing days: equal, unequal, again, too early, in order, twice at once; and what comes late."""

import asyncio
from collections.abc import AsyncIterator
from datetime import date, timedelta

import msgspec
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from services.ledger.books.open_days import read_books
from services.ledger.close.close_day import repeat_question
from services.ledger.close.compare_count import take_count
from services.ledger.close.retry_close import CloseRetry, find_overdue
from services.ledger.operations.alarms import read_alarms
from services.ledger.queries.book_queries import read_day, read_status
from shared.contracts.manifests import DayClosed, Outcome
from tests.integration.ledger.ledger_harness import COUNTERS, OPENED_ON, OTHER, Ledger, due, new_run, open_ledger, total
from tests.support.deployed_calendar import deployed_calendar

SECOND, THIRD = date(2026, 10, 2), date(2026, 10, 3)
STATE = """select (select count(*) from ledger.day_closing), (select count(*) from ledger.day_count),
    (select count(*) from ledger.day_closed), (select count(*) from ledger.outbox),
    (select count(*) from ledger.journal_entry), (select count(*) from ledger.refused_message)"""


@pytest.fixture
async def ledger(database: str) -> AsyncIterator[Ledger]:
    async with open_ledger(database) as opened:
        yield opened


async def test_equal_counts_close_the_day_and_tell_it(ledger: Ledger) -> None:
    run = new_run()
    await ledger.charge(run, total(orders=10), total(Outcome.EXCLUDED, 2, reason="employee"))
    await ledger.charge(run, total(orders=5, day=SECOND), total(Outcome.REPEAT, 1))
    assert await ledger.close(OPENED_ON) == "closed"
    payload = await ledger.value("select payload from ledger.outbox where topic = 'days.closed.v1'")
    reported = msgspec.json.decode(payload, type=DayClosed)
    assert (reported.day, reported.as_of) == (OPENED_ON, due(OPENED_ON))
    assert sum(one.orders for one in reported.totals if one.outcome is Outcome.CHARGED) == 10
    row = (await ledger.rows("select orders, premium, cut from ledger.day_closed"))[0]
    assert (row.orders, row.premium, row.cut) == (10, 7_000, {run: 2})
    async with ledger.engine.connect() as connection:
        status = await read_status(connection, deployed_calendar(), SECOND, 60)
    assert (status.oldest_open_day, status.last_closed_day, status.alarms) == (SECOND, OPENED_ON, [])


async def test_an_empty_day_closes(ledger: Ledger) -> None:
    assert await ledger.close(OPENED_ON) == "closed"


async def test_unequal_counts_leave_the_day_open_and_name_the_difference(ledger: Ledger) -> None:
    await ledger.charge(new_run(), total(orders=10))
    await ledger.begin_close(OPENED_ON)
    right = ledger.charging.count(await ledger.last_closing())
    wrong = msgspec.structs.replace(right, totals=[total(orders=9), total(orders=1, enterprise=OTHER)])
    assert await take_count(ledger.engine, msgspec.json.encode(wrong), COUNTERS) == "unequal"
    async with ledger.engine.connect() as connection:
        day = await read_day(connection, OPENED_ON)
        alarms = await read_alarms(connection, await read_books(connection), 60)
    assert (day.state, len(day.differences)) == ("closing", 2)
    figures = {(d["enterprise"], d["counted_orders"], d["booked_orders"]) for d in day.differences}
    assert figures == {("91110000TESTTEST1X", 9, 10), (OTHER, 1, 0)}
    assert [alarm.partition(":")[0] for alarm in alarms] == ["day_not_equal"] * 2
    assert await ledger.value("select count(*) from ledger.day_closed") == 0

    again = await ledger.begin_close(OPENED_ON)
    assert (again.state, again.reason) == ("closing", "attempt 2: the last count differed")
    assert (await ledger.last_closing()).cut == right.cut
    assert await ledger.answer() == "closed"
    async with ledger.engine.connect() as connection:
        assert await read_alarms(connection, await read_books(connection), 60) == []


async def test_a_settlement_of_the_close_is_booked_on_the_day_once(ledger: Ledger) -> None:
    run = new_run()
    await ledger.charge(run, total(orders=10), total(orders=3, day=SECOND))
    reversals = (total(Outcome.REVERSED, 2), total(Outcome.REVERSED, 1, day=SECOND, reason="resent"))
    ledger.charging.settle_at_close(OPENED_ON, *reversals)
    settlement = ledger.charging.settlements[OPENED_ON]
    await ledger.begin_close(OPENED_ON)
    assert await ledger.take(settlement) == "waiting"
    assert await ledger.answer() == "closed"
    assert await ledger.take(settlement) == "already_booked"
    rows = await ledger.rows(
        "select posting_day, orders from ledger.day_line where outcome = 'reversed' order by posting_day"
    )
    assert [tuple(row) for row in rows] == [(OPENED_ON, 2), (SECOND, 1)]
    assert await ledger.value("select cut from ledger.day_closed") == {run: 1, settlement.run: 1}
    assert await ledger.value("select count(*) from ledger.journal_entry where corrects is not null") == 2
    assert await ledger.close(SECOND) == "closed"
    assert await ledger.balances() == {"receivable": 10 * 700, "premium_income": -10 * 700}


async def test_an_unequal_attempt_with_a_settlement_can_be_repeated(ledger: Ledger) -> None:
    await ledger.charge(new_run(), total(orders=10))
    ledger.charging.settle_at_close(OPENED_ON, total(Outcome.REVERSED, 2))
    await ledger.begin_close(OPENED_ON)
    wrong = msgspec.structs.replace(ledger.charging.count(await ledger.last_closing()), totals=[])
    assert await take_count(ledger.engine, msgspec.json.encode(wrong), COUNTERS) == "unequal"
    assert await ledger.close(OPENED_ON) == "closed"
    assert await ledger.value("select count(*) from ledger.manifest_inbox") == 0
    assert await ledger.close(SECOND) == "closed"


async def test_settlements_outside_the_cut_wait_for_the_close_and_go_to_the_next_day(ledger: Ledger) -> None:
    await ledger.charge(new_run(), total(orders=10))
    await ledger.begin_close(OPENED_ON)
    periodic = new_run()
    assert await ledger.take(ledger.charging.write(periodic, total(Outcome.REVERSED, 1))) == "waiting"
    late = ledger.charging.write(new_run(), total(orders=4))
    assert await ledger.take(late) == "booked"
    assert await ledger.answer() == "closed"
    rows = await ledger.rows("select outcome, posting_day, insured_on from ledger.day_line order by line_id")
    assert [tuple(row) for row in rows[1:]] == [
        ("charged", SECOND, OPENED_ON),
        ("reversed", SECOND, OPENED_ON),
    ]
    kinds = await ledger.rows("select kind, insured_on from ledger.journal_entry order by entry_id")
    assert [row.kind for row in kinds] == ["charge", "late_charge", "reversal"]
    assert await ledger.close(SECOND) == "closed"


async def test_too_early_in_the_wrong_order_and_twice_change_nothing(ledger: Ledger) -> None:
    before = await ledger.rows(STATE)
    early = await ledger.begin_close(OPENED_ON, due(OPENED_ON) - timedelta(microseconds=1))
    assert (early.state, early.reason) == ("refused", "2026-10-01 can be closed from 2026-10-02 12:00:00+08:00 on")
    assert (await ledger.begin_close(SECOND)).reason == "2026-10-01 has to be closed first"
    assert (await ledger.begin_close(date(2026, 9, 30))).reason == "the books begin on 2026-10-01"
    assert await ledger.rows(STATE) == before
    await ledger.begin_close(OPENED_ON)
    closing = await ledger.rows(STATE)
    again = await ledger.begin_close(OPENED_ON)
    assert (again.state, again.reason) == ("closing", "2026-10-01 is being closed already, attempt 1")
    assert await ledger.rows(STATE) == closing
    await ledger.answer()
    closed = await ledger.rows(STATE)
    assert (await ledger.begin_close(OPENED_ON)).state == "closed"
    assert await ledger.answer() == "already_counted"
    assert await ledger.rows(STATE) == closed


async def test_of_two_processes_one_closes_and_the_other_notices(ledger: Ledger) -> None:
    await ledger.charge(new_run(), total(orders=10))
    answers = await asyncio.gather(*(ledger.begin_close(OPENED_ON) for _ in range(4)))
    assert [answer.reason for answer in answers].count(None) == 1
    assert await ledger.value("select count(*) from ledger.day_closing") == 1
    states = await asyncio.gather(*(ledger.answer() for _ in range(4)))
    assert sorted(states) == ["already_counted"] * 3 + ["closed"]
    assert await ledger.value("select count(*) from ledger.outbox where topic = 'days.closed.v1'") == 1


async def test_answers_that_nobody_asked_for_are_kept_aside(ledger: Ledger) -> None:
    await ledger.begin_close(OPENED_ON)
    right = ledger.charging.count(await ledger.last_closing())
    odd = [
        msgspec.structs.replace(right, day=SECOND),
        msgspec.structs.replace(right, attempt=2),
        msgspec.structs.replace(right, cut={new_run(): 1}),
    ]
    for answer in odd:
        assert await take_count(ledger.engine, msgspec.json.encode(answer), COUNTERS) == "refused"
    assert await take_count(ledger.engine, b"{}", COUNTERS) == "refused"
    assert await ledger.answer() == "closed"
    other = msgspec.structs.replace(right, resends=7)
    assert await take_count(ledger.engine, msgspec.json.encode(other), COUNTERS) == "refused"
    reasons = await ledger.rows("select reason from ledger.refused_message order by refused_id")
    assert [row[0] for row in reasons] == ["unexpected"] * 3 + ["undecodable", "different_content"]


async def test_an_overdue_count_is_an_alarm_and_asked_for_again(ledger: Ledger) -> None:
    await ledger.begin_close(OPENED_ON)
    first = await ledger.last_closing()
    assert await find_overdue(ledger.engine, 3_600) is None
    woken: list[bool] = []
    overdue = CloseRetry(ledger.engine, 0.0, lambda: woken.append(True))
    await overdue.check()
    assert woken == [True]
    assert await ledger.last_closing() == first
    assert await ledger.value("select count(*) from ledger.outbox where topic = 'days.closing.v1'") == 2
    async with ledger.engine.connect() as connection:
        alarms = await read_alarms(connection, await read_books(connection), 0.0)
    assert [alarm.partition(":")[0] for alarm in alarms] == ["close_overdue"]
    await ledger.answer()
    assert not await repeat_question(ledger.engine, (OPENED_ON, 1))
    await overdue.check()
    assert woken == [True]


async def test_a_late_order_goes_to_the_oldest_open_day_and_names_its_own(ledger: Ledger) -> None:
    run = new_run()
    await ledger.charge(run, total(orders=1))
    await ledger.close_through(SECOND)
    await ledger.charge(run, total(orders=4), total(orders=2, day=SECOND), total(orders=1, day=THIRD))
    await ledger.charge(new_run(), total(Outcome.REVERSED, 1))
    rows = await ledger.rows(
        "select kind, posting_day, insured_on from ledger.journal_entry order by entry_id offset 1"
    )
    assert sorted(tuple(row) for row in rows) == [
        ("charge", THIRD, THIRD),
        ("late_charge", THIRD, OPENED_ON),
        ("late_charge", THIRD, SECOND),
        ("reversal", THIRD, OPENED_ON),
    ]
    assert await ledger.close(THIRD) == "closed"


async def test_the_database_keeps_a_closed_day_closed(ledger: Ledger) -> None:
    await ledger.charge(new_run(), total(orders=1))
    await ledger.close(OPENED_ON)
    line = """insert into ledger.day_line (posting_day, enterprise, outcome, orders, premium, run, number)
        select posting_day, enterprise, 'parked', 1, 0, run, number from ledger.day_line"""
    with pytest.raises(DBAPIError, match="is not open"):
        async with ledger.engine.begin() as connection:
            await connection.execute(text(line))
    closed = """insert into ledger.day_closed select day + 2, attempt, as_of, cut, orders, premium, totals, workers,
        first_time, hours, resends, unmatched_cancellations from ledger.day_closed"""
    with pytest.raises(DBAPIError, match="cannot be closed before"):
        async with ledger.engine.begin() as connection:
            await connection.execute(text(closed))
