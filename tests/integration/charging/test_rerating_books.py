"""Re-ratings in the books: closed days and issued statements stay as they are, the next statement is adjusted."""

from collections.abc import AsyncIterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from shared.adapters.postgres.pool import open_pool
from shared.domain.calendar import Month
from tests.integration.charging.charging_harness import NOON, RIDES, House, accepted, cancelled, worker
from tests.integration.charging.rerating_harness import DECISION, Books, audit, book, corrected, open_both, window

OCTOBER, NOVEMBER = Month(2026, 10), Month(2026, 11)
ENTRIES = """select kind, posting_day::text, insured_on::text, corrects is not null from ledger.journal_entry
    where kind <> 'rounding' order by entry_id"""


@pytest.fixture
async def books(house: House) -> AsyncIterator[Books]:
    async with open_both(house, date(2026, 10, 1)) as opened:
        yield opened


async def test_a_closed_month_is_corrected_on_the_next_statement_to_the_fen(house: House, tmp_path: Path) -> None:
    async with open_both(house, date(2026, 10, 30)) as opened:
        await bill_two_months(opened, tmp_path)


async def bill_two_months(books: Books, folder: Path) -> None:
    house, at = books.house, NOON + timedelta(days=28)
    one = await house.worker()
    await one.charge(
        *(accepted(f"o{n}", at, worker_id=worker(n)) for n in range(11)), accepted("first", at - timedelta(days=1))
    )
    await one.charge(cancelled("o9", at), cancelled("o10", at, worker_id=worker(10)))
    assert await one.settle() == 1
    await books.close_through(date(2026, 10, 30), OCTOBER.last_day)
    await books.bill(OCTOBER)
    issued = [(RIDES, "line", "2026-10", 234, 11, 1_100, 1_100)]
    assert await books.lines("2026-10") == issued
    closed = await books.ledger.rows("select * from ledger.day_closed order by day")

    later = corrected(folder, DECISION.replace("2026-10-02", "2026-10-31"))
    house.scheme = later.scheme
    assert await book(house, later.scheme) == [10]
    two = await house.worker()
    await two.charge(accepted("november", at + timedelta(days=2)))
    await books.close_through(NOVEMBER.first_day, NOVEMBER.last_day)
    await books.bill(NOVEMBER)
    # 10 × 0.0123 = 0.123, rounded once to 0.12; what was charged before is taken back whole; one new order at 0.0123.
    assert await books.lines("2026-11") == [
        (RIDES, "line", "2026-11", 9901, 1, 123, 100),
        (RIDES, "adjustment", "2026-10", 234, -10, -1_000, -1_000),
        (RIDES, "adjustment", "2026-10", 9901, 10, 1_230, 1_200),
    ]
    assert await books.lines("2026-10") == issued
    assert await books.ledger.rows("select * from ledger.day_closed where day < '2026-11-01' order by day") == closed
    assert [tuple(row) for row in await books.ledger.rows(ENTRIES)][-3:] == [
        ("late_charge", "2026-11-01", "2026-10-31", True),
        ("reversal", "2026-11-01", "2026-10-31", True),
        ("charge", "2026-11-02", "2026-11-02", False),
    ]
    assert await book(house, later.scheme) == []
    assert await audit(books, later) == []


async def test_within_the_month_the_line_is_net(books: Books, tmp_path: Path) -> None:
    house = books.house
    one = await house.worker()
    await one.charge(accepted("o1"), accepted("o2"), accepted("o3"))
    await books.close_through(OCTOBER.first_day, date(2026, 10, 3))
    later = corrected(tmp_path, DECISION)
    house.scheme = later.scheme
    assert await book(house, later.scheme, chunk_rows=2) == [2, 1]
    await one.charge(cancelled("o1"))
    assert await one.settle() == 1
    await books.close_through(date(2026, 10, 4), OCTOBER.last_day)
    await books.bill(OCTOBER)
    assert await books.lines("2026-10") == [
        (RIDES, "line", "2026-10", 234, 0, 0, 0),
        (RIDES, "line", "2026-10", 9901, 2, 246, 200),
    ]
    assert await audit(books, later) == []


async def test_booked_while_a_day_is_closing_it_belongs_to_the_next(books: Books, tmp_path: Path) -> None:
    house = books.house
    one = await house.worker()
    await books.close_through(OCTOBER.first_day, date(2026, 10, 2))
    await one.charge(accepted("o1"), accepted("o2"), cancelled("o2"))
    await books.freeze(date(2026, 10, 3))
    later = corrected(tmp_path, DECISION)
    house.scheme = later.scheme
    assert await book(house, later.scheme) == [2]
    await books.carry()
    await books.finish()
    assert await one.settle() == 1
    await books.close(date(2026, 10, 4))
    totals = "select posting_day::text, sum(premium)::bigint from ledger.day_line group by 1 order by 1"
    assert [tuple(row) for row in await books.ledger.rows(totals)] == [("2026-10-03", 200), ("2026-10-04", -77)]
    assert await audit(books, later) == []


