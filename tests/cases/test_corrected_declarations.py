"""Which declaration of a day holds depends on their content and record times, not on the order of reading."""

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from itertools import permutations

import pytest

from services.charging.cut import Batches
from services.charging.numbers.day_declarations import Declared, holding, read_declared
from shared.contracts.events import Declaration
from tests.integration.charging.charging_harness import (
    NOON,
    House,
    Sent,
    charging_template,
    copied_database,
    declared,
    open_house,
)
from tests.support.servers import Postgres

DAY = date(2026, 10, 3)
MINUTE = timedelta(minutes=1)


@pytest.fixture
async def house(postgres: Postgres) -> AsyncIterator[House]:
    """Charging's database."""
    async with (
        charging_template(postgres) as template,
        copied_database(postgres, template) as url,
        open_house(url) as opened,
    ):
        yield opened


def stored(name: str, minute: int, stated: int = 0, is_signed: bool = False) -> Declared:
    """A declaration as it is stored."""
    said = Declaration(name, DAY, [], [])
    at = datetime(2026, 10, 4, tzinfo=UTC) + minute * MINUTE
    return Declared(1, "x", DAY, said, b"", is_new=True, revision=stated if is_signed else None, stated_revision=stated,
                    recorded_at=at)  # fmt: skip


@pytest.mark.parametrize(
    ("declarations", "holds"),
    [
        ([stored("a", 3), stored("b", 2), stored("c", 1)], "a"),
        ([stored("a", 1), stored("b", 1), stored("c", 0)], "b"),
        ([stored("a", 1, 2), stored("b", 5, 1), stored("c", 9)], "a"),
        ([stored("a", 1, 0, is_signed=True), stored("b", 5, 7), stored("c", 9)], "a"),
        ([stored("a", 1, 4, is_signed=True), stored("b", 0, 3, is_signed=True), stored("c", 9, 9)], "a"),
        ([stored("a", 2, 4, is_signed=True), stored("b", 1, 4, is_signed=True), stored("c", 3, 4)], "b"),
    ],
)
def test_one_rule_in_every_order(declarations: list[Declared], holds: str) -> None:
    """Signed first, then the revision, then the record time: the first signed one, the last of the others."""
    for order in permutations(declarations):
        (held,) = holding(order).values()
        assert held.reported.declaration_id == holds


def sent(name: str, minute: int, revision: int | None = None) -> Sent:
    """A declaration of the day, sent in this minute after noon."""
    value = declared(name, orders=minute).value or b""
    if revision is not None:
        value = value.replace(b'"data":', b'"revision": %d, "data":' % revision)
    return Sent(value, NOON + minute * MINUTE)


SLIP, CORRECTION = sent("d-9", 1), sent("d-1", 2)
FIRST_OF_TWO, REVISED = sent("d-9", 2), sent("d-1", 1, revision=1)


@pytest.mark.parametrize("is_one_batch", [True, False])
@pytest.mark.parametrize(
    "events",
    [[SLIP, CORRECTION], [CORRECTION, SLIP], [REVISED, FIRST_OF_TWO], [FIRST_OF_TWO, REVISED]],
    ids=["in order", "correction first", "revision first", "revision last"],
)
async def test_the_correction_holds_in_any_order_of_reading(
    house: House, events: list[Sent], is_one_batch: bool
) -> None:
    """Keyed by their ids, the two lie in different partitions: a batch reads one partition before the other."""
    charging = await house.worker()
    for batch in [events] if is_one_batch else [[event] for event in events]:
        await charging.charge(*batch)
    async with house.pool.acquire() as connection:
        known = await read_declared(connection, None, Batches([]))
    (held,) = holding(known).values()
    assert held.reported.declaration_id == "d-1"
    assert [declaration.recorded_at for declaration in known] == sorted(event.at for event in events)
