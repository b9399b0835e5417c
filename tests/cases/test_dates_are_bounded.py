"""Kind: a date, a time or an `as_of` is checked against the books and a second clock before anything is done by it."""

import time
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Final

import httpx
import msgspec
import pytest
from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from services.ledger.api.ledger_routes import make_router
from services.ledger.billing.due_dates import adopt_calendar
from services.ledger.billing.remittances import take_remittance
from services.ledger.books.clocks import CONSEQUENCE, Clocks
from services.ledger.books.open_days import read_books
from services.ledger.operations.alarms import read_alarms
from services.ledger.operations.metrics import Metrics, refresh_gauges
from services.ledger.operations.readiness import check_clocks
from services.ledger.operations.scheduler import do_due_duties, do_duties_now
from services.ledger.queries.book_queries import read_payment_states
from services.ledger.settings import LedgerSettings
from services.reporting.message_intake import Intake
from shared.adapters.kafka.internal.record_clock import TRUSTED_SECONDS, RecordClock
from shared.adapters.postgres.decisions import Decisions
from shared.adapters.postgres.engine import open_engine
from shared.adapters.postgres.pool import open_pool
from shared.contracts.quarantine import Quarantined, QuarantineReason
from shared.domain.calendar import Month, day_start, insured_day
from shared.domain.errors import Refused
from shared.intake.time_bounds import TimeBounds
from shared.runtime import clock
from tests.integration.ledger.ledger_harness import ENTERPRISE, Ledger, due, new_run, open_ledger, total
from tests.integration.reporting.reporting_harness import closed_day, migrate_reporting
from tests.support.access_keys import opened_by
from tests.support.authors import as_operator
from tests.support.deployed_calendar import deployed_calendar

TODAY: Final = insured_day(clock.now())
LONG_AGO: Final = TODAY - timedelta(days=5)
FORTY_DAYS: Final = timedelta(days=40)
KEY: Final = "a key for these tests"
STATE: Final = """select (select count(*) from ledger.day_closing), (select count(*) from ledger.statement),
    (select count(*) from ledger.late_fee), (select count(*) from ledger.journal_entry)"""


@pytest.fixture
async def ledger(database: str) -> AsyncIterator[Ledger]:
    """Books that opened five days ago, of which nothing is closed."""
    async with open_ledger(database, LONG_AGO) as opened:
        await opened.charge(new_run(), total(orders=100, base=10_000, day=LONG_AGO))
        yield opened


def leaping(by: timedelta) -> Clocks:
    """The clocks of a process whose own clock leaped."""
    return Clocks(now=lambda: clock.now() + by)


async def tick(ledger: Ledger, clocks: Clocks) -> None:
    await do_duties_now(ledger.engine, 36, deployed_calendar(), lambda: None, clocks)


@pytest.mark.parametrize("by", [FORTY_DAYS, -FORTY_DAYS, timedelta(minutes=10)])
async def test_a_leap_of_the_clock_closes_nothing_and_is_told(ledger: Ledger, by: timedelta) -> None:
    """Case 24: 38 days were closed and a month was billed, with no alarm and everything ready."""
    before, leap = await ledger.rows(STATE), leaping(by)
    for _ in range(20):
        await tick(ledger, leap)
    assert await ledger.rows(STATE) == before
    async with ledger.engine.connect() as connection:
        alarms = await read_alarms(connection, await read_books(connection), 60, clocks=leap)
    (alarm,) = [alarm for alarm in alarms if alarm.startswith("clocks_disagree: this process's clock says ")]
    assert alarm.endswith(CONSEQUENCE)
    assert "the database's" in (await check_clocks(ledger.engine, leap) or "")
    registry = CollectorRegistry()
    await refresh_gauges(ledger.engine, Metrics.make(registry), LedgerSettings(), deployed_calendar(), leap)
    assert registry.get_sample_value("danbao_ledger_alarms", {"alarm": "clocks_disagree"}) == 1
    await tick(ledger, Clocks())
    assert await ledger.value("select count(*) from ledger.day_closing") == 1, "it goes on by itself"
    assert await check_clocks(ledger.engine, Clocks()) is None


