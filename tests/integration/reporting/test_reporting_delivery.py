"""Reporting builds what is due once, sends it until there is an answer, and names every discrepancy."""

from collections.abc import Callable
from datetime import date
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest

from shared.contracts.topics import DAYS_CLOSED
from tests.integration.reporting.other_services import OtherServices
from tests.integration.reporting.reporting_harness import (
    BLUE,
    GREEN,
    ROLE_PASSWORD,
    WORKER,
    Keys,
    bearer,
    closed_day,
    first_time,
    make_keys,
    reporting_house,
    statement,
    total,
    worker_count,
)
from tests.support.waiting import eventually_async

DAY, NEXT = date(2026, 10, 3), date(2026, 10, 4)
OPEN = Callable[..., Any]


@pytest.fixture
def open_house(database: str, platform_database: str, tmp_path: Path) -> OPEN:
    """`reporting_house` over this test's databases and keys."""
    return partial(reporting_house, database, platform_database, make_keys(tmp_path))


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return make_keys(tmp_path)


def plain_day(day: date = DAY, orders: int = 90) -> Any:
    """Charged orders of one enterprise in one province, without first-time workers."""
    return closed_day(day, [total(day, "charged", orders)])


async def held(platform: httpx.AsyncClient) -> list[str]:
    rows = (await platform.get("/v1/reports")).raise_for_status().json()["reports"]
    return [row["report_id"] for row in rows]


async def fetch(url: str, query: str) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(url)
    try:
        rows: list[asyncpg.Record] = await connection.fetch(query)
        return rows
    finally:
        await connection.close()


async def test_a_closed_day_is_reported_to_each_province(open_house: OPEN, database: str) -> None:
    tokens = sorted(f"{number:064x}" for number in range(5))
    others = OtherServices(tokens={("2026-10-04", "44"): tokens})
    others.exclusions[("2026-10-04", "44")] = [
        {"enterprise": BLUE, "worker_id": WORKER, "employer_insurance_no": "E-1", "orders": 3}
    ]
    reported = closed_day(
        NEXT,
        [
            total(NEXT, "charged", 100),
            total(NEXT, "reversed", 10, reason="cancelled"),
            total(DAY, "charged", 1),
            total(DAY, "reversed", 3, reason="resent"),
            total(NEXT, "charged", 7, enterprise=GREEN, tariff_line=9, premium=4_900),
            total(NEXT, "excluded", 3, reason="insured_as_employee"),
            total(NEXT, "excluded", 2, province="66", reason="province_not_in_pilot"),
            total(NEXT, "recorded", 80, reason="completion"),
            total(NEXT, "parked", 2, province=None, insured_on=None, industry=None, reason="no_tariff"),
        ],
        workers=[worker_count(NEXT, BLUE, 40), worker_count(NEXT, GREEN, 5), worker_count(NEXT, None, 43)],
        first_time=[first_time(5)],
    )
    async with open_house(others, registration_tokens=2) as house:
        await house.receive(reported)
        status = await house.settled()
        assert (status["reports"], status["sent"], status["receipts"], status["refused"]) == (5, 5, 5, 0)
        assert await held(house.platform) == [
            "coverage.2026-10-04.44",
            "coverage.2026-10-04.66",
            "registration.2026-10-04.44.1",
            "registration.2026-10-04.44.2",
            "registration.2026-10-04.44.3",
        ]
        report = (await house.platform.get("/v1/reports/coverage.2026-10-04.44")).json()
        assert (report["orders"], report["premium_yuan"]) == (95, "22.49")
        assert [(line["insured_on"], line["orders"], line["premium_yuan"]) for line in report["lines"]] == [
            ("2026-10-03", -2, "-0.50"),
            ("2026-10-04", 90, "22.50"),
            ("2026-10-04", 7, "0.49"),
        ]
        assert (report["province_workers"], report["first_time_workers"]) == (43, 5)
        assert report["employee_exclusions"] == others.exclusions[("2026-10-04", "44")]
        parts = [(await house.platform.get(f"/v1/reports/registration.2026-10-04.44.{n}")).json() for n in (1, 2, 3)]
        assert [token for part in parts for token in part["workers"]] == tokens
        receipts = (await house.client.get("/v1/receipts", params={"period": "2026-10"})).json()["receipts"]
        assert [receipt["report_id"] for receipt in receipts] == await held(house.platform)
        assert await house.discrepancies() == [
            discrepancy for discrepancy in await house.discrepancies() if discrepancy["kind"] == "unconfirmed_exclusion"
        ]
    sent = await fetch(database, "select body from reporting.report where report_id = 'coverage.2026-10-04.44'")
    assert b'"profile":"danbao/1"' in sent[0]["body"]


