"""One seeded history through the real services as they run, with a broker between them, held against the model."""

from pathlib import Path

import pytest

from tests.integration.histories.running_harness import running
from tests.support.servers import Broker


@pytest.mark.exhaustive
async def test_the_running_services_agree_with_the_model(
    database: str, platform_database: str, fresh_broker: Broker, tmp_path: Path
) -> None:
    async with running(tmp_path, database, platform_database, fresh_broker) as run:
        await run.live_all()
        await run.agree()
