"""Real services kill themselves at steps that were recorded, chosen by seed; all is as the model says."""

from pathlib import Path

import pytest

from tests.faults.process_deaths import Budget, Deaths
from tests.integration.histories.running_harness import running
from tests.support.servers import Broker

SEED = 20261123
MOST_DEATHS = 16
FEWEST_DEATHS, FEWEST_SERVICES = 4, 2
"""A step that was recorded need not come again before the month is over, and on a slow machine fewer do."""


@pytest.mark.exhaustive
async def test_services_that_kill_themselves_lose_and_double_nothing(
    database: str, platform_database: str, fresh_broker: Broker, tmp_path: Path
) -> None:
    steps, deaths = tmp_path / "steps", Deaths(SEED)
    steps.mkdir()
    async with running(tmp_path, database, platform_database, fresh_broker, deaths.begin(steps)) as run:
        budget = Budget()
        run.between = lambda: deaths.arm_all(run.system, budget, MOST_DEATHS)
        await run.live_all()
        deaths.disarm()
        await run.agree()
    assert deaths.died.total() >= FEWEST_DEATHS, deaths.died
    assert len({death.service for death in deaths.died}) >= FEWEST_SERVICES, deaths.died
