"""A quarter through charging and the register: complete data give no finding; one dropped order does.

`test_reporting_quarter.py` holds larger days against their own history.
"""

from datetime import date, timedelta

import msgspec
import pytest

from services.charging.close.order_findings import DayFinder
from shared.contracts.notices import TotalReported
from shared.domain.calendar import day_start
from tests.generators.quarter_orders import Quarter
from tests.integration.charging.charging_harness import House, Sent
from tests.integration.reporting.reporting_harness import closed_day
from tests.integration.reporting.test_reporting_quarter import Register, open_register

pytestmark = pytest.mark.exhaustive

SEED, DAYS = 11, 91
DROPPED = 100
"""An order of the second day."""
LATE_SECONDS, WAIT_DAYS, GAP_DAYS = 3_600, 3, 7
Found = tuple[str, str | None, date | None, int]
"""Kind, province, insured day, count."""


async def play(house: House, register: Register, quarter: Quarter, days: int) -> list[Found]:
    """Charge each day what came until noon of the next, close it, examine it; all that charging finds."""
    one, finder = await house.worker(), DayFinder(house.pool, LATE_SECONDS, WAIT_DAYS)
    findings: list[Found] = []
    coming: list[Sent] = []
    previous: dict[str, int] = {}
    for day, made in quarter.days(days):
        noon = day_start(day) + timedelta(hours=36)
        coming = sorted([*coming, *made.sent], key=lambda each: each.at)
        due = [event for event in coming if event.at < noon]
        coming = coming[len(due) :]
        await one.charge(*due[: len(due) // 2])
        await one.charge(*due[len(due) // 2 :])
        counted = await house.close(str(day), await house.cut(), previous, gap_days=GAP_DAYS)
        previous = await house.cut()
        reported = await finder.find(day)
        assert reported is not None
        findings += [
            (finding.kind.value, finding.province, finding.insured_on, finding.count) for finding in reported.findings
        ]
        register.others.findings[str(day)] = reported
        for uscc, orders in made.orders.items():
            total = TotalReported(source="meters", enterprise=uscc, day=day, count=orders)
            await register.intake.take_total(msgspec.json.encode(total))
        await register.intake.take_day_closed(msgspec.json.encode(closed_day(day, counted.totals)))
        await register.examiner.step()
    return findings


@pytest.mark.parametrize("dropped", [None, DROPPED], ids=["clean", "one order dropped"])
async def test_a_quarter_raises_no_finding_unless_an_order_was_dropped(
    house: House, database: str, dropped: int | None
) -> None:
    """The dropped one is named by its number, by the day's manifest and by another's total; nothing else is."""
    async with open_register(database) as register:
        findings = await play(house, register, Quarter(SEED, dropped), DAYS if dropped is None else 12)
        registered = await register.found()
    parked = await house.value("select count(*) from charging.parked")
    assert parked == 0
    if dropped is None:
        assert await house.value("select count(*) from charging.entry where kind = 1") > 50 * DAYS
        assert (findings, registered) == ([], set())
        return
    day = min(insured_on for _, _, insured_on, _ in findings if insured_on is not None)
    assert sorted(findings, key=str) == [
        ("declared_differently", "44", day, 1),
        ("presumed_orders", None, day, 1),
        ("sequence_gap", None, day, 1),
    ]
    assert {kind for kind, _, _ in registered} == {kind for kind, *_ in findings} | {"independent_total"}
