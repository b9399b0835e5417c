"""One day, statement, notice, total or report that cannot be worked on is set aside by name; all others are done.

The poisoned items are written into reporting's tables as if they had come in before a bound was known: stored
rows may be older than the contract types' refusals, and the steps have to get past them.
"""

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import asyncpg
import httpx
import msgspec
import pytest

from services.reporting.delivery.reconcile import reconcile
from shared.adapters.http.national_platform import NationalPlatform
from shared.adapters.postgres.engine import open_engine
from shared.contracts.manifests import Total
from shared.contracts.notices import InjuryNoticed, TotalReported
from shared.domain.calendar import SHANGHAI
from tests.integration.reporting.other_services import OtherServices
from tests.integration.reporting.reporting_harness import (
    BLUE,
    GREEN,
    WORKER,
    House,
    closed_day,
    make_keys,
    migrate_reporting,
    reporting_house,
    statement,
    total,
)
from tests.support.waiting import eventually_async

GOOD: Final = date(2026, 10, 20)
NOON: Final = datetime(2026, 10, 20, 12, tzinfo=SHANGHAI)
HUGE: Final = 2**62
BOUND: Final = "refused undecodable"
"""Beyond a bound of the figures, or of the message's type where that has one."""


Opened = tuple[House, asyncpg.Connection]


@asynccontextmanager
async def poisoned_house(
    database: str, platform_database: str, folder: Path, others: OtherServices
) -> AsyncIterator[Opened]:
    """Reporting, and a connection of the tables' owner."""
    async with reporting_house(database, platform_database, make_keys(folder), others) as house:
        owner = await asyncpg.connect(database)
        try:
            yield house, owner
        finally:
            await owner.close()


@pytest.fixture
def others() -> OtherServices:
    return OtherServices()


@pytest.fixture
async def opened(database: str, platform_database: str, tmp_path: Path, others: OtherServices) -> AsyncIterator[Opened]:
    async with poisoned_house(database, platform_database, tmp_path, others) as house:
        yield house


async def plant(owner: asyncpg.Connection, table: str, body: bytes, **columns: Any) -> None:
    """Write a kept message, with its columns as the intake of that time took them out of it."""
    row = columns | {"body": body, "body_sha256": hashlib.sha256(body).hexdigest()}
    places = ", ".join(f"${number}" for number in range(1, len(row) + 1))
    await owner.execute(f"insert into reporting.{table} ({', '.join(row)}) values ({places})", *row.values())


async def plant_day(owner: asyncpg.Connection, day: date, body: bytes | None = None, *totals: Total) -> None:
    reported = msgspec.json.encode(closed_day(day, list(totals))) if body is None else body
    await plant(owner, "day_closed", reported, day=day, as_of=NOON)


async def plant_statement(owner: asyncpg.Connection, enterprise: str, reported: bytes | dict[str, Any]) -> str:
    """A statement with these fields, or these fields of its line, changed; or just these bytes."""
    name = f"2026-10.44.{enterprise}"
    if isinstance(reported, dict):
        fields = msgspec.json.decode(msgspec.json.encode(statement(4, enterprise)))
        (fields["lines"][0] if reported.keys() <= fields["lines"][0].keys() else fields).update(reported)
        reported = msgspec.json.encode(fields)
    columns = {"statement_id": name, "period": "2026-10", "province": "44", "enterprise": enterprise}
    await plant(owner, "statement_issued", reported, **columns)
    return name


async def set_aside(house: House) -> dict[tuple[str, str], str]:
    """Step and item to reason, of everything that is set aside."""
    answer = (await house.client.get("/v1/set-aside")).raise_for_status().json()
    return {(item["step"], item["item"]): item["reason"] for item in answer["items"]}


async def wait_for(house: House, expected: dict[tuple[str, str], str]) -> None:
    """Wait until exactly these are set aside, each for a reason named; a difference is shown as one."""
    seen: dict[tuple[str, str], str] = {}

    async def is_so() -> bool:
        nonlocal seen
        seen = await set_aside(house)
        return seen.keys() == expected.keys()

    try:
        await eventually_async(is_so, "every poisoned item set aside")
    finally:
        assert seen.keys() == expected.keys()
    assert {item: reason for item, reason in seen.items() if reason not in expected[item]} == {}


