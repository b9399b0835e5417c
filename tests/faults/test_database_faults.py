"""What a database and the way to it can do to a running system: no figure wrong, nobody stuck, readiness truthful.

One system for all of these tests; after each of them every event that was sent is counted once.
"""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from tempfile import TemporaryDirectory

import asyncpg
import httpx
import pytest

from services.charging.compose import REQUEST_CONNECTIONS as CHARGING_DOOR
from services.ledger.compose import REQUEST_CONNECTIONS as LEDGER_DOOR
from shared.contracts.topics import DAYS_CLOSED
from tests.faults.load import Load, open_load
from tests.faults.shaken_system import SERVICES, Shaken, kill_postgres, shaken_system
from tests.integration.charging.charging_harness import NOON
from tests.support.waiting import eventually_async

pytestmark = pytest.mark.exhaustive


@pytest.fixture(scope="module")
async def load() -> AsyncIterator[Load]:
    with TemporaryDirectory() as folder:
        async with shaken_system(Path(folder), NOON.date()) as shaken, open_load(shaken) as opened:
            yield opened


async def befell(shaken: Shaken, fault: str, count: int) -> None:
    """Wait until so many connections have met the fault."""

    async def is_done() -> bool:
        return shaken.proxy.done[fault] >= count

    await eventually_async(is_done, f"{count} times {fault}")


async def waits_for_lock(owner: asyncpg.Connection, role: str, count: int = 1) -> None:
    """Wait until so many sessions of this role wait for a lock."""
    query = "select count(*) >= $2 from pg_stat_activity where usename = $1 and wait_event_type = 'Lock'"

    async def is_so() -> bool:
        await owner.execute("select pg_stat_clear_snapshot()")  # a transaction sees the same sessions until then
        return bool(await owner.fetchval(query, role, count))

    await eventually_async(is_so, f"{role} to wait for a lock")


async def batch_waits_for_its_manifest(owner: asyncpg.Connection) -> None:
    """Wait until a session that has written its position waits to write its manifest: others only read both tables."""
    query = """select exists (
        select from pg_locks waiting join pg_locks held using (pid)
        where not waiting.granted and waiting.relation = 'charging.manifest'::regclass
          and held.granted and held.relation = 'charging.position'::regclass and held.mode = 'RowExclusiveLock')"""

    async def is_so() -> bool:
        return bool(await owner.fetchval(query))

    await eventually_async(is_so, "a batch to wait for its manifest")


def log_of(shaken: Shaken, service: str) -> str:
    return (shaken.folder / "logs" / f"{service}.log").read_text()


async def nobody_is_ready(shaken: Shaken) -> None:
    """Wait until no service says that it is ready; all of them live."""

    async def is_so() -> bool:
        return all([await shaken.reasons(service) for service in SERVICES])

    await eventually_async(is_so, "no service to be ready")


async def test_a_connection_that_drops_in_the_middle_of_copy(load: Load) -> None:
    for _ in range(3):
        befallen = load.shaken.proxy.done["cut in COPY"]
        load.shaken.proxy.arm("cut in COPY")
        await load.send(40)
        await befell(load.shaken, "cut in COPY", befallen + 1)
        await load.is_exact()


async def test_commits_whose_answer_is_lost(load: Load) -> None:
    for count in (1, 5, 9):
        befallen = load.shaken.proxy.done["answer to COMMIT lost"]
        load.shaken.proxy.arm("answer to COMMIT lost", count)
        await load.send(40)
        await befell(load.shaken, "answer to COMMIT lost", befallen + count)
        await load.is_exact()


async def test_a_postgres_that_pauses(load: Load) -> None:
    with load.shaken.paused_postgres():
        await load.send(200)
        await nobody_is_ready(load.shaken)
        for service in SERVICES:
            async with httpx.AsyncClient(base_url=load.shaken.url(service), timeout=30, trust_env=False) as client:
                assert (await client.get("/healthz")).status_code == 200
    await load.is_exact()
    await load.shaken.all_ready()


