"""Each province reads its own share; the month's declarations are held against its daily reports."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.national_platform.reports.roster import Roster
from shared.domain.errors import RefusedLine
from tests.integration.reporting.reporting_harness import (
    BLUE,
    GREEN,
    Keys,
    bearer,
    coverage,
    declaration,
    hand_in,
    make_keys,
    platform_app,
    premium_line,
)


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return make_keys(tmp_path)


@pytest.fixture
async def client(platform_database: str, keys: Keys) -> AsyncIterator[httpx.AsyncClient]:
    async with platform_app(platform_database, keys) as client:
        yield client


async def listed(client: httpx.AsyncClient, key: str, **params: str) -> list[str]:
    answer = await client.get("/v1/reports", params=params, headers=bearer(key))
    return [row["report_id"] for row in answer.raise_for_status().json()["reports"]]


async def test_a_province_reads_its_own_share(client: httpx.AsyncClient, keys: Keys) -> None:
    for document in (coverage(), coverage(province="11"), declaration()):
        assert (await hand_in(client, keys, document)).status_code == 201
    assert await listed(client, "key-11") == ["coverage.2026-10-03.11"]
    assert await listed(client, "key-44", kind="declaration") == [f"declaration.2026-10.44.{BLUE}"]
    assert await listed(client, "key-national", day="2026-10-03") == [
        "coverage.2026-10-03.11",
        "coverage.2026-10-03.44",
    ]
    assert len(await listed(client, "key-national", period="2026-10")) == 3
    for path, status in {
        "/v1/reports?province=44": 403,
        "/v1/reports/coverage.2026-10-03.44": 404,
        "/v1/reports/coverage.2026-10-03.11": 200,
        "/v1/reconciliations/2026-10?province=44": 403,
        "/v1/status": 403,
        "/v1/reports?period=2026-13": 422,
        "/v1/reports?after=%00": 422,
        "/v1/reports/%00": 422,
        "/v1/reconciliations/2026-1%00": 422,
    }.items():
        assert (await client.get(path, headers=bearer("key-11"))).status_code == status, path


@pytest.mark.parametrize("path", ["/v1/reports", "/v1/reports/x", "/v1/reconciliations/2026-10", "/v1/status"])
async def test_nothing_is_open(client: httpx.AsyncClient, path: str) -> None:
    assert (await client.get(path, headers=bearer(""))).status_code == 401
    assert (await client.get(path, headers=bearer("key-blue"))).status_code == 403


async def differences(client: httpx.AsyncClient, key: str = "key-national") -> list[tuple[Any, ...]]:
    answer = await client.get("/v1/reconciliations/2026-10", headers=bearer(key))
    listed = answer.raise_for_status().json()["differences"]
    return [(d["province"], d["enterprise"], d["what"], d["declared"], d["reported"]) for d in listed]


async def test_months_that_agree_have_no_difference(client: httpx.AsyncClient, keys: Keys) -> None:
    late = premium_line(insured_on="2026-10-03", charged=1, reversed=3, orders=-2, premium_yuan="-0.50")
    second = coverage("2026-10-04")
    second |= {"lines": [*second["lines"], late], "orders": 88, "premium_yuan": "22.00"}
    for document in (coverage(), second, declaration(orders=178)):
        assert (await hand_in(client, keys, document)).status_code == 201, document
    answer = (await client.get("/v1/reconciliations/2026-10")).json()
    assert answer == {"period": "2026-10", "declarations": 1, "coverage_reports": 2, "differences": []}


async def test_every_difference_is_named(client: httpx.AsyncClient, keys: Keys) -> None:
    reported = coverage(province="11", lines=[premium_line(GREEN)], employee_exclusions=[], exclusions=[])
    # What is posted in November belongs to November, also when the insured day is earlier.
    november = coverage("2026-11-01", lines=[premium_line(insured_on="2026-10-31")])
    for document in (coverage(), reported, november, declaration(orders=91), declaration(GREEN)):
        assert (await hand_in(client, keys, document)).status_code == 201
    assert await differences(client) == [
        ("11", GREEN, "declaration_missing", "none", "90 orders, 22.50 yuan"),
        ("44", BLUE, "orders", "91", "90"),
        ("44", BLUE, "exact_yuan", "22.75", "22.50"),
        ("44", GREEN, "reports_missing", "90 orders, 22.50 yuan", "none"),
    ]
    assert [difference[0] for difference in await differences(client, "key-11")] == ["11"]


async def test_nothing_against_nothing_is_no_difference(client: httpx.AsyncClient, keys: Keys) -> None:
    for document in (
        declaration(orders=0, lines=[]),
        coverage(
            province="11",
            orders=0,
            premium_yuan="0.00",
            lines=[premium_line(charged=10, orders=0, premium_yuan="0.00")],
        ),
    ):
        assert (await hand_in(client, keys, document)).status_code == 201
    assert await differences(client) == []


@pytest.mark.parametrize(
    ("lines", "place"),
    [
        ("worker,number\n", ":1: "),
        ("{header}nobody,E-1,2026-01-01,\n", ":2: "),
        ("{header}{worker},E-1,2026-01-01\n", ":2: "),
        ("{header}{worker},E-1,2026-01-01,\n{worker},E-1,January,\n", ":3: "),
        ("{header}{worker},E-1,2026-01-02,2026-01-01\n", ":2: "),
    ],
)
def test_a_bad_roster_is_refused_by_line(tmp_path: Path, lines: str, place: str) -> None:
    path = tmp_path / "roster.csv"
    header = "worker_id,employer_insurance_no,valid_from,valid_to\n"
    path.write_text(lines.format(header=header, worker="ab" * 32), encoding="utf-8")
    with pytest.raises(RefusedLine) as refused:
        Roster.load(path)
    assert f"{path}{place}" in str(refused.value)