async def test_what_is_told_again_changes_nothing(open_house: OPEN) -> None:
    async with open_house(OtherServices()) as house:
        await house.receive(plain_day(), statement(90), plain_day(), statement(90))
        assert (await house.settled())["reports"] == 2
        await house.receive(plain_day(orders=91), statement(91))
        status = await house.settled()
        assert (status["reports"], status["discrepancies"]) == (2, 2)
        assert [discrepancy["kind"] for discrepancy in await house.discrepancies()] == ["different_content"] * 2
        report = (await house.platform.get("/v1/reports/coverage.2026-10-03.44")).json()
        assert report["orders"] == 90


async def test_an_unreadable_message_is_kept_and_holds_up_nothing(open_house: OPEN, database: str) -> None:
    async with open_house(OtherServices()) as house:
        for body in (b"", b"\xff\x00", b'{"day": "2026-10-03"}'):
            assert await house.read(DAYS_CLOSED, body) is not None
        await house.receive(plain_day())
        assert (await house.settled())["receipts"] == 1
        assert [discrepancy["kind"] for discrepancy in await house.discrepancies()] == ["unreadable_message"] * 3
        assert (await house.status())["refused_messages"] == 3
    kept = await fetch(database, "select reason, sha256 from reporting.refused_message order by refused_id")
    assert [tuple(row) for row in kept] == [
        ("undecodable", sha256(body).digest()) for body in (b"", b"\xff\x00", b'{"day": "2026-10-03"}')
    ]


@pytest.mark.parametrize("knob", ["fault_lost_reply_share", "fault_error_share", "fault_duplicate_share"])
async def test_faults_on_the_way_leave_exactly_one_report(open_house: OPEN, platform_database: str, knob: str) -> None:
    days = [date(2026, 10, number) for number in range(1, 11)]
    async with open_house(OtherServices(), faults={knob: 0.4, "fault_seed": 3}) as house:
        await house.receive(*(plain_day(day) for day in days))
        status = await house.settled()
        assert (status["reports"], status["receipts"], status["discrepancies"]) == (10, 10, 0)
        assert await held(house.platform) == [f"coverage.{day}.44" for day in days]
    counts = await fetch(
        platform_database,
        "select body_sha256, count(*) filter (where outcome = 'taken') as taken, count(*) as heard"
        " from national_platform.delivery group by body_sha256",
    )
    assert [row["taken"] for row in counts] == [1] * 10
    if knob != "fault_error_share":
        assert sum(row["heard"] for row in counts) > 10


async def test_a_refusal_is_a_discrepancy_until_it_is_mended(open_house: OPEN) -> None:
    async with open_house(OtherServices(), faults={"fault_refusal_share": 1.0}) as house:
        await house.receive(plain_day(), plain_day(NEXT))
        status = await house.settled()
        assert (status["sent"], status["receipts"], status["refused"]) == (2, 0, 2)
        rows = await house.discrepancies()
        assert sorted((row["kind"], row["report_id"], row["province"]) for row in rows) == [
            ("refused", "coverage.2026-10-03.44", "44"),
            ("refused", "coverage.2026-10-04.44", "44"),
        ]
    async with open_house(OtherServices()) as house:
        assert (await house.client.post("/v1/reports/coverage.2026-10-03.44/retry")).json() == {"state": "pending"}
        assert (await house.settled())["receipts"] == 1
        assert [discrepancy["day"] for discrepancy in await house.discrepancies()] == ["2026-10-04"]
        assert [discrepancy["day"] for discrepancy in await house.discrepancies("corrected")] == ["2026-10-03"]
        assert (await house.client.post("/v1/reports/coverage.2026-10-03.44/retry")).status_code == 404


async def test_attempts_have_a_limit(open_house: OPEN) -> None:
    async with open_house(OtherServices(), faults={"fault_error_share": 1.0}, report_attempts=3) as house:
        await house.receive(plain_day())
        assert (await house.settled())["undeliverable"] == 1
        rows = await house.discrepancies()
        assert [row["kind"] for row in rows] == ["undeliverable"]
        assert "3 attempts" in rows[0]["detail"]


