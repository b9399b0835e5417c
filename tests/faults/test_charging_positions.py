"""One batch, one transaction: of a batch that failed nothing is left, of one that was committed everything."""

import asyncio
from dataclasses import replace

import asyncpg
import pytest
from asyncpg.exceptions._base import InterfaceError, InternalClientError

from services.charging.store.batch_writer import write_batch
from services.charging.store.manifests import read_last_number
from services.charging.store.positions import Fenced
from shared.adapters.postgres.pool import open_pool
from shared.domain.errors import Stop
from tests.faults.database_proxy import database_proxy
from tests.integration.charging.charging_harness import CLUSTER, House, Sent, accepted, cancelled, declared, moves_of

TABLES = ("position", "manifest", "batch_day", "entry", "unsettled", "parked", "conflict", "declaration", "outbox")
LOST = (OSError, asyncpg.ConnectionDoesNotExistError, InterfaceError, InternalClientError)
MIXED = (accepted("o1"), cancelled("o1"), accepted("o1", token_key=2), declared("d1"), Sent(b"nonsense"))


async def everything(house: House) -> dict[str, list[tuple[object, ...]]]:
    return {table: await house.fetch(f"select t.* from charging.{table} t order by t::text") for table in TABLES}


async def test_a_fenced_batch_changes_nothing(house: House) -> None:
    one, two = await house.worker(), await house.worker()
    records = await house.place(MIXED)
    await two.take(records)
    before = await everything(house)
    with pytest.raises(Fenced):
        await one.take(records)
    assert await everything(house) == before
    assert one.run.last == 0


async def test_one_lost_partition_fences_the_whole_batch(house: House) -> None:
    one, two = await house.worker(), await house.worker()
    mine, other = accepted("o1"), accepted("o2", uscc="91000000FAKE00002J")
    records = await house.place([mine, other])
    await two.take(records[:1])
    before = await everything(house)
    with pytest.raises(Fenced, match="1 of 2"):
        await one.take(records)
    assert await everything(house) == before


async def test_two_workers_with_the_same_records_at_once(house: House) -> None:
    one, two = await house.worker(), await house.worker()
    records = await house.place([accepted(f"o{n}") for n in range(200)])
    done = await asyncio.gather(one.take(records), two.take(records), return_exceptions=True)
    assert [type(result) for result in done if isinstance(result, Exception)] == [Fenced]
    assert await house.value("select count(*) from charging.entry") == 200
    assert await house.value("select sum(events) from charging.manifest") == 200


async def test_two_workers_with_overlapping_keys_do_not_deadlock(house: House) -> None:
    """Orders can arrive twice through two partitions of one topic; through two topics they cannot."""
    one, two = await house.worker(), await house.worker()
    orders = [accepted(f"o{n}") for n in range(300)]
    first = await house.place(orders)
    second = [replace(record, partition=1) for record in reversed(first)]
    for offset, record in enumerate(second):
        record.offset = offset
    topic = first[0].topic
    await house.pool.execute("insert into charging.position values ($1, $2, 1, 0, 0)", CLUSTER, topic)

    async def take_second() -> None:
        batch = two.reader.read(second, two.run.next_batch())
        moves = [replace(move, partition=1) for move in moves_of(second)]
        async with house.pool.acquire() as connection:
            await write_batch(connection, CLUSTER, two.run, batch, moves, use_copy=True)

    await one.partitions.ensure(one.reader.read(first, 1).days)
    await asyncio.gather(one.take(first, use_copy=False), take_second())
    assert await house.value("select count(*) from charging.entry") == 300
    assert await house.value("select sum(events) from charging.manifest") == 600


@pytest.mark.parametrize("part", ["totals", "rows", "parked"])
async def test_a_sum_that_does_not_come_out_stops_and_leaves_nothing(house: House, part: str) -> None:
    one = await house.worker()
    records = await house.place(MIXED)
    batch = one.reader.read(records, one.run.next_batch())
    await one.partitions.ensure(batch.days)
    getattr(batch, part).pop()
    before = await everything(house)
    async with house.pool.acquire() as connection:
        with pytest.raises(Stop, match="5 events came in, 4 are accounted for"):
            await write_batch(connection, CLUSTER, one.run, batch, moves_of(records), use_copy=True)
    assert await everything(house) == before


async def test_a_commit_whose_answer_is_lost_is_found_and_not_repeated(house: House) -> None:
    one = await house.worker()
    await one.charge(accepted("o0"))
    records = await house.place(MIXED)
    async with database_proxy(house.url) as proxy, open_pool(proxy.url, size=1) as pool:
        proxy.cut_at(b"COMMIT;")
        async with pool.acquire() as connection:
            with pytest.raises(LOST):
                await one.take(records, connection=connection)
        assert (proxy.done, one.run.last) == (1, 1)
        async with pool.acquire() as connection:
            await read_last_number(connection, one.run)
    assert one.run.last == 2
    assert await house.value("select sum(events) from charging.manifest") == 1 + len(MIXED)
    await one.charge(accepted("o9"))
    assert await house.fetch("select number from charging.manifest order by 1") == [(1,), (2,), (3,)]


async def test_the_last_number_waits_for_a_commit_that_is_still_on_its_way(house: House) -> None:
    one = await house.worker()
    records = await house.place(MIXED)
    async with database_proxy(house.url) as proxy, open_pool(proxy.url, size=1) as pool:
        proxy.cut_at(b"COMMIT;", late=True)
        async with pool.acquire() as connection:
            with pytest.raises(LOST):
                await one.take(records, connection=connection)
        async with house.pool.acquire() as connection:
            reading = asyncio.create_task(read_last_number(connection, one.run))
            waits = "select count(*) from pg_locks where locktype = 'advisory' and not granted"

            while not await house.value(waits):
                assert not reading.done()
            proxy.release.set()
            await reading
    assert one.run.last == 1


async def test_a_cut_before_the_commit_leaves_nothing(house: House) -> None:
    one = await house.worker()
    records = await house.place(MIXED)
    before = await everything(house)
    async with database_proxy(house.url) as proxy, open_pool(proxy.url, size=1) as pool:
        proxy.cut_at(b"insert into charging.manifest")
        async with pool.acquire() as connection:
            with pytest.raises(LOST):
                await one.take(records, connection=connection)
    async with house.pool.acquire() as connection:
        await read_last_number(connection, one.run)
    assert (await everything(house), one.run.last) == (before, 0)
    await one.take(records)
    assert await house.value("select sum(events) from charging.manifest") == len(MIXED)
