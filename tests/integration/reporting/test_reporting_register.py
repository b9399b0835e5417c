"""The register as its readers see it: what is examined, what others report, states, scopes."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from datetime import date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from services.reporting.register.injuries import judge_notice
from services.reporting.service_clients import Cover
from shared.contracts.findings import DayFindings, Delays, Finding, FindingKind, OrderRef
from shared.contracts.notices import InjuryNoticed, TotalReported
from shared.contracts.topics import INJURIES
from shared.domain.calendar import SHANGHAI
from tests.integration.reporting.other_services import OtherServices
from tests.integration.reporting.reporting_harness import (
    BLUE,
    GREEN,
    WORKER,
    House,
    bearer,
    closed_day,
    make_keys,
    reporting_house,
)
from tests.support.waiting import eventually_async

K = FindingKind
DAY = date(2026, 9, 2)
NOON = datetime(2026, 9, 2, 12, tzinfo=SHANGHAI)
OPEN = Callable[..., AbstractAsyncContextManager[House]]


@pytest.fixture
def open_house(database: str, platform_database: str, tmp_path: Path) -> OPEN:
    return partial(reporting_house, database, platform_database, make_keys(tmp_path))


@pytest.fixture
async def house(open_house: OPEN) -> AsyncIterator[House]:
    async with open_house(OtherServices()) as opened:
        yield opened


def found(kind: FindingKind = K.OTHER_CONTENT, enterprise: str = BLUE, **more: Any) -> Finding:
    known: dict[str, Any] = {
        "kind": kind, "key": f"{enterprise}.{DAY}", "enterprise": enterprise, "insured_on": DAY, "province": "44",
        "count": 1, "detail": "1 event repeats an order", "evidence": {"close": str(DAY)},
        "orders": [OrderRef(order_id="o-1", accepted_at=NOON, worker_id=WORKER)],
    }  # fmt: skip
    return Finding(**(known | more))


def received(orders: int, day: date = DAY, insured_on: date | None = None, enterprise: str = BLUE) -> Delays:
    buckets = [orders, 0, 0, 0, 0, 0, 0, 0]
    return Delays(enterprise=enterprise, province="44", insured_on=insured_on or day, orders=buckets)


async def close(house: House, day: date, reported: DayFindings, **closed: Any) -> None:
    """Send a closed day with charging's findings for it, and wait until it is examined."""
    house.others.findings[str(day)] = reported
    await house.receive(closed_day(day, closed.pop("totals", []), **closed))
    await house.examined()


async def register(house: House, key: str | None = None, **filters: Any) -> list[dict[str, Any]]:
    headers = bearer(key) if key else None
    answer = await house.client.get("/v1/discrepancies", params=filters, headers=headers)
    rows: list[dict[str, Any]] = answer.raise_for_status().json()["discrepancies"]
    return rows


async def kinds(house: House) -> dict[str, str]:
    return {row["kind"]: row["state"] for row in await register(house)}


async def one(house: House, row: dict[str, Any]) -> dict[str, Any]:
    whole: dict[str, Any] = (await house.client.get(f"/v1/discrepancies/{row['id']}")).raise_for_status().json()
    return whole


async def test_what_charging_names_is_registered_once_with_its_orders(house: House) -> None:
    findings = [found(), found(K.NOT_ENROLLED, GREEN, province="11")]
    await close(house, DAY, DayFindings(findings=findings, delays=[received(5)]))
    await house.receive(closed_day(DAY, []))
    rows = await register(house)
    assert [(row["kind"], row["state"], row["times_seen"]) for row in rows] == [
        ("other_content", "open", 1),
        ("not_enrolled", "open", 1),
    ]
    whole = await one(house, rows[0])
    assert [(order["order_id"], order["worker_id"]) for order in whole["orders"]] == [("o-1", WORKER)]
    assert whole["evidence"] == {"close": str(DAY)}
    assert [(entry["state"], entry["actor"]) for entry in whole["history"]] == [("open", "danbao")]


async def test_orders_outside_a_declaration_are_corrected_once_none_is_left_and_open_again_after_that(
    house: House,
) -> None:
    days = [DAY + timedelta(days=n) for n in range(4)]
    for day, count in zip(days, (0, 5, 0, 2), strict=True):
        finding = found(K.OUTSIDE_DECLARATION, count=count, detail=f"{count} orders", orders=[])
        await close(house, day, DayFindings(findings=[finding], delays=[]))
    (row,) = await register(house)
    assert (row["kind"], row["state"], row["count"]) == ("outside_declaration", "open", 5)
    history = (await one(house, row))["history"]
    assert [(entry["state"], entry["note"]) for entry in history] == [
        ("open", "found"),
        ("corrected", "0 orders"),
        ("open", "found again"),
    ]


