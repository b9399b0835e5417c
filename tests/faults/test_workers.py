"""Two and three charging workers in one group: partitions move while batches are in flight, and a zombie wakes up.

What has to come out is always the same: every event charged once, no number of a run missing, no key twice.
"""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from services.charging.store.manifests import RUN_LOCK
from tests.faults.order_stream import (
    ENTERPRISES,
    asleep,
    assert_exact,
    has_charged,
    metric,
    order,
    pouring,
    small_batches,
)
from tests.integration.charging.charging_harness import RIDES, House
from tests.integration.charging.charging_service import Field, open_field
from tests.support.servers import Broker, client_settings
from tests.support.waiting import eventually_async

pytestmark = pytest.mark.exhaustive

BLOCKED = """select count(*) > 0 from pg_locks join pg_database d on d.oid = database
    where not granted and datname = current_database()"""


@pytest.fixture
async def field(house: House, fresh_broker: Broker) -> AsyncIterator[Field]:
    async with open_field(house, client_settings(fresh_broker)) as opened:
        await opened.make_topics(*ENTERPRISES, partitions=4)
        yield opened


async def test_workers_join_leave_are_killed_and_sleep_under_load(field: Field) -> None:
    """One, two, three, two, one, two, none awake, two: the worker that gets a partition goes on at its position."""
    async with pouring(field) as load, small_batches(field) as first:
        await load.goes_on()
        async with small_batches(field, wait=False) as second, small_batches(field, wait=False) as third:
            await asyncio.gather(has_charged(second), has_charged(third))
            first.child.send_signal(signal.SIGTERM)
            await load.goes_on()
            await eventually_async(first.has_ended, "the end of the first")
            assert first.child.poll() == 0
            second.kill()
            await load.goes_on()
            async with small_batches(field, wait=False) as fourth:
                await has_charged(fourth)
                third.child.send_signal(signal.SIGSTOP)
                await load.goes_on(1_000)
                third.child.send_signal(signal.SIGCONT)
                await load.goes_on(1_000)
                await load.ends()


async def is_blocked(field: Field) -> bool:
    """Whether somebody waits for a lock in this database."""
    return bool(await field.house.value(BLOCKED))


async def send(field: Field, first: int, last: int) -> None:
    await field.send(*(order(number, RIDES) for number in range(first, last)))


async def test_a_zombie_that_wakes_up_before_its_commit_is_fenced(field: Field) -> None:
    """It is stopped within its transaction, before it moved a position; meanwhile its partitions go to another."""
    async with small_batches(field, TRANSACTION_SECONDS="120") as zombie, field.house.pool.acquire() as holder:
        await send(field, 0, 300)
        await field.has_counted(300)
        run = await field.house.value("select max(id) from charging.run where purpose = 'orders'")
        await holder.execute("select pg_advisory_lock($1, $2)", RUN_LOCK, run)
        await send(field, 300, 600)
        await eventually_async(lambda: is_blocked(field), "a batch of the zombie in flight")
        async with small_batches(field, wait=False):
            async with asleep(zombie):
                await field.has_counted(600)
                before = await manifests(field)
                await holder.execute("select pg_advisory_unlock($1, $2)", RUN_LOCK, run)

            async def is_fenced() -> bool:
                return await metric(zombie, 'danbao_charging_batches_dropped_total{why="Fenced"}') == 1

            await eventually_async(is_fenced, "the zombie finds itself fenced")
            assert await manifests(field) == before
            await assert_exact(field, 600)
            await send(field, 600, 900)
            await assert_exact(field, 900)
            await eventually_async(zombie.is_ready, "the zombie is one of the workers again")


async def manifests(field: Field) -> list[tuple[object, ...]]:
    return await field.house.fetch("select batch, root from charging.manifest order by batch")


@asynccontextmanager
async def locked(field: Field, table: str) -> AsyncIterator[None]:
    """Nobody can write to the table."""
    owner = await asyncpg.connect(field.house.owner_url)
    try:
        async with owner.transaction():
            await owner.execute(f"lock table {table} in share row exclusive mode")
            yield
    finally:
        await owner.close()


async def test_a_zombie_that_holds_locks_does_not_hold_up_the_others(field: Field) -> None:
    """It is stopped within its transaction, after it moved its positions: their rows are locked until that ends."""
    async with small_batches(field, TRANSACTION_SECONDS="3") as zombie:
        await send(field, 0, 300)
        await field.has_counted(300)
        async with locked(field, "charging.manifest"):
            await send(field, 300, 600)
            await eventually_async(lambda: is_blocked(field), "a batch of the zombie in flight")
            zombie.child.send_signal(signal.SIGSTOP)
        async with small_batches(field, wait=False):
            async with asleep(zombie):
                await field.has_counted(600)
            await send(field, 600, 900)
            await assert_exact(field, 900)
            await eventually_async(zombie.is_ready, "the zombie is one of the workers again")
