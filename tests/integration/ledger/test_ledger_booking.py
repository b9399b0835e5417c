"""Booking: once, in order, balanced, and never changed afterwards."""

import asyncio
from collections.abc import AsyncIterator
from datetime import date
from hashlib import sha256

import httpx
import msgspec
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from services.ledger.books.booking import book_all_waiting, take_manifest
from services.ledger.books.missing_manifests import fill_gaps, read_gap_seconds
from shared.contracts.manifests import Outcome
from tests.integration.ledger.ledger_harness import OPENED_ON, OTHER, Ledger, manifest, new_run, open_ledger, total
from tests.support.authors import AUTHORS

SECOND = date(2026, 10, 2)
FIGURES = """select (select count(*) from ledger.manifest_booked), (select count(*) from ledger.journal_entry),
    (select count(*) from ledger.day_line), (select coalesce(sum(premium), 0) from ledger.day_line)"""


@pytest.fixture
async def ledger(database: str) -> AsyncIterator[Ledger]:
    async with open_ledger(database) as opened:
        yield opened


async def test_books_a_manifest_with_an_entry_for_each_insured_day(ledger: Ledger) -> None:
    lines = [
        total(orders=10),
        total(orders=5, enterprise=OTHER, province="31"),
        total(orders=2, day=SECOND),
        total(Outcome.EXCLUDED, 4, reason="employee"),
        total(Outcome.PARKED, 1, day=None, reason="not_json"),
    ]
    await ledger.charge(new_run(), *lines)
    entries = await ledger.rows("select kind, posting_day, insured_on from ledger.journal_entry order by 2")
    assert [tuple(row) for row in entries] == [("charge", day, day) for day in (OPENED_ON, SECOND)]
    assert await ledger.balances() == {"receivable": 17 * 700, "premium_income": -17 * 700}
    assert await ledger.value("select count(*) from ledger.day_line") == 5
    assert await ledger.value("select posting_day from ledger.day_line where outcome = 'parked'") == OPENED_ON


async def test_same_manifest_again_is_harmless_and_another_one_is_kept_aside(ledger: Ledger) -> None:
    run = new_run()
    first = await ledger.charge(run, total(orders=3))
    figures = await ledger.rows(FIGURES)
    assert await ledger.take(first) == "already_booked"
    assert await ledger.take(manifest(run, 1, [total(orders=4)])) == "refused"
    assert await ledger.rows(FIGURES) == figures
    assert await ledger.value("select reason from ledger.refused_message") == "different_content"


async def test_delivered_out_of_order_it_waits(ledger: Ledger) -> None:
    run = new_run()
    one, two, three = (ledger.charging.write(run, total(orders=n)) for n in (1, 2, 3))
    states = [await ledger.take(manifest) for manifest in (three, three, two, one, three)]
    assert states == ["waiting", "waiting", "waiting", "booked", "already_booked"]
    numbers = await ledger.rows("select number from ledger.manifest_booked order by booked_at")
    assert [row[0] for row in numbers] == [1, 2, 3]
    assert await ledger.value("select count(*) from ledger.manifest_inbox") == 0


async def test_many_deliveries_at_once_book_each_once(ledger: Ledger) -> None:
    runs = [new_run(), new_run()]
    written = [ledger.charging.write(run, total(orders=n)) for run in runs for n in range(1, 8)]
    await asyncio.gather(*(ledger.take(one) for one in [*written, *reversed(written)]))
    assert await ledger.value("select sum(orders) from ledger.day_line") == 56
    assert await ledger.value("select count(*) from ledger.manifest_booked") == 14


async def test_a_gap_is_asked_for_at_charging(ledger: Ledger) -> None:
    run = new_run()
    written = [ledger.charging.write(run, total(orders=n)) for n in (1, 2, 3, 4)]
    for one in written[2:]:
        await ledger.take(one)
    paths: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        paths.append(request.url.path)
        number = int(request.url.path.rpartition("/")[2])
        return httpx.Response(200, content=msgspec.json.encode(written[number - 1]))

    async with ledger.engine.connect() as connection:
        assert await read_gap_seconds(connection) > 0
    async with httpx.AsyncClient(transport=httpx.MockTransport(answer), base_url="http://charging") as client:
        assert await fill_gaps(ledger.engine, AUTHORS, client) == 2
        assert await fill_gaps(ledger.engine, AUTHORS, client) == 0
    assert paths == [f"/v1/manifests/{run}/{number}" for number in (1, 2)]
    assert await ledger.value("select count(*) from ledger.manifest_booked") == 4


