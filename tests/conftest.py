"""Fixtures that every room of tests may ask for."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.servers import (
    Broker,
    Postgres,
    drop_database,
    erase_topics,
    kafka_broker,
    make_database,
    may_be_emptied,
    postgres_server,
)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """One PostgreSQL server for the whole run."""
    with postgres_server() as server:
        yield server


@pytest.fixture
async def database(postgres: Postgres) -> AsyncIterator[str]:
    """The owner's URL of a new, empty database, dropped after the test."""
    name = await make_database(postgres)
    yield postgres.url(name)
    await drop_database(postgres, name)


@pytest.fixture
async def platform_database(postgres: Postgres) -> AsyncIterator[str]:
    """The owner's URL of a second one: the national platform is another party."""
    name = await make_database(postgres)
    yield postgres.url(name)
    await drop_database(postgres, name)


@pytest.fixture(scope="session")
def broker() -> Iterator[Broker]:
    """One broker for the whole run; a test that uses it takes topic names of its own."""
    with kafka_broker() as server:
        yield server


@pytest.fixture
async def fresh_broker() -> AsyncIterator[Broker]:
    """A broker without a topic, for this test alone."""
    with kafka_broker() as server:
        if not may_be_emptied(server):
            pytest.skip("needs an empty cluster: DANBAO_TEST_ERASE_KAFKA=yes lets the tests erase DANBAO_KAFKA")
        await erase_topics(server.bootstrap)
        yield server


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder with a space and Chinese characters in its path that other users can pass through.

    (pytest's own folders are closed to the user that runs the database server when the tests run as root.)
    """
    with TemporaryDirectory(prefix="danbao test 单保 ") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder
