"""One month, played once for all tests of this room: real services, database and broker."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.async_api import Browser

from services.demo.demo import OCTOBER, DemoRequest, play_month, wishes_of
from services.demo.generator.month import Wanted
from services.demo.progress import Silent
from services.demo.running.system import System, running_system
from services.demo.summary import Summary
from services.demo.visitors import Visitors, invite
from tests.e2e.browsing import open_browser
from tests.support.apache_kafka import ApacheKafka
from tests.support.servers import (
    Broker,
    Kind,
    Postgres,
    client_of,
    drop_database,
    erase_topics,
    make_database,
    may_be_emptied,
)

ORDERS = 3_000
SEED = 5


@dataclass(frozen=True, slots=True)
class Month:
    """A running system in which October is closed, billed and reported, and what came of it."""

    system: System
    summary: Summary


@pytest.fixture(scope="package")
async def parts(postgres: Postgres, broker_kind: Kind, broker: Broker) -> AsyncIterator[dict[str, str]]:
    """Settings of a separate system: none, or the addresses of empty databases and an empty cluster."""
    if broker_kind == "embedded" and "DANBAO_DATABASE" not in os.environ:
        yield {}
        return
    if not may_be_emptied(broker):
        pytest.skip("needs an empty cluster: DANBAO_TEST_ERASE_KAFKA=yes lets the tests erase DANBAO_KAFKA")
    await erase_topics(client_of(broker))
    names = [await make_database(postgres) for _ in range(2)]
    yield {
        "DANBAO_DATABASE": postgres.url(names[0]),
        "DANBAO_PLATFORM_DATABASE": postgres.url(names[1]),
        **(broker.variables() if isinstance(broker, ApacheKafka) else {"DANBAO_KAFKA": broker.bootstrap}),
        "DANBAO_ORDER_TIMESTAMPS": "",  # the month's events have their own times
    }
    for name in names:
        await drop_database(postgres, name)


@pytest.fixture(scope="package")
async def month(tmp_path_factory: pytest.TempPathFactory, parts: dict[str, str]) -> AsyncIterator[Month]:
    """The month of ORDERS and SEED."""
    async with played_month(DemoRequest(ORDERS, SEED, tmp_path_factory.mktemp("month")), parts) as played:
        yield played


@pytest.fixture(scope="package")
async def visitors(month: Month) -> Visitors:
    """Accounts and a worker's link for the month's portal."""
    return await invite(month.system, Wanted(ORDERS, SEED, OCTOBER))


@pytest.fixture(scope="package")
async def browser() -> AsyncIterator[Browser]:
    """One browser for all tests of this room; each visit has a separate context."""
    async with open_browser() as opened:
        yield opened


@asynccontextmanager
async def played_month(request: DemoRequest, parts: dict[str, str]) -> AsyncIterator[Month]:
    """October, played in this process; the services are separate processes."""
    wanted = Wanted(request.orders, request.seed, OCTOBER)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in parts.items():
            patch.setenv(name, value)
        async with running_system(wishes_of(request, wanted)) as system:
            yield Month(system, await system.supervisor.guard(play_month(system, wanted, Silent())))


@pytest.fixture
def own_parts() -> None:
    """For a test that starts a second system next to the month's: only the embedded parts allow two."""
    if "DANBAO_DATABASE" in os.environ:
        pytest.skip("needs a separate database and cluster: runs on the embedded parts")


@pytest.fixture(scope="session")
def danbao() -> Path:
    """The folder the command is run in: the checkout."""
    return Path(__file__).parents[2]
