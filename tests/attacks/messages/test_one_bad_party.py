"""One enterprise and province that cannot be billed or assessed is set aside with an alarm; all others are billed.

The poisoned sums are written by the tables' owner, as a defect of an earlier version might have left them.
"""

from collections.abc import AsyncIterator
from datetime import date, datetime, timedelta
from typing import Any, Final

import pytest
from sqlalchemy import text

from services.ledger.billing.issue_statements import issue_set_aside, issue_statements
from services.ledger.billing.late_fees import book_late_fees
from services.ledger.books.open_days import read_books
from services.ledger.books.set_aside import Step, open_quarantine
from services.ledger.operations.alarms import read_alarms
from services.ledger.operations.scheduler import do_due_duties
from shared.adapters.postgres.engine import open_engine
from shared.domain.calendar import Month, day_start
from tests.integration.ledger.ledger_harness import ANY_TIME, ENTERPRISE, OTHER, Ledger, new_run, open_ledger, total
from tests.support.deployed_calendar import deployed_calendar

OPENED_ON: Final = date(2026, 9, 29)
SEPTEMBER, OCTOBER = Month(2026, 9), Month(2026, 10)
LATE: Final = date(2026, 11, 20)
SUM: Final = """insert into ledger.day_sum values
    (:day, :insured_on, :enterprise, '44', 'instant_delivery', :line, 'charged', null, :base, :orders, :premium)"""


