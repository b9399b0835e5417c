"""Statements, remittances and late fees on real books."""

from collections.abc import AsyncIterator
from datetime import date, datetime, timedelta
from typing import Any

import msgspec
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from services.ledger.billing.issue_statements import IssueResult, issue_statements
from services.ledger.billing.late_fees import book_late_fees
from services.ledger.billing.remittances import take_remittance
from services.ledger.books.open_days import read_books
from services.ledger.operations.alarms import read_alarms
from services.ledger.operations.scheduler import do_due_duties
from services.ledger.queries.balances import PartyBalance, read_balances
from services.ledger.queries.book_queries import read_payment_states, read_statements, read_totals
from shared.contracts.manifests import Outcome, StatementIssued
from shared.domain.calendar import Month, day_start
from tests.integration.ledger.ledger_harness import (
    ANY_TIME,
    ENTERPRISE,
    OTHER,
    Ledger,
    due,
    new_run,
    open_ledger,
    total,
)
from tests.support.deployed_calendar import deployed_calendar

OPENED_ON = date(2026, 9, 29)
SEPTEMBER, OCTOBER = Month(2026, 9), Month(2026, 10)
DUE_ON = date(2026, 10, 15)
STATE = """select (select count(*) from ledger.statement), (select count(*) from ledger.statement_line),
    (select count(*) from ledger.journal_entry), (select count(*) from ledger.allocation),
    (select count(*) from ledger.late_fee), (select count(*) from ledger.outbox)"""


@pytest.fixture
async def ledger(database: str) -> AsyncIterator[Ledger]:
    async with open_ledger(database, OPENED_ON) as opened:
        yield opened


def noon(day: date) -> datetime:
    return day_start(day) + timedelta(hours=12)


async def close_until(ledger: Ledger, last: date) -> None:
    day = await ledger.value(
        "select coalesce((select max(day) + 1 from ledger.day_closed), opened_on) from ledger.books"
    )
    while day <= last:
        assert await ledger.close(day) == "closed"
        day += timedelta(days=1)


async def bill(ledger: Ledger, period: Month, as_of: datetime | None = None) -> IssueResult:
    when = as_of or noon(period.last_day + timedelta(days=2))
    return await issue_statements(ledger.engine, period, when, deployed_calendar())


async def remit(ledger: Ledger, identity: str, amount: str, on: date, enterprise: str = ENTERPRISE) -> str:
    reported = {
        "remittance_id": identity,
        "enterprise": enterprise,
        "province": "44",
        "amount_yuan": amount,
        "received_on": on.isoformat(),
    }
    return await take_remittance(ledger.engine, msgspec.json.encode(reported), ANY_TIME)


async def state(ledger: Ledger, as_of: date, period: Month = SEPTEMBER) -> list[tuple[str, ...]]:
    async with ledger.engine.connect() as connection:
        items = await read_payment_states(connection, period, as_of)
    names = ("due_yuan", "remitted_yuan", "outstanding_yuan", "arrears_yuan", "late_fee_yuan")
    return [tuple(getattr(item, name) for name in names) for item in items]


async def advance_of(ledger: Ledger) -> int:
    return -(await ledger.balances())["advances"]


async def september(ledger: Ledger, orders: int = 100, base: int = 10_000) -> None:
    """A closed and billed September of one statement: 100 yuan unless said otherwise."""
    await ledger.charge(new_run(), total(orders=orders, base=base, day=OPENED_ON))
    await close_until(ledger, SEPTEMBER.last_day)
    assert (await bill(ledger, SEPTEMBER)).state == "issued"


async def test_a_month_is_billed_once_it_is_closed_and_only_once(ledger: Ledger) -> None:
    run = new_run()
    await ledger.charge(run, total(orders=3, base=733, day=OPENED_ON), total(orders=1, base=45, line=4, day=OPENED_ON))
    await ledger.charge(run, total(orders=2, day=OPENED_ON, enterprise=OTHER), total(orders=9, day=date(2026, 10, 1)))
    await close_until(ledger, OPENED_ON)
    assert (await bill(ledger, SEPTEMBER)).reason == "2026-09-30 is not closed yet"
    await close_until(ledger, SEPTEMBER.last_day)
    early = await bill(ledger, SEPTEMBER, noon(SEPTEMBER.last_day))
    assert (early.state, early.reason) == ("refused", "2026-09 is not over on 2026-09-30")
    assert await bill(ledger, SEPTEMBER) == IssueResult("issued", None, 2)
    before = await ledger.rows(STATE)
    assert await bill(ledger, SEPTEMBER) == IssueResult("already_issued", "2026-09 is billed already", 2)
    assert await ledger.rows(STATE) == before
    async with ledger.engine.connect() as connection:
        first, second = await read_statements(connection, SEPTEMBER, None, None)
    assert (first.statement_id, first.orders, first.due_on) == (f"2026-09-44-{ENTERPRISE}", 4, DUE_ON)
    # 3 × 0.0733 = 0.2199 → 0.22; 1 × 0.0045 → 0.00: rounded for each line, the difference posted.
    assert (first.exact_yuan, first.amount_yuan, first.rounding_yuan) == ("0.2244", "0.22", "-0.0044")
    assert [line.amount_yuan for line in first.lines] == ["0.22", "0.00"]
    assert (second.enterprise, second.amount_yuan, second.rounding_yuan) == (OTHER, "0.14", "0.00")
    assert (await ledger.balances())["rounding"] == 44
    reported = await ledger.rows("select payload from ledger.outbox where topic = 'statements.issued.v1' order by id")
    assert [msgspec.json.decode(row[0], type=StatementIssued).amount for row in reported] == [2_200, 1_400]


