"""Orders re-rated after a back-dated decision or a wrong enrolment: shown first, then booked, once."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from services.charging.queries.orders import OrderQueries
from services.charging.rerate.rerate import book_differences
from shared.domain.errors import Refused
from shared.domain.scheme.rating import Scheme
from tests.integration.charging.charging_harness import (
    NOON,
    OTHER_RIDES,
    RIDES,
    House,
    Worker,
    accepted,
    cancelled,
    completed,
    reported,
    worker,
)
from tests.integration.charging.rerating_harness import DECISION, HAINAN, RUNNER, book, corrected, differences, window
from tests.integration.charging.test_charging_evidence import assert_evidence
from tests.support.decisions import store_decision

ENTRIES = (
    "select order_id, kind, premium, tariff_line, reason from charging.entry where kind not in (2, 3) order by 1, 2"
)
STATE = "select " + ", ".join(f"(select count(*) from charging.{t})" for t in ("entry", "manifest", "run", "outbox"))
NOT_YET = (f"{RIDES},ride_hailing,*,2025-07-01", f"{RIDES},ride_hailing,*,2026-10-10")
"""The enterprise was enrolled too early: from 2026-10-10 would have been right."""
EARLIER = (f"{RUNNER},instant_delivery,46,2026-11-01", f"{RUNNER},instant_delivery,46,2026-10-01")
DELIVERY: dict[str, Any] = {"uscc": RUNNER, "industry": "instant_delivery", "acceptance_region": HAINAN}


@pytest.fixture
def decided(tmp_path: Path) -> Scheme:
    """The scheme with the back-dated decision."""
    return corrected(tmp_path, DECISION).scheme


async def test_the_difference_is_shown_first_and_nothing_is_written(house: House, decided: Scheme) -> None:
    one = await house.worker()
    await one.charge(
        accepted("o1"), accepted("o2", worker_id=worker(2)), accepted("o3", NOON + timedelta(days=1)), completed("o1"),
        accepted("before", NOON - timedelta(days=2)), accepted("employee", employer_insurance_no="1"),
        accepted("other", uscc=OTHER_RIDES), accepted("elsewhere", acceptance_region="110105"),
    )  # fmt: skip
    before = await house.fetch(STATE)
    differing = await differences(house, decided)
    shown = [(str(f.insured_on), f.enterprise, f.province, f.industry, f.old_line, f.new_line) for f in differing]
    place = (RIDES, "44", "ride_hailing", 234, 9901)
    assert shown == [("2026-10-03", *place), ("2026-10-04", *place)]
    assert [(f.orders, f.old_premium, f.new_premium) for f in differing] == [(2, 200, 246), (1, 100, 123)]
    assert await house.fetch(STATE) == before
    assert await differences(house, house.scheme) == []


@pytest.mark.parametrize(
    ("narrowed", "orders"),
    [
        ({"enterprise": RIDES}, 3), ({"enterprise": OTHER_RIDES}, 0), ({"province": "44"}, 3), ({"province": "11"}, 0),
        ({"enterprise": RIDES, "province": "44"}, 3), ({"first": "2026-10-04"}, 1), ({"last": "2026-10-03"}, 2),
    ],
)  # fmt: skip
async def test_only_the_window_is_looked_at(
    house: House, decided: Scheme, narrowed: dict[str, str], orders: int
) -> None:
    one = await house.worker()
    await one.charge(accepted("o1"), accepted("o2"), accepted("o3", NOON + timedelta(days=1)))
    assert sum(f.orders for f in await differences(house, decided, window(**narrowed))) == orders
    assert sum(await book(house, decided, window(**narrowed))) == orders
    assert await house.value("select count(*) from charging.entry where kind = 8") == orders


async def test_what_was_charged_is_reversed_and_charged_anew_once(house: House, decided: Scheme) -> None:
    one = await house.worker()
    await one.charge(accepted("o1"), accepted("o2"), accepted("other", uscc=OTHER_RIDES))
    assert await book(house, decided) == [2]
    rerated = [(8, 123, 9901, 0), (4, -100, 234, 3)]
    assert await house.fetch(ENTRIES) == [
        ("o1", 1, 100, 234, 0), ("o1", *rerated[1]), ("o1", *rerated[0]), ("o2", 1, 100, 234, 0), ("o2", *rerated[1]),
        ("o2", *rerated[0]), ("other", 1, 100, 234, 0),
    ]  # fmt: skip
    before = await house.fetch(STATE)
    assert await differences(house, decided) == []
    assert await book(house, decided) == []
    assert await house.fetch(STATE) == before


async def test_the_manifest_is_a_correction_whose_root_follows_from_its_rows(house: House, decided: Scheme) -> None:
    one = await house.worker()
    await one.charge(accepted("o1", agency_uscc=OTHER_RIDES), accepted("o2"))
    await book(house, decided)
    (manifest,) = await house.corrections()
    assert (manifest.number, manifest.leaves) == (1, 4)
    assert reported(manifest) == {("reversed", "rerated"): 2, ("charged", "rerated"): 2}
    assert sum(total.premium for total in manifest.totals) == 46
    await assert_evidence(house, manifest)
    row = "select events, purpose from charging.manifest join charging.run on id = run_id where purpose = 'correction'"
    assert await house.fetch(row) == [(0, "correction")]


async def test_corrected_again_and_back(house: House, decided: Scheme, tmp_path: Path) -> None:
    one = await house.worker()
    await one.charge(accepted("o1"))
    third = corrected(tmp_path, DECISION.replace("9901", "9902").replace("0.0123", "0.0200")).scheme
    for scheme in (decided, third, house.scheme):
        assert await book(house, scheme) == [1]
    assert [row[1:4] for row in await house.fetch(ENTRIES)] == [
        (1, 100, 234), (4, -100, 234), (8, 123, 9901), (9, -123, 9901), (10, 200, 9902), (11, -200, 9902),
        (12, 100, 234),
    ]  # fmt: skip
    for manifest in await house.corrections():
        await assert_evidence(house, manifest)
    rows = await OrderQueries(house.pool, house.scheme.order_spans).order(RIDES, "o1", NOON.date())
    assert [(row.kind, row.reason, row.premium_yuan) for row in rows][1:3] == [
        ("reversal", "rerated", "-0.01"),
        ("re-rated charge", "rerated", "0.0123"),
    ]
    covers = await OrderQueries(house.pool, house.scheme.order_spans).covers(worker(1), NOON)
    assert [(cover.order_id, cover.kind, cover.premium_yuan) for cover in covers] == [("o1", "re-rated charge", "0.01")]


class TestEnrolment:
    """A wrong enrolment: what was excluded is charged, what was charged is excluded."""

    async def test_excluded_becomes_charged(self, house: House, tmp_path: Path) -> None:
        scheme = corrected(tmp_path, enrolment=EARLIER).scheme
        one = await house.worker()
        await one.charge(accepted("o1", **DELIVERY), accepted("employee", **DELIVERY, employer_insurance_no="7"))
        differing = await differences(house, scheme)
        changes = [(f.old_line, f.old_reason, f.new_line is None, f.new_reason, f.orders) for f in differing]
        assert sorted(changes, key=str) == [
            (None, "enterprise_not_enrolled", False, None, 1),
            (None, "enterprise_not_enrolled", True, "insured_as_employee", 1),
        ]
        assert await book(house, scheme) == [2]
        assert [(*row[:2], row[2] > 0, row[4]) for row in await house.fetch(ENTRIES)] == [
            ("employee", 1, False, 2), ("employee", 8, False, 3), ("o1", 1, False, 2), ("o1", 8, True, 0),
        ]  # fmt: skip
        assert await book(house, scheme) == []

    async def test_charged_becomes_excluded_and_charged_again(self, house: House, tmp_path: Path) -> None:
        scheme = corrected(tmp_path, enrolment=NOT_YET).scheme
        one = await house.worker()
        await one.charge(accepted("o1"))
        assert await book(house, scheme) == [1]
        assert await house.fetch(ENTRIES) == [("o1", 1, 100, 234, 0), ("o1", 4, -100, 234, 3), ("o1", 8, 0, 0, 2)]
        (manifest,) = await house.corrections()
        assert reported(manifest) == {("reversed", "rerated"): 1, ("excluded", "enterprise_not_enrolled"): 1}
        assert await book(house, house.scheme) == [1]
        assert (await house.fetch(ENTRIES))[-1] == ("o1", 10, 100, 234, 0)

    async def test_a_cancellation_settled_while_excluded_reverses_the_late_charge(
        self, house: House, tmp_path: Path
    ) -> None:
        scheme = corrected(tmp_path, enrolment=EARLIER).scheme
        one = await house.worker()
        await one.charge(
            accepted("o1", **DELIVERY), cancelled("o1", **DELIVERY), accepted("o2", **DELIVERY),
            cancelled("o2", departed=True, **DELIVERY), accepted("o3", **DELIVERY),
        )  # fmt: skip
        assert await one.settle() == 0
        assert await book(house, scheme) == [3]
        assert await one.settle() == 1
        assert await house.fetch("select order_id, reason from charging.entry where kind = 9") == [("o1", 1)]
        assert await house.value("select count(*) from charging.unsettled") == 0
        assert await book(house, scheme) == []

    async def test_an_order_sent_twice_while_excluded_is_charged_once(self, house: House, tmp_path: Path) -> None:
        scheme = corrected(tmp_path, enrolment=EARLIER).scheme
        one = await house.worker()
        await one.charge(accepted("o1", **DELIVERY), accepted("o1", NOON + timedelta(hours=1), **DELIVERY))
        assert (await house.close("2026-10-03")).resends == 1
        assert await book(house, scheme) == [1]
        charged = "select accepted_at from charging.entry where premium > 0"
        assert await house.fetch(charged) == [(NOON,)]

    async def test_found_sent_twice_after_the_correction(self, house: House, tmp_path: Path) -> None:
        house.scheme, before = corrected(tmp_path, enrolment=EARLIER).scheme, house.scheme
        one = await charged_by(
            house, before, accepted("o1", **DELIVERY), accepted("o1", NOON + timedelta(1), **DELIVERY)
        )
        assert await book(house, house.scheme) == [1, 1]
        counted = await house.close("2026-10-03")
        assert counted.resends == 1
        assert await house.fetch("select accepted_at, reason from charging.entry where kind = 9") == [
            (NOON + timedelta(1), 2)
        ]
        assert (await book(house, house.scheme), await one.settle()) == ([], 0)


async def charged_by(house: House, scheme: Scheme, *sent: Any) -> Worker:
    """A worker that rated these by another scheme than the house's."""
    now, house.scheme = house.scheme, scheme
    one = await house.worker()
    await one.charge(*sent)
    house.scheme = now
    return one