async def test_records_of_the_broker_are_a_clock_too(ledger: Ledger) -> None:
    """Case 24, where database and process leap together: what others write goes on with the right time."""
    records = RecordClock()
    clocks = Clocks(records=[records])
    for shift in (-FORTY_DAYS, FORTY_DAYS, timedelta(minutes=-10)):
        records.note(clock.now() + shift, time.monotonic(), 0.5)
        await tick(ledger, clocks)
        assert await ledger.value("select count(*) from ledger.day_closing") == 0
        assert "new records of the broker say" in (await check_clocks(ledger.engine, clocks) or "")
    records.note(clock.now(), time.monotonic(), 0.5)
    await tick(ledger, clocks)
    assert await ledger.value("select count(*) from ledger.day_closing") == 1


def test_only_a_record_that_just_arrived_tells_the_time() -> None:
    records, at = RecordClock(), datetime(2026, 10, 3, tzinfo=UTC)
    assert records.read(0.0) is None
    records.note(at, 100.0, 2.0)
    assert records.read(160.0) == (at + timedelta(seconds=60), at + timedelta(seconds=62))
    assert records.read(100.0 + TRUSTED_SECONDS + 1) is None


async def test_nothing_is_done_as_of_a_time_that_has_not_come(ledger: Ledger) -> None:
    """Case 24, by hand: close, bill and late fees query the database's clock."""
    before = await ledger.rows(STATE)
    assert await do_due_duties(ledger.engine, due(TODAY) + FORTY_DAYS, 36, deployed_calendar()) == []
    async with open_pool(ledger.url, size=1) as pool:
        app = FastAPI()
        decisions = Decisions(pool, "ledger")
        keys = opened_by(KEY, "ledger")
        app.include_router(
            make_router(keys, ledger.engine, LedgerSettings(), deployed_calendar(), lambda: None, decisions, Clocks())
        )
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://ledger", auth=as_operator("ledger")
        ) as client:
            post = partial(client.post, headers={"Authorization": f"Bearer {KEY}"})
            far = {"as_of": (due(TODAY) + FORTY_DAYS).isoformat()}
            closed = (await post(f"/v1/days/{LONG_AGO}/close", json=far)).json()
            billed = (await post("/v1/statements", json={"period": str(Month.of(LONG_AGO))} | far)).json()
            for day in (TODAY, date(2062, 11, 10)):
                with pytest.raises(Refused, match=f"{day} is not over: the database's clock says"):
                    await post("/v1/late-fees", json={"as_of": str(day)})
    for answer in (closed, billed):
        assert answer["state"] == "refused"
        assert "has not come yet: the database's clock says" in answer["reason"]
    assert await ledger.rows(STATE) == before


def remittance(name: str, on: date) -> bytes:
    reported = {"remittance_id": name, "enterprise": ENTERPRISE, "province": "44", "amount_yuan": "100.00"}
    return msgspec.json.encode(reported | {"received_on": str(on)})


async def test_money_of_a_day_to_come_is_set_aside_and_the_right_one_settles(ledger: Ledger) -> None:
    """Case 3: 8.00 of 4.00 yuan were paid, and the statement was overdue until 2062."""
    await adopt_calendar(ledger.engine, deployed_calendar())
    async with ledger.owner.begin() as connection:
        await connection.execute(text(_STATEMENT), {"due": LONG_AGO, "enterprise": ENTERPRISE})
    for on in (date(2062, 11, 10), TODAY + timedelta(days=2), LONG_AGO - timedelta(days=1), date(2021, 1, 1)):
        assert await take_remittance(ledger.engine, remittance("r-1", on)) == "refused"
    async with ledger.engine.connect() as connection:
        alarms = await read_alarms(connection, await read_books(connection), 60)
    assert "message_refused: remittances.v1: out_of_time: 3" in alarms
    assert await take_remittance(ledger.engine, remittance("r-2", LONG_AGO)) == "booked"
    async with ledger.engine.connect() as connection:
        (state,) = await read_payment_states(connection, Month(2026, 9), TODAY)
    assert (state.remitted_yuan, state.arrears_yuan, state.late_fee_yuan) == ("100.00", "0.00", "0.00")
    assert await take_remittance(ledger.engine, remittance("r-1", LONG_AGO)) == "booked", (
        "sent again with its right day"
    )


