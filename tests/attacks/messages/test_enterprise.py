"""An enterprise that leaves orders out: who notices, at which close. Real rows of charging, the real register.

DAY is closed with what came; numbers are judged at the close of the day after, for those given around midnight.
"""

from collections.abc import Callable, Iterable
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest

from services.charging.close.order_findings import DayFinder
from services.charging.queries.orders import Cover, OrderQueries
from shared.contracts.findings import DayFindings, Finding, FindingKind
from shared.contracts.notices import InjuryNoticed, TotalReported
from tests.integration.charging.charging_harness import BEIJING, GUANGDONG, NOON, RIDES, House, Sent, worker
from tests.integration.charging.test_charging_numbers import DAY, Closes, manifest, number
from tests.integration.reporting.other_services import OtherServices
from tests.integration.reporting.reporting_harness import closed_day, make_keys, reporting_house
from tests.support.waiting import eventually_async

pytestmark = pytest.mark.exhaustive

K = FindingKind
ORDERS = 400
INJURED = 123
LATE_SECONDS, WAIT_DAYS = 3_600, 3


def order(value: int, **more: Any) -> Sent:
    """Every tenth of the day is in Beijing; each worker has one order."""
    region = BEIJING if value % 10 == 0 else GUANGDONG
    at = NOON + timedelta(seconds=value)
    return number(value, at, worker_id=worker(value), acceptance_region=region, **more)


def honest_manifest(values: Iterable[int] = range(1, ORDERS + 1), unused: Iterable[int] = ()) -> Sent:
    """A manifest that truthfully declares these numbers and their totals."""
    kept = set(values)
    beijing = sum(value % 10 == 0 for value in kept)
    places = (("11", beijing), ("44", len(kept) - beijing))
    totals = [(province, count, f"{count / 100:.2f}") for province, count in places if count]
    return manifest(DAY, [(n, n) for n in sorted(kept)], [(n, n) for n in sorted(unused)], totals=totals)


class Day:
    """What comes of a day, and what the close of it and of the next find."""

    def __init__(self, house: House) -> None:
        self.house, self.close = house, Closes(house)
        self.finder = DayFinder(house.pool, LATE_SECONDS, WAIT_DAYS)

    async def send(self, *sent: Sent) -> None:
        await (await self.house.worker()).charge(*sent)

    async def found(self, days: int) -> DayFindings:
        """Close DAY or a later one."""
        day = DAY + timedelta(days=days)
        await self.close(day)
        reported = await self.finder.find(day)
        assert reported is not None
        return reported

    async def covers(self, value: int) -> list[Cover]:
        """What the order's worker gets on requesting a receipt for the time under way."""
        at = NOON + timedelta(seconds=value + 1)
        return await OrderQueries(self.house.pool, self.house.scheme.order_spans).covers(worker(value), at)


@pytest.fixture
def day(house: House) -> Day:
    return Day(house)


def of(found: DayFindings, kind: FindingKind) -> list[Finding]:
    return [finding for finding in found.findings if finding.kind is kind]


DROPPED: dict[str, Callable[[int], bool]] = {
    "1 %": lambda value: value in set(Random(4).sample(range(2, ORDERS), ORDERS // 100)),
    "one province": lambda value: value % 10 == 0 and value < ORDERS,
    "the one with an injury notice": lambda value: value == INJURED,
}


@pytest.mark.parametrize("which", sorted(DROPPED))
async def test_numbered_orders_that_are_dropped_are_a_gap_at_the_next_days_close(day: Day, which: str) -> None:
    """And, where the manifest is true, a difference to it, in the province; both name how many."""
    gone = {value for value in range(1, ORDERS + 1) if DROPPED[which](value)}
    await day.send(*[order(value) for value in range(1, ORDERS + 1) if value not in gone], honest_manifest())
    assert of(await day.found(0), K.SEQUENCE_GAP) == []
    findings = await day.found(1)
    (gap,) = of(findings, K.SEQUENCE_GAP)
    assert (gap.enterprise, gap.count) == (RIDES, len(gone))
    assert sum(finding.count for finding in of(findings, K.DECLARED_DIFFERENTLY) if finding.province) == len(gone)
    if which == "one province":
        assert {finding.province for finding in of(findings, K.DECLARED_DIFFERENTLY)} == {"11"}


async def test_numbers_told_to_be_unused_are_noticed_by_their_workers_alone(day: Day) -> None:
    """A false declaration that nothing here contradicts: said in docs/evidence.md as what numbers cannot show."""
    kept = [value for value in range(1, ORDERS + 1) if value != INJURED]
    await day.send(*map(order, kept), honest_manifest(kept, unused=[INJURED]))
    await day.found(0)
    findings = await day.found(1)
    assert [*of(findings, K.SEQUENCE_GAP), *of(findings, K.DECLARED_DIFFERENTLY)] == []
    assert len(await day.covers(INJURED + 1)) == 1
    assert await day.covers(INJURED) == [], "the answer to the worker says at once that there is no such order"


async def test_an_industry_without_enrolment_is_a_finding_at_the_days_own_close(day: Day) -> None:
    freight = order(2, industry="intracity_freight")
    await day.send(order(1), freight)
    (unenrolled,) = of(await day.found(0), K.NOT_ENROLLED)
    assert [order.order_id for order in unenrolled.orders] == ["o2"]
    assert (unenrolled.enterprise, unenrolled.evidence["industry"]) == (RIDES, "intracity_freight")


async def test_orders_dropped_before_they_are_numbered_are_noticed_from_outside(
    day: Day, database: str, platform_database: str, tmp_path: Path
) -> None:
    """Series and manifest are sound; an independent total, an injury notice and a receipt request show it."""
    sent = ORDERS - ORDERS // 100
    values = range(1, sent + 1)
    await day.send(*map(order, values), honest_manifest(values))
    closes = [await day.found(0), await day.found(1)]
    assert [finding.kind for findings in closes for finding in findings.findings] == []
    lost = worker(sent + 1)
    assert await day.covers(sent + 1) == []
    at = NOON + timedelta(minutes=1)
    notice = InjuryNoticed(notice_id="n-1", worker_id=lost, injured_at=at, noticed_at=at, enterprise=RIDES)
    total = TotalReported(source="meters", enterprise=RIDES, day=DAY, count=ORDERS)
    async with reporting_house(database, platform_database, make_keys(tmp_path), OtherServices()) as reporting:
        await reporting.receive(notice, total)
        reporting.others.findings[str(DAY)] = closes[0]
        await reporting.receive(closed_day(DAY, []))

        async def has_both() -> bool:
            return {discrepancy["kind"] for discrepancy in await reporting.discrepancies()} == {
                "injury_without_order",
                "independent_total",
            }

        await eventually_async(has_both, "both findings")
        (counted,) = [
            discrepancy for discrepancy in await reporting.discrepancies() if discrepancy["kind"] == "independent_total"
        ]
        assert (counted["count"], counted["enterprise"]) == (ORDERS - sent, RIDES)