async def test_nothing_is_lost_while_charging_is_away(open_house: OPEN) -> None:
    others = OtherServices(tokens={("2026-10-03", "44"): [WORKER]}, is_away=True)
    async with open_house(others) as house:
        await house.receive(closed_day(DAY, [total(DAY, "charged", 1)], first_time=[first_time(1)]), plain_day(NEXT))

        async def other_day_is_built() -> bool:
            return bool((await house.status())["receipts"] == 1)

        await eventually_async(other_day_is_built, "the day that needs nothing of charging")
        assert (await house.status())["unbuilt_days"] == 1
        others.is_away = False
        assert (await house.settled())["receipts"] == 3


async def test_what_was_built_is_sent_after_a_new_start(open_house: OPEN) -> None:
    unsent = {"fault_error_share": 1.0}
    async with open_house(OtherServices(), faults=unsent, report_retry_seconds=1.0) as house:
        await house.receive(plain_day())

        async def was_tried() -> bool:
            return bool((await house.status())["sent"] == 1)

        await eventually_async(was_tried, "a first attempt")
    async with open_house(OtherServices()) as house:
        status = await house.settled()
        assert (status["reports"], status["receipts"], status["discrepancies"]) == (1, 1, 0)


async def test_other_counts_of_first_time_workers_are_named(open_house: OPEN) -> None:
    others = OtherServices(tokens={("2026-10-03", "44"): [WORKER]})
    async with open_house(others) as house:
        await house.receive(closed_day(DAY, [total(DAY, "charged", 2)], first_time=[first_time(2)]))
        await house.settled()
        rows = await house.discrepancies()
        assert [(row["kind"], row["declared"], row["reported"]) for row in rows] == [("registration_count", "2", "1")]


async def test_a_day_that_no_report_can_hold_is_named_and_holds_up_no_other(open_house: OPEN) -> None:
    async with open_house(OtherServices()) as house:
        await house.receive(closed_day(DAY, [total(DAY, "charged", 3, premium=100)]), plain_day(NEXT))

        async def has_receipt() -> bool:
            return bool((await house.status())["receipts"] == 1)

        await eventually_async(has_receipt, "the other day's receipt")
        assert [(discrepancy["kind"], discrepancy["day"]) for discrepancy in await house.discrepancies()] == [
            ("unbuildable", "2026-10-03")
        ]


async def test_unconfirmed_exclusions_become_discrepancies(open_house: OPEN, tmp_path: Path) -> None:
    roster = tmp_path / "roster.csv"
    roster.write_text(
        f"worker_id,employer_insurance_no,valid_from,valid_to\n{WORKER},E-1,2026-01-01,\n", encoding="utf-8"
    )
    named = [
        {"enterprise": BLUE, "worker_id": WORKER, "employer_insurance_no": number, "orders": 2}
        for number in ("E-1", "E-2")
    ]
    others = OtherServices(exclusions={("2026-10-03", "44"): named})
    async with open_house(others, faults={"platform_roster": roster}) as house:
        await house.receive(closed_day(DAY, [total(DAY, "excluded", 4, reason="insured_as_employee")]))
        await house.settled()
        rows = await house.discrepancies()
        assert [(row["kind"], row["enterprise"]) for row in rows] == [("unconfirmed_exclusion", BLUE)]
        assert "E-2" in rows[0]["detail"]
        page = (await house.page("/reports/2026-10-03/44", "key-44")).text
        assert page.count('<span class="state bad">') == 1


@pytest.mark.parametrize("path", ["/v1/status", "/v1/receipts"])
async def test_the_interface_needs_the_service_key(open_house: OPEN, path: str) -> None:
    async with open_house(OtherServices()) as house:
        assert (await house.client.get(path, headers=bearer("made-up"))).status_code == 401
        assert (await house.client.get(path, headers=bearer("key-national"))).status_code == 403
        assert (await house.client.get(path)).status_code == 200
        assert (await house.client.get("/readyz")).json() == {"ready": True, "reasons": {}}


async def test_what_was_published_is_never_changed(open_house: OPEN, database: str) -> None:
    async with open_house(OtherServices()) as house:
        await house.receive(plain_day())
        await house.settled()
    as_service = await asyncpg.connect(f"postgresql://danbao_reporting:{ROLE_PASSWORD}@{database.rpartition('@')[2]}")
    as_owner = await asyncpg.connect(database)
    tables = ("day_closed", "statement_issued", "report", "share", "receipt", "discrepancy", "discrepancy_state")
    try:
        for table in tables:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await as_service.execute(f"delete from reporting.{table}")
            with pytest.raises(asyncpg.RestrictViolationError):
                await as_owner.execute(f"delete from reporting.{table}")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await as_service.execute("delete from reporting.delivery")
    finally:
        await as_service.close()
        await as_owner.close()
