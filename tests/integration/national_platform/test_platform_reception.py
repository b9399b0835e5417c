"""The national platform takes what is right once, refuses what is wrong with a reason, and keeps both."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest

from tests.integration.reporting.reporting_harness import (
    BLUE,
    PLATFORM_KEY,
    ROLE_PASSWORD,
    WORKER,
    Keys,
    bearer,
    coverage,
    declaration,
    encode,
    hand_in,
    make_keys,
    platform_app,
    post,
    premium_line,
)


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return make_keys(tmp_path)


@pytest.fixture
async def client(platform_database: str, keys: Keys) -> AsyncIterator[httpx.AsyncClient]:
    async with platform_app(platform_database, keys) as client:
        yield client


async def deliveries(url: str) -> list[tuple[str, str | None]]:
    connection = await asyncpg.connect(url)
    try:
        rows = await connection.fetch("select outcome, reason from national_platform.delivery order by id")
        return [(row["outcome"], row["reason"]) for row in rows]
    finally:
        await connection.close()


async def test_same_bytes_get_the_same_receipt(client: httpx.AsyncClient, keys: Keys, platform_database: str) -> None:
    first = await hand_in(client, keys, coverage())
    again = await hand_in(client, keys, coverage())
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()
    assert await deliveries(platform_database) == [("taken", None), ("repeat", None)]
    held = await client.get("/v1/reports/coverage.2026-10-03.44")
    assert held.content == encode(coverage())


async def test_other_bytes_under_a_known_id_are_an_alarm(client: httpx.AsyncClient, keys: Keys) -> None:
    await hand_in(client, keys, coverage())
    answer = await hand_in(client, keys, coverage(first_time_workers=3))
    assert (answer.status_code, answer.json()["reason"]) == (409, "different_content")
    status = (await client.get("/v1/status")).json()
    assert status["deliveries"] == {"taken": 1, "refused:different_content": 1}
    assert "coverage.2026-10-03.44" in status["alarms"][0]
    assert (await client.get("/v1/reports/coverage.2026-10-03.44")).json()["first_time_workers"] == 2


WRONG_SUMS: dict[str, dict[str, Any]] = {
    "orders of the report": coverage(orders=91),
    "premium of the report": coverage(premium_yuan="22.51"),
    "premium of a line": coverage(lines=[premium_line(premium_yuan="22.51")], premium_yuan="22.51"),
    "orders of a line": coverage(lines=[premium_line(charged=101)]),
    "a line twice": coverage(lines=[premium_line(), premium_line()], orders=180, premium_yuan="45.00"),
    "a later day": coverage(lines=[premium_line(insured_on="2026-10-04")]),
    "workers of the province": coverage(province_workers=41),
    "employees": coverage(employee_exclusions=[]),
    "amount of a declaration": declaration(amount_yuan="22.51"),
    "rounding of a line": declaration(
        lines=[declaration()["lines"][0] | {"base_yuan": "0.0840", "exact_yuan": "7.5600", "amount_yuan": "7.57"}],
        exact_yuan="7.56",
        amount_yuan="7.57",
    ),
    "an adjustment of the month itself": declaration(lines=[declaration()["lines"][0] | {"kind": "adjustment"}]),
}


@pytest.mark.parametrize("what", WRONG_SUMS)
async def test_wrong_sums_are_refused(client: httpx.AsyncClient, keys: Keys, what: str) -> None:
    answer = await hand_in(client, keys, WRONG_SUMS[what])
    assert (answer.status_code, answer.json()["reason"]) == (422, "bad_sums"), answer.text


async def test_fractions_of_a_fen_are_rounded_once_a_line(client: httpx.AsyncClient, keys: Keys) -> None:
    line = declaration()["lines"][0] | {"base_yuan": "0.0845", "orders": 1, "exact_yuan": "0.0845"}
    document = declaration(
        orders=2,
        exact_yuan="0.1690",
        amount_yuan="0.16",
        lines=[line | {"amount_yuan": "0.08"}, line | {"amount_yuan": "0.08", "tariff_line": 8}],
    )
    assert (await hand_in(client, keys, document)).status_code == 201


BAD_BODIES = {
    "not json": b"orders: 90",
    "not utf-8": b'{"kind": "\xff"}',
    "empty": b"",
    "deep": b"[" * 100_000,
    "another profile": json.dumps(coverage() | {"profile": "danbao/2"}).encode(),
    "unknown kind": json.dumps(coverage() | {"kind": "benefit"}).encode(),
    "unknown field": json.dumps(coverage() | {"remark": "none"}).encode(),
    "missing field": json.dumps({k: v for k, v in coverage().items() if k != "orders"}).encode(),
    "text for a number": json.dumps(coverage() | {"orders": "90"}).encode(),
    "money as a number": json.dumps(coverage() | {"premium_yuan": 22.5}).encode(),
    "absurd count": json.dumps(declaration() | {"orders": 10**30}).encode(),
    "no such month": json.dumps(declaration() | {"period": "2026-13"}).encode(),
}


@pytest.mark.parametrize("what", BAD_BODIES)
async def test_bad_bodies_are_kept_and_refused(
    client: httpx.AsyncClient, keys: Keys, platform_database: str, what: str
) -> None:
    body = BAD_BODIES[what]
    report_id = declaration()["report_id"] if b"declaration" in body else coverage()["report_id"]
    answer = await post(client, keys, body, report_id)
    assert (answer.status_code, answer.json()["reason"]) == (422, "bad_schema"), answer.text
    assert await deliveries(platform_database) == [("refused", "bad_schema")]


async def test_signature_covers_the_very_bytes(client: httpx.AsyncClient, keys: Keys, platform_database: str) -> None:
    body = encode(coverage())
    for signature in (keys.signer.sign(body + b" "), "", "not base64", "AAAA"):
        answer = await post(client, keys, body, "coverage.2026-10-03.44", **{"Danbao-Signature": signature})
        assert (answer.status_code, answer.json()["reason"]) == (401, "bad_signature")
    assert await deliveries(platform_database) == [("refused", "bad_signature")] * 4


async def test_keys_that_only_read_hand_nothing_in(
    client: httpx.AsyncClient, keys: Keys, platform_database: str
) -> None:
    body = encode(coverage())
    statuses = [
        (await post(client, keys, body, "coverage.2026-10-03.44", **bearer(key))).status_code
        for key in ("", "made-up", "key-44", "key-national", "key-blue")
    ]
    assert statuses == [401, 401, 403, 403, 403]
    assert await deliveries(platform_database) == []


async def test_unknown_provinces_and_foreign_keys_are_refused(client: httpx.AsyncClient, keys: Keys) -> None:
    answer = await hand_in(client, keys, coverage(province="99"))
    assert (answer.status_code, answer.json()["reason"]) == (422, "wrong_province")
    answer = await post(client, keys, encode(coverage()), "coverage.2026-10-03.11")
    assert answer.json()["reason"] == "bad_schema"


async def test_a_body_that_is_too_long_is_turned_away(client: httpx.AsyncClient, keys: Keys) -> None:
    assert (await post(client, keys, b" " * (16 * 1024 * 1024 + 1), "x")).status_code == 413


async def test_exclusions_that_the_roster_does_not_bear_out_are_named(
    platform_database: str, keys: Keys, tmp_path: Path
) -> None:
    other = "cd" * 32
    roster = tmp_path / "roster.csv"
    roster.write_text(
        "worker_id,employer_insurance_no,valid_from,valid_to\n"
        f"{WORKER},E-1,2026-01-01,\n{other},E-2,2026-01-01,2026-10-02\n",
        encoding="utf-8",
    )
    named = [
        {"enterprise": BLUE, "worker_id": WORKER, "employer_insurance_no": "E-1", "orders": 1},
        {"enterprise": BLUE, "worker_id": WORKER, "employer_insurance_no": "E-9", "orders": 1},
        {"enterprise": BLUE, "worker_id": other, "employer_insurance_no": "E-2", "orders": 1},
    ]
    async with platform_app(platform_database, keys, platform_roster=roster) as client:
        answer = await hand_in(client, keys, coverage(employee_exclusions=named))
        assert answer.status_code == 201
        assert answer.json()["unconfirmed"] == named[1:]
        assert (await hand_in(client, keys, coverage(employee_exclusions=named))).json() == answer.json()


async def test_what_was_heard_is_never_changed(client: httpx.AsyncClient, keys: Keys, platform_database: str) -> None:
    await hand_in(client, keys, coverage())
    login = platform_database.rpartition("@")[2]
    as_service = await asyncpg.connect(f"postgresql://national_platform:{ROLE_PASSWORD}@{login}")
    as_owner = await asyncpg.connect(platform_database)
    try:
        for table in ("delivery", "report", "receipt", "coverage_line", "declaration"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await as_service.execute(f"delete from national_platform.{table}")
            with pytest.raises(asyncpg.RestrictViolationError):
                await as_owner.execute(f"truncate national_platform.{table} cascade")
    finally:
        await as_service.close()
        await as_owner.close()


async def test_faults_are_the_same_for_the_same_seed(platform_database: str, keys: Keys) -> None:
    runs: list[list[int]] = []
    for _ in range(2):
        async with platform_app(platform_database, keys, fault_error_share=0.5, fault_seed=7) as client:
            answers = [await hand_in(client, keys, coverage()) for _ in range(12)]
            runs.append([answer.status_code == 503 for answer in answers])
    assert runs[0] == runs[1]
    assert 0 < sum(runs[0]) < 12


@pytest.mark.parametrize(
    ("knob", "status", "kept"),
    [
        ("fault_error_share", 503, []),
        ("fault_lost_reply_share", 504, [("taken", None)]),
        ("fault_duplicate_share", 200, [("taken", None), ("repeat", None)]),
        ("fault_refusal_share", 422, [("refused", "refused_by_setting")]),
    ],
)
async def test_each_fault_knob(
    platform_database: str, keys: Keys, knob: str, status: int, kept: list[tuple[str, str | None]]
) -> None:
    async with platform_app(platform_database, keys, **{knob: 1.0}) as client:
        assert (await hand_in(client, keys, coverage())).status_code == status
        assert await deliveries(platform_database) == kept
        assert (await client.get("/healthz", headers=bearer(PLATFORM_KEY))).status_code == 200