async def wait_until_done(house: House, receipts: int) -> None:
    async def are_done() -> bool:
        status = await house.status()
        return status["pending"] == 0 and status["receipts"] == receipts

    await eventually_async(are_done, "receipts of all good reports")
    assert not [reason for reason in (await house.service.reasons()).values() if "no progress" in reason]


async def unbuildable(house: House, state: str = "open") -> dict[str, dict[str, Any]]:
    """Findings of what is set aside, by key."""
    rows = (await house.client.get("/v1/discrepancies", params={"kind": "unbuildable"})).json()["discrepancies"]
    whole = [(await house.client.get(f"/v1/discrepancies/{row['id']}")).json() for row in rows]
    return {discrepancy["key"]: discrepancy for discrepancy in whole if discrepancy["state"] == state}


async def values(owner: asyncpg.Connection, query: str) -> set[Any]:
    return {row[0] for row in await owner.fetch(query)}


STATEMENTS: Final[list[tuple[bytes | dict[str, Any], dict[str, str]]]] = [
    # what came in, reason by step
    ({"insured_month": "september"}, {"build_declaration": BOUND, "project_statement": BOUND}),
    ({"amount": HUGE * 8}, {"build_declaration": BOUND, "project_statement": BOUND}),
    ({"base_amount": HUGE}, {"build_declaration": BOUND, "project_statement": BOUND}),
    ({"orders": -HUGE}, {"build_declaration": BOUND, "project_statement": BOUND}),
    ({"province": "zz"}, {"build_declaration": BOUND, "project_statement": BOUND}),
    ({"statement_id": "another"}, {"build_declaration": BOUND, "project_statement": BOUND}),
    ({"due_on": "2026-02-30"}, {"build_declaration": "undecodable", "project_statement": "undecodable"}),
    (b"hello", {"build_declaration": "undecodable", "project_statement": "undecodable"}),
    (b"\xff\xfe", {"build_declaration": "undecodable", "project_statement": "undecodable"}),
    (b"[" * 5_000, {"build_declaration": "undecodable", "project_statement": "undecodable"}),
]


async def test_a_statement_that_no_report_can_hold_is_named_and_all_others_are_declared(opened: Opened) -> None:
    """K14: one transaction built all declarations, before everything else; its first bad one ended all of them."""
    house, owner = opened
    expected: dict[tuple[str, str], str] = {}
    for number, (reported, reasons) in enumerate(STATEMENTS):
        name = await plant_statement(owner, f"91110000FAKE{number:06}", reported)
        expected |= {(step, name): reason for step, reason in reasons.items()}
    await house.receive(statement(9, GREEN), closed_day(GOOD, [total(GOOD, "charged", 9)]))
    await wait_for(house, expected)
    await wait_until_done(house, 2)
    declared = await values(owner, "select statement_id from reporting.report where kind = 'declaration'")
    assert declared == {f"2026-10.44.{GREEN}"}
    assert f"2026-10.44.{GREEN}" in await values(owner, "select statement_id from reporting.statement_sum")
    unbuilt = await unbuildable(house)
    assert unbuilt.keys() == {f"{step}.{name}" for step, name in expected}
    assert {item["enterprise"] for item in unbuilt.values()} == {f"91110000FAKE{n:06}" for n in range(len(STATEMENTS))}
    assert not [
        item["detail"] for item in unbuilt.values() if "insert" in item["detail"] or "parameters" in item["detail"]
    ]
    await eventually_async(lambda: shows_metric(house, "build_declaration", len(STATEMENTS)), "the metric")


async def shows_metric(house: House, step: str, count: int) -> bool:
    line = f'danbao_reporting_set_aside{{step="{step}"}} {count:.1f}'
    return line in (await house.client.get("/metrics")).text


