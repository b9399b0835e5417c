"""What was parked is reported to its enterprise, by reason and share, and its number is neither seen nor missing."""

from datetime import date, timedelta

from services.charging.close.order_findings import DayFinder
from services.charging.queries.acknowledged import read_acknowledged
from services.charging.queries.series import SeriesQueries, SeriesRequest
from shared.contracts.findings import Finding, FindingKind
from shared.contracts.parking import Fault, ParkReason, fault_of_parked
from tests.cases.test_our_own_faults import worker_without_enrolment
from tests.integration.charging.charging_harness import NOON, RIDES, House, Sent, accepted
from tests.integration.charging.test_charging_numbers import DAY, Closes, number

ONE = timedelta(days=1)


async def parked_findings(house: House, day: date) -> list[Finding]:
    reported = await DayFinder(house.pool, 600, 3).find(day)
    assert reported is not None
    return [finding for finding in reported.findings if finding.kind is FindingKind.PARKED_EVENTS]


async def kinds(house: House, day: date) -> set[str]:
    reported = await DayFinder(house.pool, 600, 3).find(day)
    assert reported is not None
    return {finding.kind.value for finding in reported.findings}


async def states_of(house: House, day: date) -> dict[int, list[str]]:
    reported = await SeriesQueries(house.pool).read(SeriesRequest(RIDES, day, None, 1, 1_000))
    assert reported is not None
    return {
        value: span.states
        for series in reported.series
        for span in series.ranges
        for value in range(span.first, span.last + 1)
    }


def without_seconds(value: int) -> Sent:
    """An acceptance whose sender leaves seconds out when they are zero."""
    good = number(value)
    return Sent((good.value or b"").replace(b"2026-10-03T12:00:00+08:00", b"2026-10-03T12:00+08:00"), NOON)


async def test_two_of_120_events_are_told_with_reason_and_share(house: House) -> None:
    """Case 21."""
    one, close = await house.worker(), Closes(house)
    await one.charge(*[without_seconds(n) if n in {50, 111} else number(n) for n in range(1, 121)])
    await close(DAY)
    (finding,) = await parked_findings(house, DAY)
    assert (finding.enterprise, finding.insured_on, finding.count) == (RIDES, DAY, 2)
    assert finding.evidence == {
        "close": str(DAY), "fault": "enterprise", "events": 120, "parked": 2, "settled": 0, "share": "1.67%",
        "reasons": ["impossible_time: 2"],
    }  # fmt: skip
    acknowledged = await read_acknowledged(house.pool, RIDES, DAY)
    assert acknowledged is not None
    assert acknowledged.parked == {"impossible_time": 2}
    reported = await SeriesQueries(house.pool).read(SeriesRequest(RIDES, DAY, None, 1, 10))
    assert reported is not None
    assert (reported.events, reported.parked) == (120, {"impossible_time": 2})
    assert await states_of(house, DAY) == {n: ["parked"] if n in {50, 111} else ["seen"] for n in range(1, 121)}
    await close(DAY + ONE)
    assert "sequence_gap" not in await kinds(house, DAY + ONE)
    assert await parked_findings(house, DAY) == [finding], "read again, it is the same"


async def test_an_event_that_came_too_late_is_told(house: House) -> None:
    """Case 36."""
    one, close = await house.worker(), Closes(house)
    late = Sent(number(1).value, NOON + timedelta(days=30, seconds=1))
    await one.charge(late)
    await close(DAY)
    (finding,) = await parked_findings(house, DAY)
    assert finding.evidence["reasons"] == ["too_old: 1"]


async def test_the_number_of_a_parked_event_is_seen_once_it_came_and_the_finding_is_settled(house: House) -> None:
    """Case 21: the enterprise mends its sender, and sends the two orders again."""
    one, close = await house.worker(), Closes(house)
    await one.charge(number(1), without_seconds(2), without_seconds(3), number(4))
    await close(DAY)
    at = NOON + ONE
    await one.charge(Sent(number(2).value, at))
    await close(DAY + ONE)
    (left,) = await parked_findings(house, DAY + ONE)
    assert (left.key, left.count, left.evidence["settled"]) == (f"{RIDES}.{DAY}.enterprise", 1, 1)
    assert await states_of(house, DAY) == {1: ["seen"], 2: ["seen"], 3: ["parked"], 4: ["seen"]}
    await one.charge(Sent(number(3).value, at + ONE))
    await close(DAY + 2 * ONE)
    (settled,) = await parked_findings(house, DAY + 2 * ONE)
    assert (settled.key, settled.count) == (left.key, 0), "an examination corrects what counts nothing"
    await close(DAY + 3 * ONE)
    assert await parked_findings(house, DAY + 3 * ONE) == []


async def test_a_number_that_came_after_its_parked_event_on_the_same_day_settles_it_at_once(house: House) -> None:
    one, close = await house.worker(), Closes(house)
    await one.charge(without_seconds(1), number(2), without_seconds(3))
    await one.charge(number(1))
    await close(DAY)
    (finding,) = await parked_findings(house, DAY)
    assert (finding.count, finding.evidence["settled"]) == (1, 1)


async def test_a_number_of_another_order_before_it_settles_nothing(house: House) -> None:
    """Orders that all have the number 1, as a sender that counts nothing sends them."""
    one, close = await house.worker(), Closes(house)
    await one.charge(accepted("T-1"), without_seconds(1))
    await close(DAY)
    (finding,) = await parked_findings(house, DAY)
    assert (finding.count, finding.evidence["settled"]) == (1, 0)


async def test_what_our_data_lack_is_a_finding_of_its_own_and_ours(house: House) -> None:
    """An enrolment that was not loaded yet, next to a fault of the enterprise."""
    old, one, close = await worker_without_enrolment(house), await house.worker(), Closes(house)
    await old.charge(number(2))
    await one.charge(number(1), without_seconds(3))
    await close(DAY)
    reported = {finding.evidence["fault"]: finding for finding in await parked_findings(house, DAY)}
    assert {fault: finding.evidence["reasons"] for fault, finding in reported.items()} == {
        "ours": ["unknown_enterprise: 1"],
        "enterprise": ["impossible_time: 1"],
    }


def test_every_reason_to_park_says_whose_fault_it_is() -> None:
    ours = {reason for reason in ParkReason if fault_of_parked(reason) is Fault.OURS}
    assert ours == {ParkReason.NO_TARIFF_LINE, ParkReason.UNKNOWN_ENTERPRISE}
    assert fault_of_parked(ParkReason.IN_FUTURE) is Fault.UNKNOWN
    assert fault_of_parked(ParkReason.IMPOSSIBLE_TIME) is Fault.ENTERPRISE
