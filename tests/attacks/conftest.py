"""Fixtures of the attacks: charging's database, and a separate played month, which the attacks damage."""

from collections.abc import AsyncIterator

import pytest

from services.demo.demo import DemoRequest
from services.demo.running.system import System
from tests.attacks.http.http_harness import Target, running_targets
from tests.e2e.conftest import Month, parts, played_month
from tests.integration.conftest import charging_database, charging_schema, house

__all__ = ["charging_database", "charging_schema", "house", "parts"]
ORDERS, SEED = 600, 9


@pytest.fixture(scope="package")
async def month(tmp_path_factory: pytest.TempPathFactory, parts: dict[str, str]) -> AsyncIterator[Month]:
    """A small one."""
    async with played_month(DemoRequest(ORDERS, SEED, tmp_path_factory.mktemp("month")), parts) as played:
        yield played


@pytest.fixture(scope="package")
async def running(
    tmp_path_factory: pytest.TempPathFactory, parts: dict[str, str]
) -> AsyncIterator[tuple[System, dict[str, Target]]]:
    """The four services as processes, without any order."""
    async with running_targets(tmp_path_factory.mktemp("running"), parts) as running:
        yield running


@pytest.fixture
def targets(running: tuple[System, dict[str, Target]]) -> dict[str, Target]:
    return running[1]
