"""What a day's close shows about single orders, on real rows."""

from collections import Counter
from collections.abc import Sequence
from datetime import date, timedelta
from itertools import pairwise

import pytest

from services.charging.close.order_findings import DayFinder
from services.charging.queries.orders import OrderQueries
from shared.contracts.findings import MOST_ORDERS, DayFindings, Finding, FindingKind
from tests.integration.charging.charging_harness import (
    BEIJING,
    NOON,
    RIDES,
    House,
    Sent,
    accepted,
    cancelled,
    completed,
    worker,
)

K = FindingKind
LATE_SECONDS, WAIT_DAYS = 3_600, 2
DAY = date(2026, 10, 3)


def sent_after(sent: Sent, seconds: float) -> Sent:
    """The event, recorded `seconds` after noon."""
    return Sent(sent.value, NOON + timedelta(seconds=seconds), sent.uscc)


FOUND: list[tuple[FindingKind, str, list[Sent]]] = [
    (K.OTHER_CONTENT, "a", [accepted("a"), accepted("a", acceptance_region=BEIJING)]),
    (K.OTHER_CONTENT, "b", [accepted("b"), completed("b", seconds=9), completed("b", seconds=10)]),
    (K.SEVERAL_ACCEPTANCE_TIMES, "c", [accepted("c"), accepted("c", NOON + timedelta(seconds=2))]),
    (K.LATE_ACCEPTANCES, "d", [sent_after(accepted("d"), LATE_SECONDS + 1)]),
    (K.NOT_ENROLLED, "e", [accepted("e", industry="intracity_freight")]),
]
"""Kind, the order it names, and what was sent."""
CLEAN: list[list[Sent]] = [
    [accepted("order"), completed("order")],
    [accepted("repeat"), accepted("repeat"), completed("repeat"), completed("repeat")],
    [sent_after(accepted("after-an-hour"), LATE_SECONDS)],
    [accepted("repeated-days-later"), sent_after(accepted("repeated-days-later"), 5 * 86_400)],
    [completed("end-first"), accepted("end-first")],
    [accepted("cancelled"), cancelled("cancelled")],
    [accepted("passed-on"), cancelled("passed-on"), accepted("passed-on", worker_id=worker(2))],
]


OF_NUMBERS = {
    K.SEQUENCE_GAP, K.PRESUMED_ORDERS, K.NUMBER_USED_TWICE, K.DECLARED_DIFFERENTLY, K.MANIFEST_MISSING,
    K.MANIFEST_LATE, K.MANIFEST_CHANGED,
}  # fmt: skip
"""Of numbers and manifests, which these events do not care for: `test_charging_series.py` is about them."""


async def found_on(house: House, day: date, kind: FindingKind | None = None) -> list[Finding]:
    answered = await answer(house, day)
    return [finding for finding in answered.findings if finding.kind not in OF_NUMBERS and kind in (None, finding.kind)]


async def answer(house: House, day: date) -> DayFindings:
    findings = await DayFinder(house.pool, LATE_SECONDS, WAIT_DAYS).find(day)
    assert findings is not None
    return findings


async def charge_each(house: House, sent: Sequence[Sent]) -> None:
    """Charge each event in a separate batch, so that it is the earliest of its batch."""
    one = await house.worker()
    for event in sent:
        await one.charge(event)


async def test_each_kind_names_its_orders(house: House) -> None:
    await charge_each(house, [sent for _, _, several in FOUND for sent in several])
    await house.close(str(DAY))
    findings = await found_on(house, DAY)
    assert {(finding.enterprise, finding.province, finding.insured_on) for finding in findings} == {(RIDES, "44", DAY)}
    named = [(finding.kind, ref.order_id) for finding in findings for ref in finding.orders]
    assert sorted(named) == sorted((kind, order) for kind, order, _ in FOUND)
    assert {finding.kind: finding.count for finding in findings} == Counter(kind for kind, _, _ in FOUND)
    refs = [ref for finding in findings for ref in finding.orders]
    assert {(ref.worker_id, ref.accepted_at is None) for ref in refs} == {(worker(1), False)}
    assert await found_on(house, DAY) == findings


async def test_what_happens_every_day_is_no_finding(house: House) -> None:
    await charge_each(house, [sent for several in CLEAN for sent in several])
    previous: dict[str, int] = {}
    for number in range(WAIT_DAYS + 1):
        day = DAY + timedelta(days=number)
        await house.close(str(day), previous=previous)
        previous = await house.cut()
        assert await found_on(house, day) == []


async def test_nothing_is_said_of_a_day_that_is_not_counted(house: House) -> None:
    assert await DayFinder(house.pool, LATE_SECONDS, WAIT_DAYS).find(DAY) is None