async def test_what_waited_when_the_process_died_is_booked_at_the_next_start(ledger: Ledger) -> None:
    run = new_run()
    payload = msgspec.json.encode(ledger.charging.write(run, total()))
    async with ledger.engine.begin() as connection:
        query = text("insert into ledger.manifest_inbox (run, number, payload) values (:run, 1, :payload)")
        await connection.execute(query, {"run": run, "payload": payload})
    assert await book_all_waiting(ledger.engine) == 1


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "undecodable"),
        (b"\xff\xfe", "undecodable"),
        (b'{"run":"x"}', "undecodable"),
        (msgspec.json.encode(manifest(new_run(), 1, [total(orders=-1)])), "undecodable"),
        (msgspec.json.encode(manifest(new_run(), 1, [total(day=None)])), "absurd"),
        (msgspec.json.encode(manifest(new_run(), 1, [total(base=-7)])), "absurd"),
        (
            msgspec.json.encode(manifest(new_run(), 1, [total(Outcome.EXCLUDED, base=0), total(Outcome.REVERSED)])),
            "absurd",
        ),
        (msgspec.json.encode(manifest(new_run(), 1, [total(base=10**16)])), "undecodable"),
        (msgspec.json.encode(manifest(new_run(), 1, [total(enterprise="A\0B")])), "undecodable"),
    ],
)
async def test_a_bad_message_is_kept_with_its_reason(ledger: Ledger, payload: bytes, reason: str) -> None:
    for _ in range(2):
        assert (await take_manifest(ledger.engine, payload, AUTHORS)).state == "refused"
    rows = await ledger.rows("select reason, sha256 from ledger.refused_message")
    assert [(row.reason, row.sha256) for row in rows] == [(reason, sha256(payload).digest())]
    assert await ledger.value("select count(*) from ledger.manifest_booked") == 0


async def refused(engine: AsyncEngine, statement: str, why: str) -> None:
    """Check that the SQL statement fails, in a separate transaction."""
    with pytest.raises(DBAPIError, match=why):
        async with engine.begin() as connection:
            await connection.execute(text(statement))


BALANCED = """
with e as (insert into ledger.journal_entry (kind, posting_day) values ('advance', '2026-10-01') returning entry_id)
insert into ledger.posting select entry_id, line, account_id, amount
from e, (select account_id from ledger.account limit 1) a, (values {}) v(line, amount)"""


@pytest.mark.parametrize("postings", ["(1, 700), (2, -600)", "(1, 700)", "(1, 700), (2, -701), (3, 2)"])
async def test_the_database_refuses_an_entry_that_does_not_balance(ledger: Ledger, postings: str) -> None:
    await ledger.charge(new_run(), total())
    for engine in (ledger.engine, ledger.owner):
        await refused(engine, BALANCED.format(postings), "sum to")


async def test_an_entry_without_postings_is_refused_at_commit(ledger: Ledger) -> None:
    statement = "insert into ledger.journal_entry (kind, posting_day) values ('advance', '2026-10-01')"
    await refused(ledger.engine, statement, "0 postings")


async def test_nothing_is_added_to_an_entry_that_stands(ledger: Ledger) -> None:
    await ledger.charge(new_run(), total())
    statement = "insert into ledger.posting select entry_id, line + 2, account_id, amount from ledger.posting"
    await refused(ledger.engine, statement, "come together")


QUEUES = {"topic_position", "turn", "outbox", "manifest_inbox", "alembic_version", "set_aside", "kept_key"}


async def test_the_role_can_neither_update_nor_delete(ledger: Ledger) -> None:
    columns = await ledger.rows("""select table_name, min(column_name) from information_schema.columns
        where table_schema = 'ledger' group by 1""")
    first = {row[0]: row[1] for row in columns}
    books = sorted(first.keys() - QUEUES)
    assert len(books) == 30
    for table in books:
        for statement in (f"update ledger.{table} set {first[table]} = default", f"delete from ledger.{table}"):
            await refused(ledger.engine, statement, "permission denied")
        await refused(ledger.owner, f"truncate ledger.{table} cascade", "only added to")


async def test_a_trigger_refuses_the_owner_too(ledger: Ledger) -> None:
    await ledger.charge(new_run(), total())
    for table, column in (("posting", "amount"), ("day_line", "premium"), ("manifest_booked", "root")):
        for statement in (f"update ledger.{table} set {column} = {column}", f"delete from ledger.{table}"):
            await refused(ledger.owner, statement, "only added to")


async def test_a_run_has_no_gap_in_the_books_whoever_writes(ledger: Ledger) -> None:
    statement = """insert into ledger.manifest_booked (run, number, kind, leaves, root, content_sha256)
        values ('r', 2, 'orders', 0, repeat('0', 64), sha256(''))"""
    await refused(ledger.engine, statement, "does not follow")
