"""Cancellations and resends become reversals, once, in any order of arrival."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from services.charging.store.derived_rows import lock_settling
from tests.integration.charging.charging_harness import FREIGHT, NOON, House, accepted, cancelled, reported, worker

REVERSALS = "select order_id, premium, reason, ended_at, departed from charging.entry where kind = 4 order by 1, 2"


@pytest.mark.parametrize(
    ("seconds", "departed", "is_reversed"),
    [(0, False, True), (59.999999, False, True), (59.999, False, True), (60, False, False), (60.001, False, False),
     (0, True, False), (59, True, False)],
)  # fmt: skip
async def test_the_rule_to_the_microsecond(house: House, seconds: float, departed: bool, is_reversed: bool) -> None:
    one = await house.worker()
    await one.charge(accepted("o1"), cancelled("o1", seconds=seconds, departed=departed))
    assert await one.settle() == int(is_reversed)
    end = NOON + timedelta(seconds=seconds)
    assert await house.fetch(REVERSALS) == ([("o1", -100, 1, end, departed)] if is_reversed else [])
    assert await house.value("select count(*) from charging.unsettled") == 0


async def test_a_cancellation_of_an_order_that_cost_nothing_reverses_nothing(house: House) -> None:
    one = await house.worker()
    await one.charge(accepted("o1", employer_insurance_no="1"), cancelled("o1", employer_insurance_no="1"))
    assert await one.settle() == 0
    assert await house.fetch(REVERSALS) == []
    assert await house.value("select count(*) from charging.unsettled") == 0


async def test_a_cancellation_without_acceptance_waits_and_is_a_finding_of_the_close(house: House) -> None:
    one = await house.worker()
    await one.charge(cancelled("o1"), cancelled("o2", worker_id=worker(2)), accepted("o2", worker_id=worker(3)))
    assert await one.settle() == 0
    assert (await house.close("2026-10-03")).unmatched_cancellations == 2
    await one.charge(accepted("o1"))
    assert await one.settle() == 1


async def test_a_worker_is_known_by_the_whole_token(house: House) -> None:
    one = await house.worker()
    await one.charge(accepted("o1", worker_id=worker(7, 1)), cancelled("o1", worker_id=worker(7, 2)))
    assert await one.settle() == 0
    later = NOON + timedelta(minutes=1)
    await one.charge(accepted("o1", later, worker_id=worker(7, 3)))
    counted = await house.close("2026-10-03")
    assert (counted.unmatched_cancellations, counted.resends, counted.settlement) == (1, 0, None)


async def test_settling_twice_changes_nothing_and_numbers_have_no_gap(house: House) -> None:
    one = await house.worker()
    assert await one.settle() == 0
    for n in range(3):
        await one.charge(accepted(f"o{n}"), cancelled(f"o{n}"), cancelled(f"o{n}"))
        assert [await one.settle(), await one.settle()] == [1, 0]
    sql = (
        "select number from charging.manifest join charging.run on id = run_id where purpose = 'settlement' order by 1"
    )
    assert await house.fetch(sql) == [(1,), (2,), (3,)]
    assert len(await house.fetch(REVERSALS)) == 3


async def test_two_workers_settle_at_once_and_each_order_is_reversed_once(house: House) -> None:
    one, two = await house.worker(), await house.worker()
    orders = [f"o{n}" for n in range(40)]
    await one.charge(*map(accepted, orders), *map(cancelled, orders))
    counts = await asyncio.gather(*(settler.settle() for settler in (one, two) * 4))
    assert sum(count or 0 for count in counts) == 40
    assert len(await house.fetch(REVERSALS)) == 40


async def test_a_step_that_found_the_lock_taken_does_not_look_like_one_with_nothing_to_do(house: House) -> None:
    one = await house.worker()
    await one.charge(accepted("o1"), cancelled("o1"))
    async with house.pool.acquire() as counting, counting.transaction():
        await lock_settling(counting)
        assert await one.settle() is None
    assert [await one.settle(), await one.settle()] == [1, 0]


async def test_settling_and_closing_at_once_reverse_each_order_once(house: House) -> None:
    one = await house.worker()
    orders = [f"o{n}" for n in range(40)]
    await one.charge(*map(accepted, orders), *map(cancelled, orders))
    cut = await house.cut()
    await asyncio.gather(*(one.settle() for _ in range(3)), house.close("2026-10-03", cut))
    assert len(await house.fetch(REVERSALS)) == 40


async def test_a_repeated_or_contradicted_cancellation_reverses_no_second_time(house: House) -> None:
    one = await house.worker()
    await one.charge(accepted("o1"), cancelled("o1", seconds=10))
    assert await one.settle() == 1
    assert reported(await one.charge(cancelled("o1", seconds=10), cancelled("o1", seconds=20))) == {
        ("repeat", None): 1,
        ("conflict", None): 1,
    }
    assert await one.settle() == 0


async def test_the_manifest_of_a_settlement_takes_back_what_was_charged(house: House) -> None:
    one = await house.worker()
    freight: dict[str, Any] = {"uscc": FREIGHT, "industry": "intracity_freight"}
    await one.charge(accepted("o1", **freight), accepted("o2", **freight), cancelled("o1", **freight))
    await one.settle()
    cut = await house.cut()
    counted = await house.close("2026-10-03", cut)
    lines = [(t.outcome.value, t.reason, t.enterprise, t.orders, t.premium) for t in counted.totals]
    assert lines == [("charged", None, FREIGHT, 2, 3600), ("reversed", "cancelled", FREIGHT, 1, -1800)]
    assert counted.settlement is None


class TestResent:
    """One order under two acceptance times: the first received one stays charged."""

    @pytest.mark.parametrize("later", [timedelta(microseconds=1), timedelta(hours=11), timedelta(hours=13)])
    @pytest.mark.parametrize("is_later_first", [True, False])
    async def test_the_first_received_stands(self, house: House, later: timedelta, is_later_first: bool) -> None:
        one = await house.worker()
        times = [NOON + later, NOON] if is_later_first else [NOON, NOON + later]
        for at in times:
            await one.charge(accepted("o1", at))
        counted = await house.close("2026-10-03")
        sql = "select accepted_at, kept_accepted_at, was_charged, found_on::text from charging.resend"
        assert await house.fetch(sql) == [(times[1], times[0], True, "2026-10-03")]
        assert counted.resends == 1
        assert counted.settlement is not None
        assert [(t.outcome.value, t.reason, t.orders, t.premium) for t in counted.settlement.totals] == [
            ("reversed", "resent", 1, -100)
        ]
        assert await house.fetch("select accepted_at from charging.entry where kind = 4") == [(times[1],)]

    async def test_within_one_batch_the_lower_offset_stands(self, house: House) -> None:
        one = await house.worker()
        await one.charge(accepted("o1", NOON + timedelta(hours=1)), accepted("o1", NOON))
        await house.close("2026-10-03")
        assert await house.fetch("select accepted_at from charging.entry where kind = 4") == [(NOON,)]

    async def test_another_worker_or_enterprise_is_not_resent(self, house: House) -> None:
        one = await house.worker()
        later = NOON + timedelta(hours=1)
        await one.charge(
            accepted("o1"), accepted("o1", later, worker_id=worker(2)), accepted("o1", later, uscc="91000000FAKE00002J")
        )
        assert (await house.close("2026-10-03")).resends == 0

    async def test_across_the_month_at_its_last_day(self, house: House) -> None:
        one = await house.worker()
        await one.charge(accepted("o1", NOON - timedelta(days=2)))
        await one.charge(accepted("o1", NOON + timedelta(days=25)))
        for day in range(1, 31):
            assert (await house.close(f"2026-10-{day:02}", attempt=1)).resends == 0
        assert (await house.close("2026-10-31")).resends == 1
        assert await house.fetch("select accepted_at from charging.entry where kind = 4") == [
            (NOON + timedelta(days=25),)
        ]

    async def test_three_times_and_cancelled_in_between(self, house: House) -> None:
        """The third is a second assignment: the order was given back before."""
        one = await house.worker()
        times = [NOON + timedelta(minutes=n) for n in range(3)]
        await one.charge(*(accepted("o1", at) for at in times), cancelled("o1", times[1]))
        assert await one.settle() == 1
        counted = await house.close("2026-10-03")
        assert counted.resends == 1
        reversed_at = "select accepted_at, reason from charging.entry where kind = 4 order by 1"
        assert await house.fetch(reversed_at) == [(times[1], 1)]

    async def test_an_excluded_one_is_a_finding_without_money(self, house: House) -> None:
        one = await house.worker()
        no = {"employer_insurance_no": "1"}
        await one.charge(accepted("o1"), accepted("o1", NOON + timedelta(hours=1), **no))
        counted = await house.close("2026-10-03")
        assert (counted.resends, counted.settlement) == (1, None)
        assert await house.fetch("select was_charged from charging.resend") == [(False,)]

    async def test_found_once_over_many_closes(self, house: House) -> None:
        one = await house.worker()
        await one.charge(accepted("o1"), accepted("o1", NOON + timedelta(days=1)))
        assert [(await house.close(f"2026-10-{day:02}")).resends for day in (3, 4, 5)] == [1, 0, 0]
        assert await house.value("select count(*) from charging.entry where kind = 4") == 1