async def test_a_day_that_cannot_be_used_is_named_and_the_days_after_it_are_done(
    opened: Opened, others: OtherServices
) -> None:
    """K4b, K13: a day before the books, of which charging knows nothing, ended examining for ever."""
    house, owner = opened
    others.unknown_days = {"2022-01-01"}
    others.answers["/v1/days/2026-10-02/findings"] = {"findings": "none"}
    others.answers["/v1/days/2026-10-03/findings"] = [1]
    october = [date(2026, 10, number) for number in range(1, 6)]
    await plant_day(owner, date(2022, 1, 1))
    await plant_day(owner, october[0], b'{"day": "2026-10-01"}')
    await plant_day(owner, october[1])
    await plant_day(owner, october[2])
    await plant_day(
        owner, october[3], None, total(october[3], "charged", 1, enterprise="x", province="zz", premium=HUGE)
    )
    bad_place = total(october[4], "charged", 1, enterprise="x", province="zz")
    await plant_day(owner, october[4], None, bad_place, total(october[4], "charged", 2))
    await house.receive(closed_day(GOOD, [total(GOOD, "charged", 9)]))
    await wait_for(
        house,
        {
            ("examine_day", "2022-01-01"): "wrong_answer",
            ("build_day", "2026-10-01"): "undecodable",
            ("examine_day", "2026-10-01"): "undecodable",
            ("project_day", "2026-10-01"): "undecodable",
            ("examine_day", "2026-10-02"): "wrong_answer",
            ("examine_day", "2026-10-03"): "wrong_answer",
            ("build_day", "2026-10-04"): BOUND,
            ("examine_day", "2026-10-04"): BOUND,
            ("project_day", "2026-10-04"): BOUND,
            ("build_day", "2026-10-05"): BOUND,
            ("examine_day", "2026-10-05"): BOUND,
            ("project_day", "2026-10-05"): BOUND,
        },
    )
    await wait_until_done(house, 1)
    reports = await values(owner, "select report_id from reporting.report")
    assert reports == {"coverage.2026-10-20.44"}
    assert await values(owner, "select day from reporting.day_examined") == {GOOD}
    unbuilt = await unbuildable(house)
    assert "has a hole" in unbuilt["examine_day.2022-01-01"]["detail"]
    assert "totals" in unbuilt["build_day.2026-10-05"]["detail"]


async def test_what_is_set_aside_is_done_once_it_is_mended_and_an_operator_asks(
    opened: Opened, others: OtherServices
) -> None:
    house, owner = opened
    others.answers["/v1/days/2026-10-02/findings"] = {"findings": "none"}
    await house.receive(closed_day(date(2026, 10, 2), []), closed_day(GOOD, []))
    await wait_for(house, {("examine_day", "2026-10-02"): "wrong_answer"})
    assert (await house.client.post("/v1/set-aside/retry", json={"step": "examine_day"})).json() == {"items": 1}

    async def was_tried_again() -> bool:
        return await values(owner, "select attempts from reporting.set_aside") == {2}

    await eventually_async(was_tried_again, "a second attempt")
    assert (await unbuildable(house))["examine_day.2026-10-02"]["times_seen"] == 1, "an attempt is no finding"
    pauses = await values(owner, "select round(extract(epoch from next_at - last_at)) from reporting.set_aside")
    assert pauses == {120}
    others.answers.clear()
    await house.client.post("/v1/set-aside/retry", json={"item": "2026-10-02"})
    await wait_for(house, {})
    assert (await unbuildable(house, "corrected")).keys() == {"examine_day.2026-10-02"}
    assert await values(owner, "select day from reporting.day_examined") == {date(2026, 10, 2), GOOD}