_STATEMENT: Final = """
with made as (insert into ledger.statement (statement_id, enterprise, province, period, as_of, due_on,
        due_on_is_provisional, calendar, orders, exact_amount, amount)
    select '2026-09-44-x', :enterprise, '44', '2026-09', now(), :due, false, edition, 100, 1000000, 1000000
    from ledger.edition returning statement_id)
insert into ledger.statement_line (statement_id, number, kind, insured_month, industry, tariff_line, base_amount,
        orders, exact_amount, amount)
    select statement_id, 1, 'line', '2026-09', 'ride_hailing', 4, 10000, 100, 1000000, 1000000 from made
"""


@pytest.mark.parametrize("slip", [FORTY_DAYS, timedelta(days=-400)])
async def test_notices_and_counts_of_a_time_out_of_the_books_are_set_aside(database: str, slip: timedelta) -> None:
    async with open_engine(await migrate_reporting(database)) as engine:
        intake = Intake(engine, lambda: None)
        await intake.take_day_closed(msgspec.json.encode(closed_day(LONG_AGO, [])))
        at = clock.now() + slip
        notice = {"notice_id": "n-1", "worker_id": "5d" * 32, "injured_at": at, "noticed_at": clock.now()}
        count = {"source": "s", "enterprise": ENTERPRISE, "day": insured_day(at), "count": 1}
        for take, reported in ((intake.take_injury, notice), (intake.take_total, count)):
            with pytest.raises(Quarantined) as refused:
                await take(msgspec.json.encode(reported))
            assert refused.value.reason is QuarantineReason.OUT_OF_TIME
        await intake.take_injury(msgspec.json.encode(notice | {"injured_at": day_start(LONG_AGO)}))
        await intake.take_total(msgspec.json.encode(count | {"day": LONG_AGO}))


def test_a_bound_is_reached_and_not_passed() -> None:
    noon = datetime(2026, 10, 3, 4, tzinfo=UTC)
    bounds = TimeBounds(date(2026, 10, 1), noon, timedelta(seconds=300))
    bounds.check_day("day", date(2026, 10, 1))
    bounds.check_day("day", date(2026, 10, 3))
    bounds.check_instant("at", noon + timedelta(seconds=300))
    for day in (date(2026, 9, 30), date(2026, 10, 4)):
        with pytest.raises(Quarantined, match=f"day {day} "):
            bounds.check_day("day", day)
    with pytest.raises(Quarantined, match="at 2026-10-03 12:05:01"):
        bounds.check_instant("at", noon + timedelta(seconds=301))


@pytest.mark.parametrize("infinity", ["infinity", "-infinity"])
async def test_no_date_is_infinite(ledger: Ledger, infinity: str) -> None:
    columns = await ledger.rows(_UNBOUNDED)
    assert columns == []
    row = f"('r', 'e', '44', 100, '{infinity}', decode(repeat('00', 32), 'hex'), now())"
    async with ledger.owner.connect() as connection:
        with pytest.raises(DBAPIError, match="received_on"):
            await connection.execute(text(f"insert into ledger.remittance values {row}"))


_UNBOUNDED: Final = """
select c.table_name, c.column_name from information_schema.columns c
where c.table_schema = 'ledger' and c.column_name in ('opened_on', 'received_on', 'effective_on', 'due_on', 'as_of')
  and not exists (select from pg_constraint k where k.conrelid = ('ledger.' || c.table_name)::regclass
                  and pg_get_constraintdef(k.oid) like '%isfinite(' || c.column_name || ')%')
"""
