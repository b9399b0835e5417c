"""Real input: 6,500 rides, replayed into October 2026 by a mapping given on the command line."""

from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from services.audit.run import audit_all
from services.demo.demo import OCTOBER, audit_sources
from services.demo.driver import close_day, closes_at
from services.demo.running.system import System, Wishes, running_system
from tests.e2e.processes import CHECKOUT, run

TAXIS = CHECKOUT.parent / "shared" / "data" / "nyc-taxis" / "taxis.csv"
pytestmark = [
    pytest.mark.exhaustive,
    pytest.mark.usefixtures("own_parts"),
    pytest.mark.skipif(not TAXIS.exists(), reason="the folder with the rides is not next to the checkout"),
]
ENTERPRISES = "VendorID=1:91000000FAKE00001F,2:91000000FAKE00002J,4:91000000FAKE00003M"
MAPPING = (
    "--industry", "ride_hailing", "--accepted-at", "tpep_pickup_datetime", "--completed-at", "tpep_dropoff_datetime",
    "--enterprise", ENTERPRISES, "--region", "PULocationID", "--region-rule", "spread", "--order-id", "row",
    "--worker", "PULocationID,hour", "--shift-to", "2026-10",
)  # fmt: skip


@pytest.fixture
async def system(tmp_path: Path) -> AsyncIterator[System]:
    """A system whose books begin with October 2026."""
    async with running_system(Wishes(tmp_path, books_open_on=OCTOBER.first_day)) as system:
        yield system


async def outcomes(system: System) -> Counter[tuple[str, str | None]]:
    """Events in the books by outcome and reason, for both months."""
    counted: Counter[tuple[str, str | None]] = Counter()
    for period in ("2026-10", "2026-11"):
        for total in (await system.apis.ledger.get("/v1/totals", period=period))["totals"]:
            counted[total["outcome"], total["reason"]] += total["orders"]
    return counted


async def test_all_rides_are_charged_and_the_audit_passes(system: System, open_folder: Path) -> None:
    arguments = ("replay", str(TAXIS), "--state", str(system.directory), "--wait", "--json", *MAPPING)
    status, out, err = run(*arguments, temporary=open_folder)
    assert status == 0, err
    assert '"sent": 13000' in out
    counted = await outcomes(system)
    assert counted == {
        ("charged", None): 6_500,
        ("recorded", "completion"): 6_500,
    }
    for number in range(3):
        day = OCTOBER.first_day + timedelta(days=number)
        await close_day(system.apis, day, closes_at(day, system.settings.close_after_hours))
    verdict = await audit_all(audit_sources(system))
    assert [check.findings for check in verdict.checks if not check.has_passed] == []
    status, out, err = run(*arguments, temporary=open_folder)
    assert status == 0, err
    assert (await outcomes(system)) - counted == {
        ("repeat", None): 13_000,
    }