@pytest.mark.exhaustive
async def test_notices_and_totals_that_cannot_be_checked_are_named_and_all_others_are_checked(
    opened: Opened, others: OtherServices
) -> None:
    """K15: 200 notices of one sender, and among them some that end the check."""
    house, owner = opened
    strange = "cd" * 32
    others.answers[f"/v1/workers/{strange}/covers"] = {"covers": [{"enterprise": 1}]}
    notices = {f"n-{number:03}": {"worker_id": WORKER} for number in range(200)}
    notices |= {"a-strange-answer": {"worker_id": strange}, "z-good": {"worker_id": "ef" * 32}}
    for name, changes in notices.items():
        reported = {"notice_id": name, "injured_at": NOON.isoformat(), "noticed_at": NOON.isoformat()} | changes
        await plant(owner, "injury_notice", msgspec.json.encode(reported), notice_id=name, injured_on=GOOD)
    await plant(owner, "injury_notice", b"hello", notice_id="a-hello", injured_on=GOOD)
    for number in (1, 2):  # each fits its column; their sum does not
        day = GOOD - timedelta(days=number)
        await plant_day(owner, day)
        row = (day, GOOD, BLUE, "44", [HUGE], HUGE + 1, 0)
        await owner.execute("insert into reporting.day_figure values ($1, $2, $3, $4, $5, $6, $7)", *row)
    for enterprise in (BLUE, GREEN):
        await house.receive(TotalReported(source="bank", enterprise=enterprise, day=GOOD, count=5))
    await house.receive(closed_day(GOOD, []))
    await wait_for(
        house,
        {
            ("check_notice", "a-hello"): "undecodable",
            ("check_notice", "a-strange-answer"): "wrong_answer",
            ("check_total", f"bank.{BLUE}.{GOOD}"): "out_of_range",
        },
    )

    async def are_checked() -> bool:
        checked = await values(owner, "select notice_id from reporting.injury_check")
        of_checks = "reporting.total_check join reporting.reported_total using (number)"
        totals = await values(owner, f"select enterprise from {of_checks}")
        return len(checked) == 201 and "z-good" in checked and totals == {GREEN}

    await eventually_async(are_checked, "all other notices and totals")
    sightings = "select count(*) from reporting.discrepancy_sighting"
    await house.receive(closed_day(GOOD + timedelta(days=1), []))

    async def are_checked_again() -> bool:
        return await values(owner, "select count(*) from reporting.injury_check") == {402}

    await eventually_async(are_checked_again, "all other notices after the next close")
    assert await values(owner, sightings) == {0}, "the next close says nothing new of them"


async def test_a_report_that_cannot_be_sent_is_named_and_all_others_are_sent(opened: Opened) -> None:
    """More of them than may be on their way at a time, and all of them older than the good one."""
    house, owner = opened
    names = [f"report-größe-{number}" for number in range(6)]
    for name in names:
        row = ("payment", "2026-10", "44", GOOD, b"{}", "0" * 64)
        report = "insert into reporting.report (report_id, kind, period, province, as_of, body, body_sha256)"
        await owner.execute(f"{report} values ($1, $2, $3, $4, $5, $6, $7)", name, *row)
    await owner.execute("insert into reporting.delivery (report_id) select report_id from reporting.report")
    await house.receive(closed_day(GOOD, [total(GOOD, "charged", 9)]))
    await wait_for(house, {("send_report", name): "undecodable" for name in names})
    await wait_until_done(house, 1)


async def test_a_difference_that_cannot_be_registered_is_named_and_all_others_are(
    database: str, tmp_path: Path
) -> None:
    difference = {"period": "2026-10", "province": "44", "enterprise": GREEN, "what": "orders", "reported": "1"}
    poisoned = difference | {"declared": "poison"}
    counts = {"declarations": 1, "coverage_reports": 1}
    answer = counts | {"period": "2026-10", "differences": [poisoned, difference | {"declared": "2"}]}

    def platform(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=answer if "reconciliations" in request.url.path else {"reports": []})

    url = await migrate_reporting(database)
    owner = await asyncpg.connect(database)
    await owner.execute("alter table reporting.discrepancy add constraint no_poison check (declared <> 'poison')")
    await owner.close()
    async with (
        open_engine(url) as engine,
        httpx.AsyncClient(transport=httpx.MockTransport(platform), base_url="http://platform") as client,
    ):
        await reconcile(engine, NationalPlatform(client, make_keys(tmp_path).signer), "2026-10")
        async with engine.connect() as connection:
            rows = await connection.exec_driver_sql("select kind, declared from reporting.discrepancy order by kind")
            assert [tuple(row) for row in rows] == [("orders", "2"), ("unbuildable", None)]


@pytest.mark.exhaustive
async def test_a_service_that_is_away_sets_nothing_aside(opened: Opened, others: OtherServices) -> None:
    house, _ = opened
    others.is_away = True
    notice = InjuryNoticed(notice_id="n-1", worker_id=WORKER, injured_at=NOON, noticed_at=NOON)
    await house.receive(notice, TotalReported(source="bank", enterprise=GREEN, day=GOOD, count=5), closed_day(GOOD, []))

    async def has_asked() -> bool:
        return others.turned_away > 3

    await eventually_async(has_asked, "questions that charging did not answer")
    assert await set_aside(house) == {}
    others.is_away = False
    await house.examined()
