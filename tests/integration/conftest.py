"""Fixtures of charging: one migration a run, a copy of it for each test."""

from collections.abc import AsyncIterator

import pytest

from tests.integration.charging.charging_harness import House, charging_template, copied_database, open_house
from tests.support.servers import Postgres


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
