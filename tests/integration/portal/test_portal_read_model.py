"""The read model agrees with the closed days and the reports, and a rebuild gives equal rows."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import pytest
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from services.reporting.read_model.arrivals import read_arrivals
from services.reporting.read_model.overview import read_overview
from services.reporting.read_model.responses import Part, Where
from services.reporting.read_model.sheets import Span, read_months, read_sheet, read_since_start
from services.reporting.read_model.statements import StatementFilter, find_statement, list_remittances, list_statements
from shared.adapters.postgres.engine import open_engine
from shared.contracts.manifests import DayClosed, Outcome, PremiumsCharged, RemittanceReceived, Total
from shared.contracts.topics import MANIFESTS, REMITTANCES, STATEMENTS
from shared.domain.calendar import Month, day_start
from shared.domain.money import parse_yuan
from tests.integration.portal.read_model_harness import misplaced_findings, play, projected, read_tables
from tests.integration.reporting.other_services import OtherServices
from tests.integration.reporting.reporting_harness import (
    BLUE,
    GREEN,
    House,
    closed_day,
    first_time,
    make_keys,
    reporting_house,
    statement,
    total,
    worker_count,
)
from tests.support.waiting import eventually_async

pytestmark = pytest.mark.exhaustive

FIRST = date(2026, 9, 12)
CUT_OFF = """
select pg_terminate_backend(pid) from pg_stat_activity
where usename = 'danbao_reporting' and datname = current_database()
"""
DAY, EARLIER = date(2026, 10, 3), date(2026, 10, 2)


@pytest.fixture
async def house(database: str, platform_database: str, tmp_path: Path) -> AsyncIterator[House]:
    async with reporting_house(database, platform_database, make_keys(tmp_path), OtherServices()) as house:
        yield house


@asynccontextmanager
async def connected(database: str) -> AsyncIterator[AsyncConnection]:
    async with open_engine(database, size=1) as engine, engine.connect() as connection:
        yield connection


async def test_live_and_rebuilt_are_equal_row_by_row(house: House, database: str) -> None:
    for closed in play(1, FIRST, 40):
        await house.receive(closed)
    await house.receive(statement(12_341), statement(777, GREEN), statement(9, BLUE, "11", "2026-09"))
    assert await house.read(STATEMENTS, b"not a message, so a finding") is not None
    await projected(house)
    live = await read_tables(database)
    assert all(live.values()), {name for name, rows in live.items() if not rows}
    due = (await house.client.post("/v1/read-model/rebuild")).raise_for_status().json()
    assert (due["due_days"], due["due_statements"]) == (40, 3)
    assert await misplaced_findings(database) == []
    await projected(house)
    assert await read_tables(database) == live


async def test_a_rebuild_that_is_cut_off_and_begun_again_ends_the_same(house: House, database: str) -> None:
    """While pages are read and days come in; the database drops everybody in its middle, again and again."""
    reported = list(play(4, FIRST, 30))
    await house.receive(*reported[:25], statement(12_341))
    assert await house.read(STATEMENTS, b"not a message, so a finding") is not None
    await projected(house)
    owner = await asyncpg.connect(database)
    try:
        for number, closed in enumerate(reported[25:]):
            requests = [house.client.post("/v1/read-model/rebuild"), house.client.post("/v1/read-model/rebuild")]
            requests += [house.page(f"/days/{DAY}", "key-national"), house.page("/", "key-national")]
            assert {answer.status_code for answer in await asyncio.gather(*requests)} == {200}, number
            await house.receive(closed)
            await owner.execute(CUT_OFF)
            await eventually_async(lambda: answers(house), "reporting to have a connection again")
    finally:
        await owner.close()
    await projected(house)
    model = await read_tables(database)
    assert await misplaced_findings(database) == []
    (await house.client.post("/v1/read-model/rebuild")).raise_for_status()
    await projected(house)
    assert await read_tables(database) == model
    async with connected(database) as connection:
        start, end = FIRST - timedelta(days=50), FIRST + timedelta(days=99)
        assert counted(await read_since_start(connection, Where())) == expected(reported, Where(), start, end)


async def answers(house: House) -> bool:
    with suppress(DBAPIError):
        return (await house.client.get("/v1/read-model")).is_success
    return False


async def test_sheets_are_the_sums_of_what_was_told(house: House, database: str) -> None:
    reported = list(play(2, FIRST, 40))
    await house.receive(*reported)
    await projected(house)
    async with connected(database) as connection:
        for where, span in (
            (Where(), Span.of_month(Month(2026, 9))),
            (Where(province="44"), Span.of_month(Month(2026, 10))),
            (Where(enterprise=BLUE), Span.of_day(DAY)),
            (Where(province="31", enterprise=GREEN), Span.of_day(DAY)),
            (Where(industry="ride_hailing"), Span.of_month(Month(2026, 9))),
        ):
            sheet = await read_sheet(connection, where, span)
            whole = expected(reported, where, span.first, span.last)
            assert counted(sheet.figures) == whole, where
            assert counted(sheet.before) == expected(reported, where, *span.before), where
            parts: list[list[Part]] = [sheet.provinces, sheet.enterprises, sheet.industries]
            for part in parts:
                assert sum((Counter(counted(row)) for row in part), Counter()) == +Counter(whole), where
            assert [day for day in sheet.days if span.first <= day.day <= span.last]
            for day in sheet.days:
                assert counted(day) == expected(reported, where, day.day, day.day), where
            excluded = sum(reason.orders for reason in sheet.reasons if reason.outcome == "excluded")
            reversed_ = sum(reason.orders for reason in sheet.reasons if reason.outcome == "reversed")
            assert (excluded, reversed_) == (whole["excluded"], whole["reversed"]), where
            if where.industry is None:
                workers = expected_workers(reported, where, span.first, span.last)
                assert (
                    sheet.participation.worker_days == sum(part.worker_days or 0 for part in sheet.provinces) == workers
                )
                hours = [
                    hour.orders for closed in reported for hour in closed.hours
                    if span.first <= hour.insured_on <= span.last and where.province in (None, hour.province)
                    and where.enterprise in (None, hour.enterprise)
                ]  # fmt: skip
                assert list(sheet.hours or ()) == [sum(column) for column in zip(*hours, strict=True)], where
        start = FIRST - timedelta(days=50)
        assert counted(await read_since_start(connection, Where(province="11"))) == expected(
            reported, Where(province="11"), start, DAY + timedelta(days=99)
        )
        months = await read_months(connection, Where())
        assert [month.month for month in months] == ["2026-08", "2026-09", "2026-10"]
        assert counted(months[1]) == expected(reported, Where(), date(2026, 9, 1), date(2026, 9, 30))
        october = await read_sheet(connection, Where(province="44"), Span.of_month(Month(2026, 10)))
        new = [(closed.day, one.workers) for closed in reported for one in closed.first_time if one.province == "44"]
        assert october.participation.since_start == sum(count for _, count in new)
        assert october.participation.first_time == sum(count for day, count in new if day >= date(2026, 10, 1))


def counted(figures: Any) -> dict[str, int]:
    return {name: getattr(figures, name) for name in ("charged", "reversed", "presumed", "excluded", "premium")}


def expected(reported: list[DayClosed], where: Where, first: date, last: date) -> dict[str, int]:
    """Added up the plain way."""
    sums = dict.fromkeys(("charged", "reversed", "presumed", "excluded", "premium"), 0)
    for item in (item for closed in reported for item in closed.totals):
        is_there = all(
            getattr(where, name) in (None, getattr(item, name)) for name in ("province", "enterprise", "industry")
        )
        if item.insured_on is not None and first <= item.insured_on <= last and is_there:
            sums[item.outcome.value] += item.orders
            sums["premium"] += item.premium
            if (item.reason or "").startswith("assessed:"):
                sums["presumed"] += item.orders
    return sums


def expected_workers(reported: list[DayClosed], where: Where, first: date, last: date) -> int:
    return sum(
        worker.workers
        for closed in reported
        for worker in closed.workers
        if first <= worker.insured_on <= last
        and where.province in (None, worker.province)
        and worker.enterprise == where.enterprise
    )


async def test_the_model_agrees_with_the_reports(house: House, database: str) -> None:
    """Built by other code from the same message: the sum of a day, enterprise and province is that of the report."""
    await house.receive(*play(3, FIRST, 5))
    await house.settled()
    await projected(house)
    async with connected(database) as connection:
        rows = (
            await connection.exec_driver_sql("""
            with model as (select day, province, enterprise, sum(charged - reversed) as orders, sum(premium) as premium
                           from reporting.daily_sum group by 1, 2, 3)
            select r.day, s.orders, s.amount, m.orders, m.premium
            from reporting.report r join reporting.share s using (report_id)
            full join model m on (m.day, m.province, m.enterprise) = (r.day, r.province, s.enterprise)
            where r.kind = 'coverage' or r.kind is null""")
        ).all()
    assert len(rows) == 30
    assert [row for row in map(tuple, rows) if row[1:3] != row[3:]] == []


async def test_amendments_name_both_days(house: House, database: str) -> None:
    late = total(EARLIER, "charged", 5)
    back = total(EARLIER, "reversed", 2, reason="cancelled")
    reported = [worker_count(on, who, n) for on, n in ((DAY, 6), (EARLIER, 1)) for who in (BLUE, None)]
    await house.receive(
        closed_day(EARLIER, [total(EARLIER, "charged", 10)], workers=[worker_count(EARLIER, None, 4)]),
        closed_day(DAY, [total(DAY, "charged", 20), late, back], workers=reported, first_time=[first_time(3)]),
    )
    await projected(house)
    async with connected(database) as connection:
        earlier = await read_sheet(connection, Where(), Span.of_day(EARLIER))
        today = await read_sheet(connection, Where(province="44"), Span.of_day(DAY))
        overview = await read_overview(
            connection, {"44": day_start(date(2022, 7, 1)), "31": day_start(date(2030, 1, 1))}
        )
    assert (earlier.figures.charged, earlier.figures.reversed, earlier.participation.worker_days) == (15, 2, 5)
    for sheet in (earlier, today):
        (amended,) = sheet.amendments
        assert (amended.day, amended.insured_on, amended.orders, amended.premium) == (DAY, EARLIER, 3, 7_500)
    assert (today.figures.orders, today.before.orders) == (20, 13)
    assert today.participation.is_distinct
    assert not earlier.participation.is_distinct
    assert overview.day == DAY
    assert {part.province for part in overview.map if part.is_in_pilot} == {"44"}
    assert [part.province for part in overview.map if part.figures] == ["44"]
    assert len(overview.map) == 32


async def test_statements_with_their_state_and_money(house: House, database: str) -> None:
    await house.receive(
        statement(12_341), statement(777, GREEN), statement(3, BLUE, "11"), statement(5, BLUE, "44", "2026-09")
    )
    await house.settled()
    await projected(house)
    for number, amount in enumerate(("0.50", "12.30"), 1):
        reported = RemittanceReceived(
            remittance_id=f"r-{number}", enterprise=BLUE, province="44", amount_yuan=amount, received_on=DAY
        )
        for _ in range(2):
            await house.intake.take_remittance(msgspec.json.encode(reported))
    assert await house.read(REMITTANCES, b"{") is not None
    async with connected(database) as connection:
        statements = await list_statements(connection, StatementFilter())
        assert [(statement.period, statement.enterprise, statement.province) for statement in statements] == [
            ("2026-10", BLUE, "11"), ("2026-10", BLUE, "44"), ("2026-10", GREEN, "44"), ("2026-09", BLUE, "44"),
        ]  # fmt: skip
        assert all(statement.declared_at and statement.receipt_id for statement in statements)
        pages = [await list_statements(connection, StatementFilter(limit=1))]
        while pages[-1]:
            pages.append(await list_statements(connection, StatementFilter(limit=1, after=pages[-1][0].statement_id)))
        assert [statement for page in pages for statement in page] == statements
        shown = await find_statement(connection, f"2026-10.44.{BLUE}")
        assert shown is not None
        assert [(line.kind, line.orders, line.amount) for line in shown.lines] == [("line", 12_341, 12_341 * 2_500)]
        assert [(remittance.remittance_id, remittance.amount) for remittance in shown.remittances] == [
            ("r-2", 123_000),
            ("r-1", 5_000),
        ]
        assert [remittance.remittance_id for remittance in await list_remittances(connection, after="r-2")] == ["r-1"]
        assert await find_statement(connection, "2026-10.44.nobody") is None
        assert shown.statement.model_dump(by_alias=True)["amount_yuan"] == "3085.25"
        assert parse_yuan("3085.25") == shown.statement.amount


async def test_what_arrives_is_counted_once_and_forgotten_after_a_day(house: House, database: str) -> None:
    now = datetime(2026, 10, 3, 4, 5, 6, tzinfo=UTC)

    async def arrive(number: int, at: datetime, orders: int, kind: Any = "orders") -> None:
        totals = [total(DAY, "charged", orders), total(DAY, "charged", 1, province="11"), parked()]
        reported = PremiumsCharged(run="a" * 32, number=number, kind=kind, leaves=1, root="b" * 64, totals=totals)
        await house.read(MANIFESTS, msgspec.json.encode(reported), at)

    await arrive(1, now - timedelta(hours=25), 50)
    await arrive(2, now - timedelta(minutes=2), 7)
    for _ in range(2):
        await arrive(3, now, 5)
    await arrive(4, now - timedelta(seconds=3), 5)
    await arrive(5, now, 500, kind="settlement")
    await arrive(1, now - timedelta(hours=25), 50)
    assert await house.read(MANIFESTS, b"\xff", now) is not None
    async with connected(database) as connection:
        arrivals = await read_arrivals(connection, now, minutes=60 * 24 * 30)
        counts = {
            (now - arrival.minute) // timedelta(minutes=1): arrival.events
            for arrival in arrivals
            if arrival.outcome == "charged"
        }
        assert counts == {0: 12, 2: 8}
        assert {(row.enterprise, row.reason, row.events) for row in arrivals if row.outcome == "parked"} == {
            (GREEN, "no_tariff_line", 1), (GREEN, "no_tariff_line", 2),
        }  # fmt: skip
        assert await read_arrivals(connection, now, minutes=2, enterprise=BLUE) == [
            arrival for arrival in arrivals if arrival.enterprise == BLUE and arrival.minute.minute == 5
        ]


def parked() -> Total:
    known: dict[str, Any] = {"insured_on": None, "province": None, "industry": None, "reason": "no_tariff_line"}
    return Total(enterprise=GREEN, outcome=Outcome.PARKED, orders=1, **known)
