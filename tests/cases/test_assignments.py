"""An assignment is an order, a worker and an acceptance: each is charged once, however and whenever events arrive."""

from collections.abc import AsyncIterator
from datetime import date, datetime, timedelta
from itertools import permutations
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.charging.queries.orders import OrderQueries
from shared.domain.calendar import Month
from shared.domain.scheme.assignment import Acceptance, Cancellation, find_resends
from shared.domain.scheme.industry import Industry
from shared.domain.scheme.order_span import OrderSpan, OrderSpans
from tests.integration.charging.charging_harness import (
    NOON,
    RIDES,
    House,
    Sent,
    accepted,
    cancelled,
    charging_template,
    completed,
    copied_database,
    open_house,
    worker,
)
from tests.integration.charging.rerating_harness import audit, corrected, open_both
from tests.model.resends import judged
from tests.model.rows import Row, Total
from tests.support.servers import Postgres

CHARGES = """
    select accepted_at, sum(premium)::int as premium from charging.entry
    where kind in (1, 4) or kind >= 8 group by accepted_at, worker_key having sum(premium) <> 0 order by 1"""
RESENDS = "select accepted_at, kept_accepted_at, found_on from charging.resend order by accepted_at"
MINUTE = timedelta(minutes=1)
OCTOBER, NOVEMBER = Month(2026, 10), Month(2026, 11)
ANOTHER = worker(2)


@pytest.fixture(scope="module")
async def template(postgres: Postgres) -> AsyncIterator[str]:
    """The name of a database with charging's schema."""
    async with charging_template(postgres) as name:
        yield name


@pytest.fixture
async def house(postgres: Postgres, template: str) -> AsyncIterator[House]:
    """Charging's database."""
    async with copied_database(postgres, template) as url, open_house(url) as opened:
        yield opened


def given_back_and_taken_again() -> list[Sent]:
    """Worker 1 accepts, gives back, worker 2 accepts, gives back, worker 1 accepts again and completes."""
    return [
        accepted("o1"),
        cancelled("o1", reason="worker"),
        accepted("o1", NOON + MINUTE, worker_id=ANOTHER, sequence=2),
        cancelled("o1", NOON + MINUTE, 20, reason="worker", worker_id=ANOTHER),
        accepted("o1", NOON + 5 * MINUTE, sequence=3),
        completed("o1", NOON + 5 * MINUTE, 1500),
    ]


@pytest.mark.parametrize("order", [0, 119, 333, 719])
async def test_an_order_taken_again_by_the_same_worker_is_charged_by_its_last_acceptance(
    house: House, order: int
) -> None:
    """Case 9."""
    one = await house.worker()
    events = list(permutations(given_back_and_taken_again()))[order]
    for event in events[:3]:
        await one.charge(event)
    await one.settle()
    await one.charge(*events[3:])
    counted = await house.close("2026-10-03")
    assert await house.fetch(CHARGES) == [(NOON + 5 * MINUTE, 100)]
    assert counted.resends == 0


async def test_a_cancellation_that_comes_days_later_charges_the_second_assignment_again(house: House) -> None:
    """Case 9: it comes after the close that held the second acceptance to be sent again; the month's end mends it."""
    one = await house.worker()
    again = NOON + 5 * MINUTE
    await one.charge(accepted("o1"), accepted("o1", again, sequence=2), completed("o1", again))
    first = await house.close("2026-10-03")
    assert (first.resends, await house.fetch(CHARGES)) == (1, [(NOON, 100)])
    before = await house.cut()
    await one.charge(cancelled("o1"))
    await one.settle()
    assert (await house.close("2026-10-04", previous=before)).settlement is None
    second = await house.close("2026-10-31", previous=before)
    assert second.settlement is not None
    assert [(t.outcome.value, t.orders, t.premium) for t in second.settlement.totals] == [("charged", 1, 100)]
    assert await house.fetch(CHARGES) == [(again, 100)]
    again_on = "select accepted_at, found_on from charging.reinstated"
    assert await house.fetch(again_on) == [(again, date(2026, 10, 31))]
    assert (await house.close("2026-11-30", previous=await house.cut())).settlement is None