@pytest.mark.parametrize(
    ("end", "kind"),
    [(completed("a"), K.COMPLETION_WITHOUT_ACCEPTANCE), (cancelled("a"), K.CANCELLATION_WITHOUT_ACCEPTANCE)],
)
async def test_an_end_waits_for_its_acceptance_and_is_then_found_once(
    house: House, end: Sent, kind: FindingKind
) -> None:
    await charge_each(house, [end, accepted("b"), completed("b")])
    previous: dict[str, int] = {}
    counts = []
    for number in range(WAIT_DAYS + 2):
        await house.close(str(DAY + timedelta(days=number)), previous=previous)
        previous = await house.cut()
        counts.append([(f.kind, f.insured_on, f.count) for f in await found_on(house, DAY + timedelta(days=number))])
    assert counts == [[], [], [(kind, DAY, 1)], []]


async def test_an_end_that_comes_after_the_wait_is_found_at_its_own_close(house: House) -> None:
    one, previous = await house.worker(), dict[str, int]()
    await one.charge(accepted("b"))
    for number in range(WAIT_DAYS + 3):
        if number == WAIT_DAYS + 1:
            await one.charge(sent_after(completed("late"), 86_400 * number))
        await house.close(str(DAY + timedelta(days=number)), previous=previous)
        previous = await house.cut()
    days = [DAY + timedelta(days=number) for number in range(WAIT_DAYS + 3)]
    counts = [len(await found_on(house, day, K.COMPLETION_WITHOUT_ACCEPTANCE)) for day in days]
    assert counts == [0] * (WAIT_DAYS + 1) + [1, 0]


async def test_a_close_speaks_of_its_own_rows_only(house: House) -> None:
    """What a close did not count belongs to the next, though it is of the same day."""
    one = await house.worker()
    conflict = accepted("a", acceptance_region=BEIJING)
    await one.charge(accepted("a"))
    first = await house.cut()
    await house.close(str(DAY), first)
    assert await found_on(house, DAY) == []
    await one.charge(conflict, sent_after(accepted("c"), 86_400))
    tomorrow = DAY + timedelta(days=1)
    await house.close(str(tomorrow), previous=first)
    assert await found_on(house, DAY) == []
    reported = {finding.kind: finding.insured_on for finding in await found_on(house, tomorrow)}
    assert reported == {K.OTHER_CONTENT: DAY, K.LATE_ACCEPTANCES: DAY}


async def test_delays_are_counted_for_each_enterprise_and_province(house: House) -> None:
    times = [0, 30, 90, 700, 4_000, 90_000]
    sent = [sent_after(accepted(f"o{n}", worker_id=worker(n)), delay) for n, delay in enumerate(times)]
    await charge_each(house, [*sent, accepted("b", acceptance_region=BEIJING), accepted("o0", worker_id=worker(0))])
    await house.close(str(DAY))
    delays = {(delay.enterprise, delay.province): delay.orders for delay in (await answer(house, DAY)).delays}
    assert delays == {(RIDES, "11"): [1, 0, 0, 0, 0, 0, 0, 0], (RIDES, "44"): [2, 1, 1, 1, 0, 1, 0, 0]}
    (late,) = await found_on(house, DAY)
    assert (late.kind, late.count) == (K.LATE_ACCEPTANCES, 2)
    assert late.evidence["delays"][0] == "under 60 s: 2"  # type: ignore[index]


async def test_an_order_sent_again_counts_once_among_the_received(house: House) -> None:
    await charge_each(house, [accepted("a"), accepted("a", NOON + timedelta(seconds=2)), accepted("b")])
    await house.close(str(DAY))
    assert [sum(delay.orders) for delay in (await answer(house, DAY)).delays] == [2]


async def test_a_finding_names_a_hundred_orders_and_counts_all(house: House) -> None:
    one = await house.worker()
    many = [accepted(f"o{n:03}", NOON + timedelta(seconds=n), industry="intracity_freight") for n in range(120)]
    await one.charge(*many)
    await house.close(str(DAY))
    (finding,) = await found_on(house, DAY)
    assert (finding.count, len(finding.orders)) == (120, MOST_ORDERS)
    times = [order.accepted_at for order in finding.orders]
    assert all(earlier < later for earlier, later in pairwise(times) if earlier is not None and later is not None)


async def test_how_late_an_acceptance_was_does_not_hang_on_the_batch_it_came_in(house: House) -> None:
    sent = [sent_after(accepted(f"o{n}", worker_id=worker(n)), delay) for n, delay in enumerate([0, 3_600, 3_601])]
    await (await house.worker()).charge(*sent)
    await house.close(str(DAY))
    (late,) = await found_on(house, DAY)
    assert (late.kind, [order.order_id for order in late.orders]) == (K.LATE_ACCEPTANCES, ["o2"])


@pytest.mark.parametrize(("delay", "reported"), [(-5, 0), (59, 0), (60, 60), (120, 120)])
async def test_a_cover_says_when_its_acceptance_was_sent_unless_within_the_minute(
    house: House, delay: int, reported: int
) -> None:
    early, late = accepted("early"), sent_after(accepted("late", worker_id=worker(2)), delay)
    await (await house.worker()).charge(early, late)
    (cover,) = await OrderQueries(house.pool, house.scheme.order_spans).covers(worker(2), NOON + timedelta(seconds=1))
    assert cover.recorded_at == NOON + timedelta(seconds=reported)