async def test_a_postgres_that_is_killed(load: Load) -> None:
    await load.send(400)
    kill_postgres(load.shaken.stack)
    await load.send(100)
    await nobody_is_ready(load.shaken)
    load.shaken.stack.postgres.restart()
    await load.is_exact()
    await load.shaken.all_ready()


async def test_a_deadlock_ends_the_batch_and_not_the_worker(load: Load) -> None:
    before = log_of(load.shaken, "charging").count("DeadlockDetected")

    async def is_reported() -> bool:
        return log_of(load.shaken, "charging").count("DeadlockDetected") > before

    async with load.shaken.owner() as owner:
        async with owner.transaction():
            await owner.execute("set local deadlock_timeout = '1min'")  # so that the other session detects the deadlock
            await owner.execute("lock table charging.manifest in access exclusive mode")
            await load.send(40)
            await batch_waits_for_its_manifest(owner)
            await owner.execute("lock table charging.position in access exclusive mode")
    await eventually_async(is_reported, "the report of the deadlock")
    await load.is_exact()


async def test_a_serialization_failure_is_tried_again(load: Load) -> None:
    role = "alter role danbao_ledger {} default_transaction_isolation"
    async with load.shaken.owner() as owner:
        await owner.execute(role.format("set") + " = 'repeatable read'")
        await load.shaken.end_sessions()
        try:
            async with owner.transaction():
                await owner.execute("update ledger.turn set one = true")
                await load.send(40)
                await waits_for_lock(owner, "danbao_ledger")
            await load.is_exact()
            assert "could not serialize access" in log_of(load.shaken, "ledger")
        finally:
            await owner.execute(role.format("reset"))
            await load.shaken.end_sessions()
    await load.is_exact()


async def test_a_pool_that_is_exhausted(load: Load) -> None:
    apis = load.shaken.system.apis
    async with load.shaken.owner() as owner:
        async with owner.transaction():
            await owner.execute("lock table ledger.day_line, charging.parked in access exclusive mode")
            await load.send(40)
            requests = [apis.ledger.get("/v1/totals", period="2026-10") for _ in range(20)]
            requests += [apis.charging.get("/v1/status") for _ in range(20)]
            answers = asyncio.gather(*requests)
            await waits_for_lock(owner, "danbao_ledger", LEDGER_DOOR)
            await waits_for_lock(owner, "danbao_charging", CHARGING_DOOR)
            for service in ("ledger", "charging"):
                async with httpx.AsyncClient(base_url=load.shaken.url(service), timeout=30, trust_env=False) as client:
                    assert (await client.get("/healthz")).status_code == 200
                    assert (await client.get("/readyz")).status_code in {200, 503}, "it has a separate pool"
        assert len(await answers) == 40
    await load.is_exact()
    await load.shaken.all_ready()


async def test_each_service_is_killed_under_load(load: Load) -> None:
    for service in SERVICES:
        await load.send(100)
        assert await load.shaken.kill(service)
        await load.send(100)
    await load.is_exact()
    await load.shaken.all_ready()


async def test_after_all_that_the_audit_agrees(load: Load) -> None:
    assert await load.audit() == []
    load.shaken.check_bounds()


async def test_without_its_broker_everybody_says_so_and_nobody_spins(load: Load) -> None:
    """Last of all: the embedded broker forgets everything, so nothing goes on after this."""
    lines = load.shaken.log_lines()
    load.shaken.stack.broker.server.stop()

    async def is_reported() -> bool:
        charging, ledger = [await load.shaken.reasons(service) for service in ("charging", "ledger")]
        reporting = await load.shaken.reasons("reporting")
        return "kafka" in charging and "kafka" in ledger and DAYS_CLOSED in reporting

    await eventually_async(is_reported, "three services to miss their broker")
    assert await load.shaken.reasons("national_platform") == {}
    assert load.shaken.log_lines() - lines < 200