async def test_an_order_sent_again_over_the_end_of_a_month_is_charged_once(house: House) -> None:
    """Case 17."""
    one = await house.worker()
    first, again = NOON.replace(day=30), NOON.replace(month=11, day=2)
    await one.charge(accepted("o1", first), accepted("o1", again, sequence=2))
    assert (await house.close("2026-10-31")).resends == 0
    assert (await house.close("2026-11-30", previous=await house.cut())).resends == 1
    assert await house.fetch(CHARGES) == [(first, 100)]
    assert await house.fetch(RESENDS) == [(again, first, date(2026, 11, 30))]


async def test_books_with_both_pass_the_audit_and_every_order_is_paid_once(house: House, tmp_path: Path) -> None:
    """Cases 9 and 17, through two statements: what a later close finds is an adjustment of the next statement."""
    end, again = NOON.replace(day=30), NOON.replace(month=11, day=2)
    async with open_both(house, date(2026, 10, 30)) as books:
        one = await house.worker()
        await one.charge(accepted("o1", end), accepted("o2", end, sequence=2), accepted("o2", end + MINUTE, sequence=3))
        await books.close_through(date(2026, 10, 30), OCTOBER.last_day)
        await books.bill(OCTOBER)
        await one.charge(accepted("o1", again, sequence=4), cancelled("o2", end))
        assert await one.settle() == 1
        await books.close_through(NOVEMBER.first_day, NOVEMBER.last_day)
        await books.bill(NOVEMBER)
        assert await house.fetch(CHARGES) == [(end, 100), (end + MINUTE, 100)]
        assert await house.fetch(RESENDS) == [(end + MINUTE, end, end.date()), (again, end, NOVEMBER.last_day)]
        assert await audit(books, corrected(tmp_path)) == []
        assert [line[1:5] for line in await books.lines("2026-10")] == [("line", "2026-10", 234, 2)]
        adjusted = [("line", "2026-11", 234, 0), ("adjustment", "2026-10", 234, 0)]
        assert [line[1:5] for line in await books.lines("2026-11")] == adjusted


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 9)), max_size=5), st.lists(st.integers(0, 9), max_size=4))
def test_the_rule_is_the_models_in_any_order(accepts: list[tuple[int, int]], lengths: list[int]) -> None:
    """Two statements of one rule: grouped by cancellations before, and pair by pair."""
    times = {NOON + timedelta(days=days, hours=hours): place for place, (days, hours) in enumerate(accepts)}
    ends = list(zip(times, lengths, strict=False))
    key = (RIDES, "o1", worker(1)[:16])
    rows = [_row("accepted", (*key, at), place) for at, place in times.items()]
    rows += [_row("cancelled", (*key, at), 99, at + timedelta(hours=8 * hours)) for at, hours in ends]
    expected = {row.key[3] for row, is_resend in judged(rows) if is_resend}
    resends = find_resends(
        [Acceptance(at, (place, 0)) for at, place in times.items()],
        [Cancellation(at, at + timedelta(hours=8 * hours)) for at, hours in ends],
    )
    assert resends.keys() == expected
    assert all(times[kept] < times[at] for at, kept in resends.items())


def _row(kind: str, key: tuple[str, str, str, datetime], place: int, cancelled_at: datetime | None = None) -> Row:
    said = {"worker_id": worker(1), "cancelled_at": cancelled_at}
    return Row(kind, key, said, Total(None, RIDES, "44", "ride_hailing", "charged"), "run", 1, place)