async def test_a_finding_of_a_later_close_is_seen_again_and_not_new(house: House) -> None:
    later = DAY + timedelta(days=1)
    await close(house, DAY, DayFindings(findings=[found()], delays=[]))
    await close(house, later, DayFindings(findings=[found(count=2, detail="2 events repeat an order")], delays=[]))
    (row,) = await register(house)
    whole = await one(house, row)
    assert (row["count"], row["times_seen"], [sighting["count"] for sighting in whole["sightings"]]) == (1, 2, [2])
    assert row["found_at"] < row["last_seen_at"] == whole["sightings"][0]["seen_at"]


async def test_days_are_examined_in_their_order_when_charging_answers_again(open_house: OPEN) -> None:
    others = OtherServices(is_away=True)
    async with open_house(others) as house:
        others.findings[str(DAY)] = DayFindings(findings=[found()], delays=[])
        await house.receive(closed_day(DAY + timedelta(days=1), []), closed_day(DAY, []))
        assert (await house.status())["unexamined_days"] == 2
        others.is_away = False
        await house.examined()
        assert await kinds(house) == {"other_content": "open"}


STATES = [
    # state, key, answer
    ("explained", "key-44", 200),
    ("explained", "key-44", 409),
    ("confirmed", "key-national", 200),
    ("open", "key-blue", 403),
    ("open", "key-green", 403),
    ("open", "key-11", 404),
    ("open", "made-up", 401),
    ("gone", "key-national", 422),
    ("corrected", "key-national", 200),
]


async def test_states_are_added_by_those_who_see_the_province_with_a_reason(house: House) -> None:
    await close(house, DAY, DayFindings(findings=[found()], delays=[]))
    (row,) = await register(house)
    path = f"/v1/discrepancies/{row['id']}/states"
    for state, key, status in STATES:
        body = {"state": state, "comment": f"because of {key}"}
        assert (await house.client.post(path, json=body, headers=bearer(key))).status_code == status, (state, key)
    assert (await house.client.post(path, json={"state": "open", "comment": " "})).status_code == 422
    history = (await one(house, row))["history"]
    assert [(entry["state"], entry["actor"], entry["note"]) for entry in history] == [
        ("open", "danbao", "found"),
        ("explained", "province:44", "because of key-44"),
        ("confirmed", "national", "because of key-national"),
        ("corrected", "national", "because of key-national"),
    ]
    later = DAY + timedelta(days=1)
    await close(house, later, DayFindings(findings=[found()], delays=[]))
    assert await kinds(house) == {"other_content": "open"}, "what was corrected and is found again is open again"


async def test_lists_are_filtered_paged_and_cut_to_the_scope(house: House) -> None:
    findings = [found(), found(K.NOT_ENROLLED, GREEN, province="11"), found(K.LATE_ACCEPTANCES, GREEN)]
    findings.append(found(K.SEQUENCE_GAP, GREEN, province=None))
    await close(house, DAY, DayFindings(findings=findings, delays=[]))
    seen = {"key-national": 4, "key-44": 2, "key-11": 1, "key-blue": 1, "key-green": 3}
    for key, count in seen.items():
        rows = await register(house, key)
        assert len(rows) == count, key
        for row in await register(house):
            status = 200 if row["id"] in [row["id"] for row in rows] else 404
            path = f"/discrepancies/{row['id']}"
            assert (await house.client.get(f"/v1{path}", headers=bearer(key))).status_code == status, key
            assert (await house.page(path, key)).status_code == status, key
    assert [row["kind"] for row in await register(house, enterprise=GREEN, province="44")] == ["late_acceptances"]
    assert [row["kind"] for row in await register(house, kind="other_content", state="open")] == ["other_content"]
    assert await register(house, day="2026-09-01") == []
    page = (await house.client.get("/v1/discrepancies?limit=3")).json()
    rest = (await house.client.get("/v1/discrepancies", params={"after": page["next"], "limit": 3})).json()
    assert [len(page["discrepancies"]), len(rest["discrepancies"]), rest["next"]] == [3, 1, None]


