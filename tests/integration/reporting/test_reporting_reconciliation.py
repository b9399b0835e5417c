"""Month's end: what the platform holds against what was sent, and the state of payment."""

from collections.abc import Callable
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from tests.integration.reporting.other_services import OtherServices
from tests.integration.reporting.reporting_harness import (
    BLUE,
    GREEN,
    closed_day,
    first_time,
    make_keys,
    reporting_house,
    statement,
    total,
)

DAY, NEXT = date(2026, 10, 3), date(2026, 10, 4)
OPEN = Callable[..., Any]


@pytest.fixture
def open_house(database: str, platform_database: str, tmp_path: Path) -> OPEN:
    """`reporting_house` over this test's databases and keys."""
    return partial(reporting_house, database, platform_database, make_keys(tmp_path))


def plain_day(day: date = DAY, orders: int = 90) -> Any:
    """Charged orders of one enterprise in one province, without first-time workers."""
    return closed_day(day, [total(day, "charged", orders)])


async def test_reconciliation_names_every_difference_and_settles_what_is_gone(
    open_house: OPEN, platform_database: str
) -> None:
    async def reconcile(house: Any) -> tuple[int, dict[str, Any]]:
        answer = await house.client.post("/v1/reconciliations", json={"period": "2026-10"})
        return answer.status_code, answer.json()

    async with open_house(OtherServices()) as house:
        await house.receive(plain_day(), statement(91), statement(4, GREEN))
        await house.settled()
        assert await reconcile(house) == (200, {"differences": 3})
        assert await reconcile(house) == (200, {"differences": 3})
        assert [(discrepancy["kind"], discrepancy["enterprise"]) for discrepancy in await house.discrepancies()] == [
            ("orders", BLUE),
            ("exact_yuan", BLUE),
            ("reports_missing", GREEN),
        ]
        # What was missing comes after all.
        await house.receive(closed_day(NEXT, [total(NEXT, "charged", 1), total(NEXT, "charged", 4, enterprise=GREEN)]))
        await house.settled()
        assert await reconcile(house) == (200, {"differences": 0})
        assert await house.discrepancies() == []
        assert len(await house.discrepancies("corrected")) == 3
    async with open_house(OtherServices(is_away=True)) as house:
        last = date(2026, 10, 5)
        await house.receive(closed_day(last, [total(last, "charged", 1)], first_time=[first_time(1)]))
        assert (await reconcile(house))[0] == 409


async def test_reports_that_the_platform_no_longer_holds_are_named(open_house: OPEN, platform_database: str) -> None:
    async with open_house(OtherServices()) as house:
        await house.receive(plain_day(), statement(90))
        await house.settled()
        owner = await asyncpg.connect(platform_database)
        try:
            await owner.execute(
                "alter table national_platform.receipt disable trigger append_only;"
                "delete from national_platform.receipt where report_id like 'coverage%';"
                "update national_platform.receipt set body_sha256 = repeat('0', 64)"
            )
        finally:
            await owner.close()
        answer = await house.client.post("/v1/reconciliations", json={"period": "2026-10"})
        assert answer.json() == {"differences": 2}
        assert {(discrepancy["kind"], discrepancy["report_id"]) for discrepancy in await house.discrepancies()} == {
            ("not_held", "coverage.2026-10-03.44"),
            ("held_differently", f"declaration.2026-10.44.{BLUE}"),
        }


async def test_the_state_of_payment_is_reported_once_a_day(open_house: OPEN) -> None:
    item = {
        "enterprise": BLUE,
        "province": "44",
        "statement_id": f"2026-10.44.{BLUE}",
        "due_on": "2026-11-16",
        "due_yuan": "22.50",
        "remitted_yuan": "20.00",
        "outstanding_yuan": "2.50",
        "arrears_yuan": "2.50",
        "late_fee_yuan": "0.00",
        "more": "is not reported",
    }
    others = OtherServices(payments=[item])
    async with open_house(others) as house:
        await house.receive(statement(90))
        for new in (1, 0):
            answer = await house.client.post("/v1/payment-reports", json={"period": "2026-10", "as_of": "2026-11-20"})
            assert answer.json() == {"reports": 1, "new": new}
        assert (await house.settled())["receipts"] == 2
        assert "payment.2026-10.44.2026-11-20" in (await house.platform.get("/v1/reports")).text
        page = (await house.page(f"/statements/2026-10.44.{BLUE}?as_of=2026-11-20", "key-blue")).text
        assert "2026-11-20" in page
        assert "20.00" in page
        others.is_away = True
        answer = await house.client.post("/v1/payment-reports", json={"period": "2026-10", "as_of": "2026-11-21"})
        assert answer.status_code == 503
