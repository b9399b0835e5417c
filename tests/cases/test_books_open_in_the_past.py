"""Books that open in the past catch up with the days that are over: the end of a close wakes the next."""

import time
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from services.ledger.operations.scheduler import TICK_SECONDS
from tests.integration.ledger.ledger_harness import Ledger, open_ledger
from tests.integration.ledger.test_ledger_service import OPENED_ON, answering, started
from tests.support.servers import Broker
from tests.support.waiting import eventually_async

DAYS = 10


@pytest.fixture
async def ledger(database: str) -> AsyncIterator[Ledger]:
    """The ledger's books."""
    async with open_ledger(database, OPENED_ON) as opened:
        yield opened


@pytest.mark.exhaustive
async def test_days_are_closed_one_after_another_without_a_tick_between(ledger: Ledger, fresh_broker: Broker) -> None:
    """A month was caught up at a day each 15 s."""
    async with (
        answering(fresh_broker, ledger.charging),
        started(ledger, fresh_broker, SCHEDULER="true") as process,
    ):
        began = time.monotonic()

        async def are_closed() -> bool:
            day = OPENED_ON + timedelta(days=DAYS - 1)
            return bool((await process.get(f"/v1/days/{day}"))["state"] == "closed")

        await eventually_async(are_closed, f"{DAYS} days to be closed")
        assert time.monotonic() - began < DAYS * TICK_SECONDS / 3
