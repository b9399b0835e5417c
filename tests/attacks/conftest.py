"""Fixtures of the attacks: charging's database, and a played month of their own, which they leave in ruins."""

from collections.abc import AsyncIterator

import pytest

from services.cli.generating.month import Wanted
from services.cli.month.demo import OCTOBER, Asked, play_month, wishes_of
from services.cli.month.progress import Silent
from services.cli.running.system import running_system
from tests.e2e.conftest import Month, parts
from tests.integration.conftest import charging_database, charging_schema, house

__all__ = ["charging_database", "charging_schema", "house", "parts"]
ORDERS, SEED = 600, 9


@pytest.fixture(scope="package")
async def month(tmp_path_factory: pytest.TempPathFactory, parts: dict[str, str]) -> AsyncIterator[Month]:
    """A small one."""
    asked = Asked(ORDERS, SEED, tmp_path_factory.mktemp("month"))
    wanted = Wanted(ORDERS, SEED, OCTOBER)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in parts.items():
            patch.setenv(name, value)
        async with running_system(wishes_of(asked, wanted)) as system:
            yield Month(system, await system.supervisor.guard(play_month(system, wanted, Silent())))
