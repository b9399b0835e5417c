"""A national platform that is slow, refuses, fails, loses replies and hears twice: each report is held exactly once."""

from datetime import date
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from tests.integration.reporting.other_services import OtherServices
from tests.integration.reporting.reporting_harness import (
    House,
    Keys,
    closed_day,
    make_keys,
    reporting_house,
    statement,
    total,
)
from tests.support.waiting import eventually_async

pytestmark = pytest.mark.exhaustive

DAYS = [date(2026, 10, number) for number in range(1, 9)]
EVERYTHING = {
    "fault_delay_seconds": 0.02,
    "fault_error_share": 0.3,
    "fault_lost_reply_share": 0.3,
    "fault_duplicate_share": 0.3,
    "fault_refusal_share": 0.2,
    "fault_seed": 7,
}


async def receive_a_month(house: House) -> None:
    """Eight days of ten orders, and the statement over them."""
    await house.receive(*(closed_day(day, [total(day, "charged", 10)]) for day in DAYS), statement(80))


async def times_taken(platform_database: str) -> dict[str, int]:
    connection = await asyncpg.connect(platform_database)
    try:
        query = "select report_id, count(*) from national_platform.delivery where outcome = 'taken' group by 1"
        return {row["report_id"]: row["count"] for row in await connection.fetch(query)}
    finally:
        await connection.close()


async def agrees(house: House, platform_database: str) -> None:
    """Nothing is open, each report is held once, and both sides' sums of the month are the same."""
    wanted = [f"coverage.{day}.44" for day in DAYS] + ["declaration.2026-10.44." + (statement(1).enterprise)]
    assert sorted(await times_taken(platform_database)) == sorted(wanted)
    assert set((await times_taken(platform_database)).values()) == {1}
    assert (await house.status())["receipts"] == len(wanted)
    reported: dict[str, Any] = (await house.client.post("/v1/reconciliations", json={"period": "2026-10"})).json()
    assert not reported.get("differences"), reported
    assert await house.discrepancies() == []


async def send_refused_again(house: House) -> int:
    """What an operator does with refusals that were none of our fault."""
    await house.settled()
    refused = [
        discrepancy["report_id"] for discrepancy in await house.discrepancies() if discrepancy["kind"] == "refused"
    ]
    for report_id in refused:
        (await house.client.post(f"/v1/reports/{report_id}/retry")).raise_for_status()
    return len(refused)


async def test_everything_at_once_and_each_report_is_held_once(
    database: str, platform_database: str, tmp_path: Path
) -> None:
    keys = make_keys(tmp_path)
    async with reporting_house(database, platform_database, keys, OtherServices(), EVERYTHING) as house:
        await receive_a_month(house)
        refusals = 0
        while sent_again := await send_refused_again(house):
            refusals += sent_again
        assert refusals
        await agrees(house, platform_database)


async def test_a_platform_slower_than_our_patience_keeps_each_report_once(
    database: str, platform_database: str, tmp_path: Path
) -> None:
    keys: Keys = make_keys(tmp_path)
    slow = {"fault_delay_seconds": 0.6}
    async with reporting_house(
        database, platform_database, keys, OtherServices(), slow, report_timeout_seconds=0.3
    ) as house:
        await receive_a_month(house)

        async def has_tried() -> bool:
            return (await house.status())["sent"] == len(DAYS) + 1

        await eventually_async(has_tried, "an attempt with every report")
        assert (await house.status())["receipts"] == 0
    async with reporting_house(database, platform_database, keys, OtherServices()) as house:
        await house.settled()
        await agrees(house, platform_database)