class TestCancellation:
    async def test_after_a_re_rating_it_reverses_the_last_charge(self, house: House, decided: Scheme) -> None:
        one = await house.worker()
        await one.charge(accepted("o1"), accepted("o2"))
        await book(house, decided)
        await one.charge(cancelled("o1"))
        assert await one.settle() == 1
        assert await house.fetch("select order_id, premium, reason from charging.entry where kind = 9") == [
            ("o1", -123, 1)
        ]
        assert await house.value("select sum(premium) from charging.entry where order_id = 'o1'") == 0
        assert await book(house, house.scheme) == [1], "the order that was not cancelled"

    async def test_before_a_re_rating_the_order_is_left_alone(self, house: House, decided: Scheme) -> None:
        one = await house.worker()
        await one.charge(accepted("o1"), cancelled("o1"))
        assert await one.settle() == 1
        assert await differences(house, decided) == []

    async def test_not_settled_yet_it_follows_the_re_rating(self, house: House, decided: Scheme) -> None:
        one = await house.worker()
        await one.charge(accepted("o1"), cancelled("o1"))
        assert await book(house, decided) == [1]
        assert await one.settle() == 1
        assert await house.value("select sum(premium) from charging.entry") == 0

    async def test_a_close_whose_cut_the_correction_is_not_in_leaves_it_to_the_next_step(
        self, house: House, decided: Scheme
    ) -> None:
        one = await house.worker()
        await one.charge(accepted("o1"), cancelled("o1"))
        cut = await house.cut()
        await book(house, decided)
        counted = await house.close("2026-10-03", cut)
        assert (counted.settlement, reported(counted)) == (None, {("charged", None): 1})
        assert await one.settle() == 1