async def test_months_are_billed_in_order_also_one_without_orders(ledger: Ledger) -> None:
    await close_until(ledger, SEPTEMBER.last_day)
    assert (await bill(ledger, OCTOBER)).reason == "2026-10-01 is not closed yet"
    assert (await bill(ledger, Month(2026, 8))).reason == "the books begin on 2026-09-29"
    assert await bill(ledger, SEPTEMBER) == IssueResult("issued", None, 0)
    assert (await bill(ledger, SEPTEMBER)).state == "already_issued"


async def test_late_orders_and_reversals_are_adjustments_of_the_next_month(ledger: Ledger) -> None:
    run = new_run()
    await ledger.charge(run, total(orders=10, day=SEPTEMBER.last_day))
    await close_until(ledger, SEPTEMBER.last_day)
    await bill(ledger, SEPTEMBER)
    issued = await ledger.rows("select * from ledger.statement_line")
    await ledger.charge(run, total(orders=5, day=SEPTEMBER.last_day), total(orders=20, day=date(2026, 10, 3)))
    await ledger.charge(new_run(), total(Outcome.REVERSED, 2, day=SEPTEMBER.last_day))
    await close_until(ledger, OCTOBER.last_day)
    assert (await bill(ledger, OCTOBER)).statements == 1
    lines = await ledger.rows("""select kind, insured_month, orders, amount from ledger.statement_line
        where statement_id like '2026-10%' order by number""")
    assert [tuple(row) for row in lines] == [
        ("line", "2026-10", 20, 14_000),
        ("adjustment", "2026-09", 3, 2_100),
    ]
    assert await ledger.rows("select * from ledger.statement_line where statement_id like '2026-09%'") == issued
    premium = await ledger.value("select sum(premium)::bigint from ledger.day_line")
    assert premium == await ledger.value("select sum(exact_amount)::bigint from ledger.statement")


async def test_a_statement_below_zero_is_a_credit_for_the_next_one(ledger: Ledger) -> None:
    run = new_run()
    await ledger.charge(run, total(orders=100, day=OPENED_ON))
    await close_until(ledger, SEPTEMBER.last_day)
    await bill(ledger, SEPTEMBER)
    assert await remit(ledger, "r1", "7.00", date(2026, 10, 10)) == "booked"
    await ledger.charge(new_run(), total(Outcome.REVERSED, 30, day=OPENED_ON))
    await ledger.charge(run, total(orders=40, day=date(2026, 11, 1)))
    await close_until(ledger, OCTOBER.last_day)
    await bill(ledger, OCTOBER)
    assert await state(ledger, date(2026, 11, 30), OCTOBER) == [("-2.10", "-2.10", "0.00", "0.00", "0.00")]
    assert await advance_of(ledger) == 21_000
    await close_until(ledger, date(2026, 11, 30))
    await bill(ledger, Month(2026, 11))
    assert await state(ledger, date(2026, 12, 2), Month(2026, 11)) == [("2.80", "2.10", "0.70", "0.00", "0.00")]
    assert await advance_of(ledger) == 0


async def test_a_remittance_in_part_then_in_full_then_over(ledger: Ledger) -> None:
    await september(ledger)
    assert await remit(ledger, "a", "40.00", date(2026, 10, 8)) == "booked"
    assert await state(ledger, DUE_ON) == [("100.00", "40.00", "60.00", "0.00", "0.00")]
    assert await remit(ledger, "b", "60", date(2026, 10, 9)) == "booked"
    assert await state(ledger, date(2026, 12, 1)) == [("100.00", "100.00", "0.00", "0.00", "0.00")]
    assert await remit(ledger, "c", "5.50", date(2026, 10, 9)) == "booked"
    assert await advance_of(ledger) == 55_000
    assert (await ledger.balances())["cash"] == 1_055_000
    assert (await ledger.balances())["receivable"] == 0


