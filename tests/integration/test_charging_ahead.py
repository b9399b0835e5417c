"""Parts are made days ahead; that they are not is told while there is time, and not by a batch in the night."""

from datetime import date, timedelta

import asyncpg
from prometheus_client import CollectorRegistry

from services.charging.ahead import PartsAhead
from services.charging.metrics import Metrics
from tests.integration.charging_house import House

TODAY = date(2026, 10, 3)


async def test_their_lack_is_an_alarm_that_says_why_and_ends_with_it(house: House) -> None:
    registry = CollectorRegistry()
    ahead = PartsAhead(house.pool, Metrics(registry), ahead=7, least=3)

    async def told(day: date) -> tuple[float | None, str | None]:
        await ahead.look(day)
        return registry.get_sample_value("danbao_charging_parts_ahead_days"), await ahead.readiness()

    owner = await asyncpg.connect(house.owner_url)
    try:
        assert await told(TODAY) == (7, None)
        await owner.execute("revoke execute on function charging.ensure_parts from danbao_charging")
        assert await told(TODAY + timedelta(days=4)) == (3, None)
        count, why = await told(TODAY + timedelta(days=5))
        assert count == 2
        assert why is not None
        assert why.startswith("rows have parts for 2 more days, fewer than 3: InsufficientPrivilegeError")
        assert (await told(TODAY + timedelta(days=9)))[0] == -1  # not even the day's own
        await owner.execute("grant execute on function charging.ensure_parts to danbao_charging")
        assert await told(TODAY + timedelta(days=9)) == (7, None)
        await owner.execute("alter table charging.entry detach partition charging.entry_20261015")
        assert (await told(TODAY + timedelta(days=9)))[0] == 2  # a table of that name is not yet a part
    finally:
        await owner.close()