async def test_settling_and_re_rating_at_once(house: House, decided: Scheme) -> None:
    one = await house.worker()
    orders = [f"o{n:02}" for n in range(40)]
    await one.charge(*map(accepted, orders), *map(cancelled, orders[::2]))
    await asyncio.gather(
        *(one.settle() for _ in range(3)), book(house, decided, chunk_rows=7), book(house, decided, chunk_rows=5)
    )
    await one.settle()
    sums = "select order_id, sum(premium) from charging.entry group by 1 order by 1"
    assert await house.fetch(sums) == [(order, 123 if n % 2 else 0) for n, order in enumerate(orders)]
    assert await book(house, decided) == []


async def test_a_crash_between_chunks_is_finished_by_the_same_command(house: House, decided: Scheme) -> None:
    one = await house.worker()
    await one.charge(*(accepted(f"o{n}", NOON + timedelta(hours=5 * n)) for n in range(7)))
    booking = book_differences(house.pool, decided, window(), house.author, await store_decision(house.pool), 2)
    assert await anext(booking) == 2
    await booking.aclose()
    assert await house.value("select count(*) from charging.entry where kind = 8") == 2
    assert sum(await book(house, decided, chunk_rows=2)) == 5
    assert await house.value("select sum(premium)::bigint from charging.entry") == 7 * 123
    assert len({manifest.run for manifest in await house.corrections()}) == 2
    for manifest in await house.corrections():
        await assert_evidence(house, manifest)


async def test_without_a_line_nothing_is_booked(house: House, tmp_path: Path) -> None:
    scheme = corrected(tmp_path, without="234,44,ride_hailing").scheme
    one = await house.worker()
    await one.charge(accepted("o1"), accepted("o2", NOON + timedelta(days=1)))
    before = await house.fetch(STATE)
    assert {f.new_reason for f in await differences(house, scheme)} == {"no_tariff_line"}
    with pytest.raises(Refused, match=r"no tariff line holds for ride_hailing of .* in province 44 on 2026-10-03"):
        await book(house, scheme)
    assert await house.fetch(STATE) == before


@pytest.mark.parametrize(("first", "last"), [("2026-10-02", "2026-10-01"), ("2026-01-01", "2027-03-01")])
async def test_a_window_that_is_a_mistake_is_refused(house: House, first: str, last: str) -> None:
    with pytest.raises(Refused, match="not a window"):
        await differences(house, house.scheme, window(first, last))
