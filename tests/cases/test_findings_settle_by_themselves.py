"""A finding that is no longer so is settled by danbao, which says since when and why; what is left is said, too."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from shared.contracts.findings import DayFindings, Finding, FindingKind
from tests.integration.charging.charging_harness import NOON, charging_template, copied_database, open_house
from tests.integration.charging.charging_harness import House as ChargingHouse
from tests.integration.charging.test_charging_numbers import DAY, Closes, manifest, number
from tests.integration.charging.test_charging_series import findings
from tests.integration.reporting.other_services import OtherServices
from tests.integration.reporting.reporting_harness import BLUE, closed_day, make_keys, reporting_house
from tests.integration.reporting.reporting_harness import House as ReportingHouse
from tests.support.servers import Postgres

ONE = timedelta(days=1)
GAPS = {FindingKind.SEQUENCE_GAP, FindingKind.PRESUMED_ORDERS}


def of_gaps(found: list[Finding]) -> list[tuple[str, int, bool]]:
    return sorted((finding.kind.value, finding.count, finding.is_settled) for finding in found if finding.kind in GAPS)


@pytest.fixture
async def house(postgres: Postgres) -> AsyncIterator[ChargingHouse]:
    async with charging_template(postgres) as name, copied_database(postgres, name) as url, open_house(url) as opened:
        yield opened


async def test_a_close_says_what_is_left_of_a_gap(house: ChargingHouse) -> None:
    """Numbers that arrive, or are declared unused, leave the gap; when none is left it is settled, once."""
    one, close = await house.worker(), Closes(house)
    await one.charge(*map(number, (1, 2, 3, 7, 8)))
    await close(DAY)
    await close(DAY + ONE)
    assert of_gaps(await findings(house, DAY + ONE)) == [("sequence_gap", 3, False)]
    await one.charge(number(4))
    await close(DAY + 2 * ONE)
    left = await findings(house, DAY + 2 * ONE)
    assert of_gaps(left) == [("sequence_gap", 2, False)]
    assert "1 numbers of series main arrived or were declared unused, 2 are missing" in left[0].detail
    await close(DAY + 3 * ONE)
    assert of_gaps(await findings(house, DAY + 3 * ONE)) == [("presumed_orders", 2, False)]
    await one.charge(number(5), manifest(DAY, [(1, 5), (7, 8)], [(6, 6)], at=NOON + 3 * ONE))
    await close(DAY + 4 * ONE)
    settled = await findings(house, DAY + 4 * ONE)
    assert of_gaps(settled) == [("presumed_orders", 0, True), ("sequence_gap", 0, True)]
    text = next(finding.detail for finding in settled if finding.kind == "sequence_gap")
    assert text == f"{DAY + 4 * ONE}: all 3 numbers of series main arrived or were declared unused"
    await close(DAY + 5 * ONE)
    assert of_gaps(await findings(house, DAY + 5 * ONE)) == []
    assert of_gaps(await findings(house, DAY + ONE)) == [("sequence_gap", 3, False)], "queried again"


@pytest.fixture
async def reporting(database: str, platform_database: str, tmp_path: Path) -> AsyncIterator[ReportingHouse]:
    async with reporting_house(database, platform_database, make_keys(tmp_path), OtherServices()) as opened:
        yield opened


async def test_the_register_settles_what_charging_names_as_settled(reporting: ReportingHouse) -> None:
    gap = Finding(
        kind=FindingKind.SEQUENCE_GAP, key=f"{BLUE}.s1.{DAY}", enterprise=BLUE, insured_on=DAY, count=1,
        detail="1 numbers of series s1 came with no acceptance", evidence={"series": "s1", "numbers": ["185"]},
        orders=[],
    )  # fmt: skip
    words = f"{DAY + ONE}: all 1 numbers of series s1 arrived or were declared unused"
    over = Finding(
        kind=gap.kind, key=gap.key, enterprise=BLUE, insured_on=DAY, count=0, detail=words, is_settled=True,
        evidence={"series": "s1", "numbers": []}, orders=[],
    )  # fmt: skip
    other = Finding(
        kind=gap.kind, key=f"{BLUE}.s2.{DAY}", enterprise=BLUE, insured_on=DAY, count=0, detail=words, is_settled=True,
        evidence={"series": "s2", "numbers": []}, orders=[],
    )  # fmt: skip
    reporting.others.findings = {
        str(DAY): DayFindings(findings=[gap], delays=[]),
        str(DAY + ONE): DayFindings(findings=[over, other], delays=[]),
    }
    await reporting.receive(closed_day(DAY, []))
    await reporting.examined()
    (row,) = await reporting.discrepancies()
    await reporting.receive(closed_day(DAY + ONE, []))
    await reporting.examined()
    assert await reporting.discrepancies() == []
    whole = (await reporting.client.get(f"/v1/discrepancies/{row['id']}")).json()
    assert [(entry["state"], entry["actor"], entry["note"]) for entry in whole["history"]] == [
        ("open", "danbao", "found"),
        ("corrected", "danbao", words),
    ]
