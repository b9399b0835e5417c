"""A database that is silent: nothing is refused or cut, no answer comes. Nobody waits for ever, no figure is wrong."""

import socket
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from sqlalchemy import text

from shared.adapters.postgres.engine import open_engine
from shared.adapters.postgres.pool import Waits, open_pool
from tests.faults.proxy import Proxy, open_proxy
from tests.faults.test_charging_worker import GAPS
from tests.integration.charging.charging_harness import RIDES, House, accepted
from tests.integration.charging.charging_service import open_field
from tests.support.servers import Broker, client_settings
from tests.support.waiting import eventually_async

pytestmark = pytest.mark.exhaustive

SHORT = Waits(answer_seconds=0.5, silence_seconds=4)


@pytest.fixture
async def proxy(database: str) -> AsyncIterator[Proxy]:
    async with open_proxy(database) as opened:
        yield opened


def name_of(url: str) -> str:
    return urlsplit(url).path.removeprefix("/")


async def test_a_statement_without_an_answer_is_given_up_and_the_next_one_goes_another_way(
    database: str, proxy: Proxy
) -> None:
    url = proxy.url(name_of(database))
    async with open_pool(url, size=1, waits=SHORT) as pool, open_engine(url, size=1, waits=SHORT) as engine:
        async with engine.connect() as connection:
            await connection.execute(text("select 1"))
        proxy.silence()
        proxy.go_on()
        with pytest.raises(TimeoutError):
            async with pool.acquire() as connection, connection.transaction():
                await connection.execute("select 1")
        with pytest.raises(TimeoutError):
            async with engine.begin() as used:
                await used.execute(text("select 1"))
        assert await pool.fetchval("select 1") == 1
        async with engine.begin() as fresh:
            assert await fresh.scalar(text("select 1")) == 1


async def test_a_statement_that_takes_too_long_is_ended_on_the_server_too(database: str) -> None:
    async with open_pool(database, size=2, waits=SHORT) as pool, pool.acquire() as holder:
        await holder.execute("select pg_advisory_lock(1)")
        with pytest.raises(TimeoutError):
            await pool.execute("select pg_advisory_lock(1)")

        async def nobody_waits() -> bool:
            return bool(await holder.fetchval("select not exists (select from pg_locks where not granted)"))

        await eventually_async(nobody_waits, "the end of the statement")


async def test_both_sides_ask_for_signs_of_life(database: str) -> None:
    """Both ends set keepalives and a timeout: the kernel has to detect a vanished machine, which no test can try."""
    async with open_pool(database, size=1, waits=SHORT) as pool, pool.acquire() as connection:
        settings = {
            name: await connection.fetchval(f"show {name}")
            for name in ("tcp_keepalives_idle", "tcp_keepalives_count", "tcp_user_timeout")
        }
        assert settings == {"tcp_keepalives_idle": "1", "tcp_keepalives_count": "3", "tcp_user_timeout": "4000"}
        ours = connection._con._transport.get_extra_info("socket")
        assert ours.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            assert ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 4_000
            assert ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 1


async def test_charging_whose_database_goes_silent_says_so_and_goes_on(house: House, fresh_broker: Broker) -> None:
    limits: dict[str, Any] = {
        "DATABASE_ANSWER_SECONDS": "1",
        "TRANSACTION_SECONDS": "2",
        "READY_COMMIT_AGE_SECONDS": "1",
    }
    async with open_field(house, client_settings(fresh_broker)) as field, open_proxy(house.url) as proxy:
        await field.make_topics(RIDES)
        url = proxy.url(name_of(house.url))
        async with field.worker(DATABASE=url, DATABASE_SILENCE_SECONDS="4", BATCH_EVENTS="50", **limits) as worker:
            for round_ in range(2):
                proxy.silence()
                await field.send(*(accepted(f"o{n}") for n in range(500 * round_, 500 * (round_ + 1))))

                async def is_reported() -> bool:
                    return "charging" in await worker.reasons()

                await eventually_async(is_reported, "charging to miss its database")
                proxy.go_on()
                await field.has_counted(500 * (round_ + 1))
                await eventually_async(worker.is_ready, "readiness")
            assert worker.child.poll() is None
        assert await house.value("select count(*) from charging.entry") == 1_000
        assert await house.fetch(GAPS) == []