async def test_a_wrong_enrolment_of_a_closed_month_both_ways(books: Books, tmp_path: Path) -> None:
    house = books.house
    enrolled = f"{RIDES},ride_hailing,*,"
    too_early = corrected(tmp_path, enrolment=(f"{enrolled}2025-07-01", f"{enrolled}2026-10-10"))
    one = await house.worker()
    await one.charge(accepted("o1"), accepted("o2", worker_id=worker(2)))
    await books.close_through(OCTOBER.first_day, date(2026, 10, 3))
    right, house.scheme = house.scheme, too_early.scheme
    assert await book(house, too_early.scheme) == [2]
    await books.close(date(2026, 10, 4))
    assert await audit(books, too_early) == []
    house.scheme = right
    assert await book(house, right, window(last="2026-10-03")) == [2]
    await books.close(date(2026, 10, 5))
    assert await audit(books, corrected(tmp_path)) == []
    sums = """select posting_day::text, outcome, reason, sum(orders)::int, sum(premium)::int
        from ledger.day_line group by 1, 2, 3 order by 1, 2, 3"""
    assert [tuple(row) for row in await books.ledger.rows(sums)] == [
        ("2026-10-03", "charged", None, 2, 200),
        ("2026-10-04", "excluded", "enterprise_not_enrolled", 2, 0),
        ("2026-10-04", "reversed", "rerated", 2, -200),
        ("2026-10-05", "charged", "rerated", 2, 200),
    ]


async def test_workers_of_orders_charged_late_are_an_amendment(books: Books, tmp_path: Path) -> None:
    house = books.house
    delivery: dict[str, Any] = {
        "uscc": "91000000FAKE00005U",
        "industry": "instant_delivery",
        "acceptance_region": "460105",
    }
    one = await house.worker()
    await one.charge(*(accepted(f"o{n}", worker_id=worker(n % 2), **delivery) for n in range(4)))
    await books.close_through(OCTOBER.first_day, date(2026, 10, 3))
    earlier = corrected(tmp_path, enrolment=("instant_delivery,46,2026-11-01", "instant_delivery,46,2026-10-01"))
    house.scheme = earlier.scheme
    assert await book(house, earlier.scheme) == [4]
    await books.close(date(2026, 10, 4))
    reported = await books.ledger.rows("select workers, first_time from ledger.day_closed order by day desc limit 1")
    counts = [(row["insured_on"], row["enterprise"], row["workers"]) for row in reported[0].workers]
    assert counts == [("2026-10-03", delivery["uscc"], 2), ("2026-10-03", None, 2)]
    assert reported[0].first_time == [{"province": "46", "workers": 2}]
    assert await audit(books, earlier) == []


async def test_the_audit_finds_orders_that_were_not_rated_anew(books: Books, tmp_path: Path) -> None:
    house = books.house
    one = await house.worker()
    await one.charge(accepted("o1"), accepted("o2"))
    await books.close_through(OCTOBER.first_day, date(2026, 10, 3))
    later = corrected(tmp_path, DECISION)
    findings = await audit(books, later)
    assert len(findings) == 2
    assert all("stored (100, 234, '')" in finding and "worked out (123, 9901, '')" in finding for finding in findings)


async def tamper(house: House, statement: str) -> None:
    """As somebody who owns the database and switches its triggers off."""
    async with open_pool(house.owner_url, size=1) as pool, pool.acquire() as connection, connection.transaction():
        await connection.execute("set local session_replication_role = replica")
        await connection.execute(statement)


TAMPERED = {
    "a history row that names a line of another place": (
        "update charging.entry set tariff_line = 201 where kind = 1 and order_id = 'o1'", "names line 201"),
    "a history row at another amount": (
        "update charging.entry set premium = 90 where kind = 1 and order_id = 'o1'", "is not what line 234 says"),
    "a re-rated charge whose reversal is gone": (
        "delete from charging.entry where kind = 4 and order_id = 'o1'", "not taken back"),
    "a reversal without a charge after it": (
        "delete from charging.entry where kind = 8 and order_id = 'o1'", "no charge follows"),
}  # fmt: skip


@pytest.mark.parametrize(("statement", "finding"), TAMPERED.values(), ids=TAMPERED.keys())
async def test_the_audit_names_a_correction_that_was_tampered_with(
    books: Books, tmp_path: Path, statement: str, finding: str
) -> None:
    house = books.house
    one = await house.worker()
    await one.charge(accepted("o1"), accepted("o2"))
    later = corrected(tmp_path, DECISION)
    house.scheme = later.scheme
    await book(house, later.scheme)
    await books.carry()
    assert await audit(books, later) == []
    await tamper(house, statement)
    findings = await audit(books, later)
    assert any(finding in line and "o1" in line for line in findings), findings
