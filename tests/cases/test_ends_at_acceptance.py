"""A completion or cancellation at the instant of its acceptance is recorded; one before it is parked, by one rule."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from services.charging.queries.orders import OrderQueries
from shared.contracts.parking import ParkReason
from tests.integration.charging.charging_harness import (
    NOON,
    House,
    accepted,
    cancelled,
    charging_template,
    completed,
    copied_database,
    open_house,
    reported,
    worker,
)
from tests.support.servers import Postgres

SECOND = timedelta(seconds=1)


@pytest.fixture
async def house(postgres: Postgres) -> AsyncIterator[House]:
    """Charging's database."""
    async with (
        charging_template(postgres) as template,
        copied_database(postgres, template) as url,
        open_house(url) as opened,
    ):
        yield opened


@pytest.mark.parametrize("is_known_template", [True, False])
async def test_rides_rounded_to_a_quarter_of_an_hour(house: House, is_known_template: bool) -> None:
    """Case 31: all are charged, what ends at once has ended, and what ends before it began is parked."""
    charging = await house.worker()
    orders = [f"o-{number}" for number in range(10)]
    sequences = iter(range(1, 100))
    if is_known_template:
        await charging.charge(accepted("first", sequence=next(sequences)), completed("first"), cancelled("first"))
    manifest = await charging.charge(
        *(accepted(order, sequence=next(sequences)) for order in orders),
        *(completed(order, seconds=0) for order in orders[:6]),
        *(completed(order, seconds=-1) for order in orders[6:8]),
        cancelled(orders[8], seconds=0),
        cancelled(orders[9], seconds=-1),
    )
    assert reported(manifest) == {
        ("charged", None): 10,
        ("recorded", "completion"): 6,
        ("recorded", "cancellation"): 1,
        ("parked", ParkReason.COMPLETION_BEFORE_ACCEPTANCE): 2,
        ("parked", ParkReason.CANCELLATION_BEFORE_ACCEPTANCE): 1,
    }
    queries = OrderQueries(house.pool, house.scheme.order_spans)
    at_once, later = await queries.covers(worker(1), NOON), await queries.covers(worker(1), NOON + SECOND)
    assert {cover.order_id for cover in at_once} >= set(orders)
    assert {cover.order_id for cover in later} & set(orders) == {*orders[6:8], orders[9]}