def poison(number: int, *sums: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows of one enterprise that no statement can hold."""
    known = {"day": OPENED_ON, "insured_on": OPENED_ON, "line": 3}
    rows = []
    for changes in sums:
        base, orders = changes.get("base", 700), changes.get("orders", 1)
        money = {"base": base, "orders": orders, "premium": base * orders}
        rows.append(known | {"enterprise": f"91110000FAKE{number:06}"} | changes | money)
    return rows


POISON: Final[dict[str, list[dict[str, Any]]]] = {
    "refused": [{"base": 700}, {"base": 701}],  # two amounts of one tariff line
    "out_of_range": [{"base": 2**40, "orders": 2**22, "line": line} for line in (3, 4)],  # their sum does not fit
    "refused again": [{"insured_on": date(2026, 10, 1)}],  # insured in a later month
}


@pytest.fixture
async def ledger(database: str) -> AsyncIterator[Ledger]:
    async with open_ledger(database, OPENED_ON) as opened:
        yield opened


async def as_owner(database: str, *statements: tuple[str, dict[str, Any]]) -> None:
    async with open_engine(database) as owner, owner.begin() as connection:
        for sql, values in statements:
            await connection.execute(text(sql), values)


async def alarms(ledger: Ledger) -> list[str]:
    async with ledger.engine.connect() as connection:
        alarms = await read_alarms(connection, await read_books(connection), 60.0)
    return [alarm for alarm in alarms if alarm.startswith("set_aside:")]


def noon(day: date) -> datetime:
    return day_start(day) + timedelta(hours=12)


async def closed_september(ledger: Ledger, database: str, *rows: dict[str, Any]) -> None:
    run = new_run()
    await ledger.charge(run, total(orders=100, base=10_000, day=OPENED_ON))
    await ledger.charge(run, total(orders=100, base=10_000, day=OPENED_ON, enterprise=OTHER))
    assert await ledger.close(OPENED_ON) == "closed"
    await as_owner(database, *((SUM, row) for row in rows))
    assert await ledger.close(OPENED_ON + timedelta(days=1)) == "closed"


async def test_a_party_that_cannot_be_billed_is_set_aside_and_all_others_are_billed(
    ledger: Ledger, database: str
) -> None:
    rows = [row for number, sums in enumerate(POISON.values()) for row in poison(number, *sums)]
    await closed_september(ledger, database, *rows)
    answer = await issue_statements(ledger.engine, SEPTEMBER, noon(date(2026, 10, 2)), deployed_calendar())
    assert answer.state == "issued"
    billed = {row[0] for row in await ledger.rows("select enterprise from ledger.statement")}
    assert billed >= {ENTERPRISE, OTHER}
    aside = {row[0]: row[1] for row in await ledger.rows("select item, reason from ledger.set_aside")}
    names = [f"2026-09-44-91110000FAKE{number:06}" for number in range(3)]
    assert [aside[name] for name in names] == ["refused", "out_of_range", "refused"]
    assert answer.statements == len(billed)
    assert len(await alarms(ledger)) == len(aside)
    assert sum((await ledger.balances()).values()) == 0
    published = await ledger.value("select count(*) from ledger.outbox where topic = 'statements.issued.v1'")
    assert published == len(billed)


async def test_a_statement_that_was_set_aside_is_issued_once_it_can_be(ledger: Ledger, database: str) -> None:
    await closed_september(ledger, database)
    refuse = f"""create function ledger.refuse_one() returns trigger language plpgsql as $$ begin
        if new.enterprise = '{OTHER}' then raise exception 'no' using errcode = 'check_violation'; end if;
        return new; end $$"""
    trigger = "create trigger refuse_one before insert on ledger.statement for each row execute function"
    await as_owner(database, (refuse, {}), (f"{trigger} ledger.refuse_one()", {}))
    as_of = noon(date(2026, 10, 2))
    assert (await issue_statements(ledger.engine, SEPTEMBER, as_of, deployed_calendar())).statements == 1
    assert len(await alarms(ledger)) == 1
    assert await issue_set_aside(ledger.engine, as_of, deployed_calendar()) == 0, "it is not time to try again"
    await as_owner(database, ("drop trigger refuse_one on ledger.statement", {}))
    await open_quarantine(ledger.engine).try_again(Step.BILL)
    assert await issue_set_aside(ledger.engine, as_of, deployed_calendar()) == 1
    assert await issue_set_aside(ledger.engine, as_of, deployed_calendar()) == 0
    assert await alarms(ledger) == []
    assert await ledger.value("select count(*) from ledger.statement where amount = 1000000") == 2


async def test_late_fees_that_cannot_be_booked_are_set_aside_and_all_others_are_booked(
    ledger: Ledger, database: str
) -> None:
    await closed_september(ledger, database)
    await issue_statements(ledger.engine, SEPTEMBER, noon(date(2026, 10, 2)), deployed_calendar())
    refuse = f"""create function ledger.refuse_one() returns trigger language plpgsql as $$ begin
        if new.statement_id like '%{OTHER}' then raise exception 'no' using errcode = 'check_violation'; end if;
        return new; end $$"""
    trigger = "create trigger refuse_one before insert on ledger.late_fee for each row execute function"
    await as_owner(database, (refuse, {}), (f"{trigger} ledger.refuse_one()", {}))
    assert (await book_late_fees(ledger.engine, LATE)).booked == 1
    assert [alarm.split(": ")[1:3] for alarm in await alarms(ledger)] == [[f"late_fee 44-{OTHER}", "constraint"]]
    assert sum((await ledger.balances()).values()) == 0
    await as_owner(database, ("drop trigger refuse_one on ledger.late_fee", {}))
    assert (await book_late_fees(ledger.engine, LATE)).booked == 0, "it is not time to try again"
    await open_quarantine(ledger.engine).try_again()
    assert (await book_late_fees(ledger.engine, LATE)).booked == 1
    assert await alarms(ledger) == []


async def test_a_duty_of_the_clock_that_fails_holds_up_no_other(ledger: Ledger, database: str) -> None:
    """Billing as a whole is made impossible; closing goes on, late fees are booked, and the alarm names the duty."""
    await closed_september(ledger, database)
    await issue_statements(ledger.engine, SEPTEMBER, noon(date(2026, 10, 2)), deployed_calendar())
    refuse = """create function ledger.refuse_all() returns trigger language plpgsql as $$ begin
        raise exception 'refuse_all' using errcode = 'check_violation'; end $$"""
    trigger = "create trigger refuse_all before insert on ledger.day_closing for each row execute function"
    await as_owner(database, (refuse, {}), (f"{trigger} ledger.refuse_all()", {}))
    with pytest.raises(Exception, match="refuse_all"):
        await do_due_duties(ledger.engine, noon(LATE), 36, deployed_calendar(), ANY_TIME)
    assert await ledger.value("select count(*) from ledger.late_fee") == 2
    assert [alarm.split(": ")[1] for alarm in await alarms(ledger)] == ["duty close"]
    await as_owner(database, ("drop trigger refuse_all on ledger.day_closing", {}))
    assert await do_due_duties(ledger.engine, noon(LATE), 36, deployed_calendar(), ANY_TIME) == ["close 2026-10-01"]
    assert await alarms(ledger) == []
