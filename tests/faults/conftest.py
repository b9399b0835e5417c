"""Fixtures for the tests that break something: charging's database, migrated once and copied for each test; a scene."""

from collections.abc import AsyncIterator

import pytest

from tests.faults.crashes import Scene, open_scene
from tests.integration.charging.charging_harness import House, charging_template, copied_database, open_house
from tests.support.servers import Broker, Postgres


@pytest.fixture(scope="session")
async def charging_schema(postgres: Postgres) -> AsyncIterator[str]:
    """The name of a database with charging's schema and nothing in it."""
    async with charging_template(postgres) as name:
        yield name


@pytest.fixture
async def charging_database(postgres: Postgres, charging_schema: str) -> AsyncIterator[str]:
    """The owner's URL of a database with charging's schema."""
    async with copied_database(postgres, charging_schema) as url:
        yield url


@pytest.fixture
async def house(charging_database: str) -> AsyncIterator[House]:
    """A charging database with a connection pool and the demo's enterprises registered."""
    async with open_house(charging_database) as opened:
        yield opened


@pytest.fixture(scope="module")
async def scene(broker: Broker) -> AsyncIterator[Scene]:
    """The history of all services, to be played again with a death in it."""
    async with open_scene(broker.bootstrap) as opened:
        yield opened