async def test_any_sequence_in_any_order_of_arrival_is_charged_as_the_rule_says(house: House) -> None:
    """Forty orders, each accepted, given back, taken again and sent again at random, over closes and a month's end."""
    random, one = Random(17), await house.worker()
    lives = {f"o{number}": _life(random) for number in range(40)}
    events = [event for order_id, life in lives.items() for event in _events(order_id, life)]
    random.shuffle(events)
    cuts: list[dict[str, int]] = [{}]
    for day, batch in zip((28, 29, 30, 31), (events[n::4] for n in range(4)), strict=True):
        for event in batch:
            await one.charge(event)
        await one.settle()
        cuts.append(await house.cut())
        await house.close(f"2026-10-{day}", previous=cuts[-2])
    await house.close("2026-11-30", previous=cuts[-1])
    sql = """select order_id, accepted_at from charging.entry where kind in (1, 4) or kind >= 8
        group by 1, 2 having sum(premium) > 0"""
    charged = {(row[0], row[1]) for row in await house.fetch(sql)}
    expected = set()
    received = [event for n in range(4) for event in events[n::4]]
    for order_id, life in lives.items():
        accepts = [Acceptance(at, (received.index(_accepted(events, order_id, at)), 0)) for at, _ in life]
        ends = [Cancellation(at, at + timedelta(seconds=seconds)) for at, seconds in life if seconds is not None]
        resends = find_resends(accepts, ends)
        given_back = {at for at, seconds in life if seconds is not None and seconds < 60}
        expected |= {(order_id, at) for at, _ in life if at not in resends and at not in given_back}
    assert charged == expected


Life = list[tuple[datetime, int | None]]
"""Acceptances of an order by one worker, each with the seconds until it was cancelled."""


def _life(random: Random) -> Life:
    first = NOON.replace(day=3) + timedelta(minutes=random.randrange(600))
    times = sorted({first + timedelta(minutes=random.choice([0, 1, 5, 1_500, 20_000])) for _ in range(4)})
    return [(at, random.choice([None, None, 10, 59, 120])) for at in times]


def _events(order_id: str, life: Life) -> list[Sent]:
    events = [accepted(order_id, at) for at, _ in life]
    return events + [cancelled(order_id, at, seconds) for at, seconds in life if seconds is not None]


def _accepted(events: list[Sent], order_id: str, at: datetime) -> Sent:
    return next(event for event in events if event.value == accepted(order_id, at).value)


async def test_a_reserved_ride_covers_from_its_acceptance_to_its_end(house: House) -> None:
    """Case 10: accepted three days ahead; its span is data, and an order whose end never came is open so long."""
    one, at = await house.worker(), NOON + timedelta(days=3)
    await one.charge(accepted("o1"), accepted("o2", NOON + MINUTE, sequence=2))
    queries = OrderQueries(house.pool, house.scheme.order_spans)
    assert [cover.order_id for cover in await queries.covers(worker(1), at)] == ["o1", "o2"]
    await one.charge(completed("o1", NOON, 3 * 86_400 - 60))
    assert [cover.order_id for cover in await queries.covers(worker(1), at)] == ["o2"]
    span = house.scheme.order_spans.of(Industry.RIDE_HAILING, NOON)
    assert len(await queries.covers(worker(1), NOON + MINUTE + span)) == 1
    assert await queries.covers(worker(1), NOON + 2 * MINUTE + span) == []
    short = OrderQueries(house.pool, OrderSpans([OrderSpan(Industry.RIDE_HAILING, 2, NOON - timedelta(days=9))]))
    assert await short.covers(worker(1), at) == []


async def test_what_was_sent_again_covers_nobody_and_a_reversed_charge_says_so(house: House) -> None:
    """Cases 9 and 10: a receipt is made of charges that were not reversed; an injury on a cancelled order has one."""
    one = await house.worker()
    await one.charge(accepted("o1"), accepted("o1", NOON + MINUTE, sequence=2))
    await one.charge(accepted("o2", sequence=3), cancelled("o2", seconds=50))
    await house.close("2026-10-03")
    covers = await OrderQueries(house.pool, house.scheme.order_spans).covers(worker(1), NOON + MINUTE / 2)
    assert [(cover.order_id, cover.accepted_at, cover.is_reversed) for cover in covers] == [
        ("o1", NOON, False), ("o2", NOON, True),
    ]  # fmt: skip
    after = await OrderQueries(house.pool, house.scheme.order_spans).covers(worker(1), NOON + 2 * MINUTE)
    assert [(cover.order_id, cover.accepted_at) for cover in after] == [("o1", NOON)]