async def test_an_advance_is_set_against_the_next_statement(ledger: Ledger) -> None:
    await september(ledger)
    await remit(ledger, "a", "103.00", date(2026, 10, 8))
    await ledger.charge(new_run(), total(orders=4, base=10_000, day=date(2026, 10, 20)))
    await close_until(ledger, OCTOBER.last_day)
    await bill(ledger, OCTOBER)
    assert await state(ledger, date(2026, 11, 2), OCTOBER) == [("4.00", "3.00", "1.00", "0.00", "0.00")]
    assert await advance_of(ledger) == 0


async def test_the_same_remittance_again_is_harmless_and_another_one_is_an_alarm(ledger: Ledger) -> None:
    await september(ledger)
    await remit(ledger, "a", "40.00", date(2026, 10, 8))
    before = await ledger.rows(STATE)
    assert await remit(ledger, "a", "40.00", date(2026, 10, 8)) == "already_booked"
    assert await remit(ledger, "a", "41.00", date(2026, 10, 8)) == "refused"
    assert await ledger.rows(STATE) == before
    assert await alarm_names(ledger) == ["message_refused"]


async def alarm_names(ledger: Ledger) -> list[str]:
    async with ledger.engine.connect() as connection:
        raised = await read_alarms(connection, await read_books(connection), 60)
    return [alarm.partition(":")[0] for alarm in raised]


async def test_money_of_an_unknown_enterprise_is_kept_as_an_advance(ledger: Ledger) -> None:
    assert await remit(ledger, "a", "12.00", date(2026, 9, 30), enterprise=OTHER) == "booked"
    assert await ledger.balances() == {"cash": 120_000, "advances": -120_000}
    assert await alarm_names(ledger) == ["remittance_unallocated"]


@pytest.mark.parametrize(
    "change",
    [
        {"amount_yuan": "0.00"},
        {"amount_yuan": "-1.00"},
        {"amount_yuan": "1.001"},
        {"amount_yuan": "9" * 15},
        {"amount_yuan": 1},
        {"received_on": "2026-02-30"},
        {"province": "4"},
        {"extra": True},
    ],
)
async def test_a_bad_remittance_is_kept_aside(ledger: Ledger, change: dict[str, Any]) -> None:
    reported = {
        "remittance_id": "a",
        "enterprise": ENTERPRISE,
        "province": "44",
        "amount_yuan": "1.00",
        "received_on": "2026-10-01",
    }
    assert await take_remittance(ledger.engine, msgspec.json.encode(reported | change)) == "refused"
    assert await ledger.value("select count(*) from ledger.refused_message") == 1
    assert await ledger.value("select count(*) from ledger.remittance") == 0


async def test_late_fees_grow_day_by_day_and_a_second_run_adds_nothing(ledger: Ledger) -> None:
    await september(ledger)
    assert (await book_late_fees(ledger.engine, DUE_ON)).booked == 0
    fees = [await book_late_fees(ledger.engine, DUE_ON + timedelta(days=day)) for day in (1, 2, 2, 1, 10)]
    assert [fee.amount for fee in fees] == [500, 500, 0, 0, 4_000]
    assert await state(ledger, DUE_ON + timedelta(days=10)) == [("100.00", "0.00", "100.00", "100.00", "0.50")]
    assert (await ledger.balances())["late_fee_receivable"] == 5_000
    later = await book_late_fees(ledger.engine, DUE_ON + timedelta(days=5_000))
    assert later.amount == 1_000_000 - 5_000


async def test_rounding_of_increments_comes_to_rounding_of_the_whole(ledger: Ledger) -> None:
    await september(ledger, orders=1, base=333_300)
    for day in range(1, 31):
        await book_late_fees(ledger.engine, DUE_ON + timedelta(days=day))
    assert await ledger.value("select sum(amount)::bigint from ledger.late_fee") == 5_000  # 33.33 × 0.015 = 0.49995


async def test_payment_serves_principal_before_late_fee_and_stops_it(ledger: Ledger) -> None:
    await september(ledger)
    tenth = DUE_ON + timedelta(days=10)
    await book_late_fees(ledger.engine, tenth)
    await remit(ledger, "a", "100.20", tenth + timedelta(days=1))
    assert await state(ledger, tenth + timedelta(days=99)) == [("100.00", "100.00", "0.00", "0.00", "0.50")]
    assert (await book_late_fees(ledger.engine, tenth + timedelta(days=99))).booked == 0
    assert (await ledger.balances())["late_fee_receivable"] == 3_000
    await remit(ledger, "b", "1.00", tenth + timedelta(days=100))
    assert (await ledger.balances())["late_fee_receivable"] == 0
    assert await advance_of(ledger) == 7_000