async def test_nothing_in_the_register_is_changed_or_deleted(house: House, database: str) -> None:
    await close(house, DAY, DayFindings(findings=[found()], delays=[received(3)]))
    owner = await asyncpg.connect(database)
    try:
        for table in ("discrepancy", "discrepancy_order", "discrepancy_state", "day_figure", "day_examined"):
            for sql in (f"delete from reporting.{table}", f"truncate reporting.{table} cascade"):
                with pytest.raises(asyncpg.RestrictViolationError):
                    await owner.execute(sql)
    finally:
        await owner.close()


async def test_an_independent_total_is_held_against_what_was_received(house: House) -> None:
    """Once the day is examined, and again when more of it was received."""
    counts = {"meters": 100, "unions": 101}
    reported = [TotalReported(source=source, enterprise=BLUE, day=DAY, count=count) for source, count in counts.items()]
    await house.receive(*reported, reported[0])

    async def are(**states: str) -> bool:
        return {row["evidence"]["source"]: row["state"] for row in await register(house)} == states

    await close(house, DAY, DayFindings(findings=[], delays=[received(100)]))
    await eventually_async(partial(are, unions="open"), "a finding of one source")
    tomorrow = DAY + timedelta(days=1)
    await close(house, tomorrow, DayFindings(findings=[], delays=[received(1, tomorrow, DAY)]))
    await eventually_async(partial(are, unions="corrected", meters="open"), "the other way round")
    assert {row["kind"] for row in await register(house)} == {"independent_total"}


NOTICE = InjuryNoticed(
    notice_id="n-1", worker_id=WORKER, injured_at=NOON, noticed_at=NOON + timedelta(hours=1), enterprise=BLUE
)


def cover(hours: float, enterprise: str = BLUE) -> Cover:
    """An order that was sent so many hours after the injury."""
    at = NOON + timedelta(hours=hours)
    return Cover(enterprise=enterprise, order_id="o-1", accepted_at=NOON, province="44", recorded_at=at)


JUDGED = [
    # covers, days after the injury, outcome, is it final
    ([cover(0)], 0, "covered", True),
    ([cover(1)], 0, "covered", True),
    ([cover(2)], 0, "covered_later", True),
    ([cover(2), cover(0)], 0, "covered", True),
    ([cover(0, GREEN)], 0, "no_order", False),
    ([], 2, "no_order", False),
    ([], 3, "no_order", True),
]


@pytest.mark.parametrize(("covers", "days", "outcome", "is_final"), JUDGED)
def test_a_notice_is_judged_by_when_its_order_was_sent(
    covers: list[Cover], days: int, outcome: str, is_final: bool
) -> None:
    judged = judge_notice(NOTICE, covers, DAY + timedelta(days=days), wait_days=3)
    assert (judged.outcome, judged.is_final) == (outcome, is_final)


async def test_an_order_that_comes_after_the_notice_is_a_finding_and_its_absence_is_corrected(house: House) -> None:
    await house.receive(NOTICE)
    await close(house, DAY, DayFindings(findings=[], delays=[]))

    async def has(**states: str) -> bool:
        return await kinds(house) == states

    await eventually_async(partial(has, injury_without_order="open"), "the missing order")
    later = cover(5)
    house.others.covers[WORKER] = [
        {"enterprise": BLUE, "order_id": later.order_id, "accepted_at": NOON.isoformat(), "province": "44",
         "recorded_at": (NOON + timedelta(hours=5)).isoformat(), "kind": "acceptance"}
    ]  # fmt: skip
    await close(house, DAY + timedelta(days=1), DayFindings(findings=[], delays=[]))
    both = {"injury_without_order": "corrected", "order_after_injury": "open"}
    await eventually_async(partial(has, **both), "the late order")
    (row,) = await register(house, kind="order_after_injury")
    assert [order["order_id"] for order in (await one(house, row))["orders"]] == ["o-1"]


async def test_a_notice_told_again_with_other_content_is_a_finding(house: House) -> None:
    other = InjuryNoticed(notice_id="n-1", worker_id=WORKER, injured_at=NOON, noticed_at=NOON)
    await house.receive(NOTICE, NOTICE, other)
    assert await house.read(INJURIES, b'{"notice_id": 1}') is not None
    far = b'{"notice_id":"n","worker_id":"%s","injured_at":"9999-12-31T23:59:59Z","noticed_at":"2026-09-02T00:00:00Z"}'
    assert await house.read(INJURIES, far % WORKER.encode()) is not None
    assert await kinds(house) == {"different_content": "open", "unreadable_message": "open"}