async def test_money_that_came_earlier_than_it_was_told_lowers_the_fee(ledger: Ledger) -> None:
    await september(ledger)
    await book_late_fees(ledger.engine, DUE_ON + timedelta(days=10))
    await remit(ledger, "a", "100.50", DUE_ON + timedelta(days=4))
    assert await advance_of(ledger) == 0
    corrected = await book_late_fees(ledger.engine, DUE_ON + timedelta(days=10))
    assert (corrected.booked, corrected.amount) == (1, -3_500)
    assert await advance_of(ledger) == 3_500
    assert (await ledger.balances())["late_fee_receivable"] == 0
    assert (await book_late_fees(ledger.engine, DUE_ON + timedelta(days=10))).booked == 0


async def test_an_advance_pays_the_late_fee_that_is_booked_later(ledger: Ledger) -> None:
    await september(ledger)
    tenth = DUE_ON + timedelta(days=10)
    await remit(ledger, "a", "101.00", tenth)
    assert await advance_of(ledger) == 10_000
    await book_late_fees(ledger.engine, tenth)
    assert await advance_of(ledger) == 10_000 - 4_500
    assert (await ledger.balances())["late_fee_receivable"] == 0


async def test_a_statement_whose_sums_are_not_its_lines_is_refused(ledger: Ledger) -> None:
    await september(ledger)
    copies = [
        """insert into ledger.statement select replace(statement_id, '2026-09', '2026-10'), enterprise, province,
            '2026-10', as_of, due_on, due_on_is_provisional, calendar, orders, exact_amount, amount
            from ledger.statement""",
        """insert into ledger.statement_line select statement_id, number + 1, kind, insured_month, industry,
            tariff_line, base_amount, orders, exact_amount, amount from ledger.statement_line""",
    ]
    for statement in copies:
        with pytest.raises(DBAPIError, match="not those of its lines"):
            async with ledger.engine.begin() as connection:
                await connection.execute(text(statement))


async def test_totals_of_a_month_count_every_outcome(ledger: Ledger) -> None:
    lines = [total(orders=4, day=OPENED_ON), total(Outcome.PARKED, 2, day=None, reason="not_json")]
    await ledger.charge(new_run(), *lines, total(Outcome.CONFLICT, 1, day=OPENED_ON))
    async with ledger.engine.connect() as connection:
        totals = await read_totals(connection, SEPTEMBER)
    assert [(one.outcome, one.orders, one.premium_yuan) for one in totals] == [
        ("charged", 4, "0.28"),
        ("conflict", 1, "0.00"),
        ("parked", 2, "0.00"),
    ]


async def test_the_scheduler_does_what_is_due_and_can_be_run_again(ledger: Ledger) -> None:
    await ledger.charge(new_run(), total(orders=100, base=10_000, day=OPENED_ON))

    async def tick(as_of: datetime) -> list[str]:
        return await do_due_duties(ledger.engine, as_of, 36, deployed_calendar(), ANY_TIME)

    assert await tick(due(OPENED_ON) - timedelta(seconds=1)) == []
    assert await tick(due(OPENED_ON)) == ["close 2026-09-29"]
    assert await tick(due(OPENED_ON)) == []
    await ledger.answer()
    assert await tick(due(SEPTEMBER.last_day)) == ["close 2026-09-30"]
    await ledger.answer()
    assert await tick(due(SEPTEMBER.last_day)) == ["bill 2026-09: issued"]
    assert await tick(due(SEPTEMBER.last_day)) == []
    late = noon(DUE_ON + timedelta(days=3))
    assert await tick(late) == ["close 2026-10-01", "late fees: 1"]
    assert await ledger.value("select total from ledger.late_fee") == 1_000


async def test_money_that_arrived_is_settled_paid_as_late_fee_or_left_over(ledger: Ledger) -> None:
    """The balances of the parties add up to what arrived, and what is left over is what the books hold in advance."""
    await september(ledger)
    late = DUE_ON + timedelta(days=20)
    await remit(ledger, "r1", "60.00", DUE_ON)
    await book_late_fees(ledger.engine, late)
    await remit(ledger, "r2", "150.00", late)
    await remit(ledger, "r3", "5.00", late, OTHER)
    async with ledger.engine.connect() as connection:
        early = await read_balances(connection, DUE_ON)
        both = await read_balances(connection, late)
        own = await read_balances(connection, late, ENTERPRISE, "44")
        assert await read_balances(connection, late, ENTERPRISE, "11") == []
    assert early == [PartyBalance(ENTERPRISE, "44", "60.00", "60.00", "0.00", "0.00")]
    assert own == [PartyBalance(ENTERPRISE, "44", "210.00", "100.00", "0.40", "109.60")]
    assert both == sorted(
        [*own, PartyBalance(OTHER, "44", "5.00", "0.00", "0.00", "5.00")], key=lambda balance: balance.enterprise
    )
    assert await advance_of(ledger) == 1_146_000
