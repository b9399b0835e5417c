"""A figure has the name of what it counts: never that of another place or industry, and never one for silence."""

import csv
import io
import re
from collections.abc import AsyncIterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

from services.reporting.access.viewers import Role
from shared.contracts.findings import DayFindings, Delays
from shared.contracts.manifests import AcceptancesByHour, RemittanceReceived
from tests.integration.portal.read_model_harness import projected
from tests.integration.portal.test_portal_api import SCHEME, read_xlsx
from tests.integration.reporting.other_services import OtherServices
from tests.integration.reporting.reporting_harness import (
    BLUE,
    GREEN,
    House,
    closed_day,
    make_keys,
    reporting_house,
    statement,
    total,
)
from tests.integration.reporting.test_reporting_roles import client_as
from tests.support.servers import Postgres, drop_database, make_database

DAY: Final = date(2026, 10, 3)
MONTH: Final = "first=2026-10-01&last=2026-10-31"
OVERPAID: Final = {"44": ("117.87", "17.87"), "11": ("24.60", "24.60")}
"""By province: what arrived, and what the statements took of it."""


@pytest.fixture(scope="module")
async def house(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    """A closed day with two industries, statements of its month, and more money than is owed."""
    names = (await make_database(postgres), await make_database(postgres))
    own, platform = postgres.url(names[0]), postgres.url(names[1])
    folder = tmp_path_factory.mktemp("house")
    others = OtherServices()
    async with reporting_house(own, platform, make_keys(folder), others, scheme=[_scheme(folder)]) as house:
        await _fill(house)
        yield house
    for name in names:
        await drop_database(postgres, name)


def _scheme(folder: Path) -> Path:
    for name, text in SCHEME.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


async def _fill(house: House) -> None:
    places = [(enterprise, province) for enterprise in (BLUE, GREEN) for province in ("44", "11")]
    totals = [
        total(DAY, "charged", orders, enterprise=enterprise, province=province, industry=industry)
        for enterprise, province in places
        for industry, orders in (("instant_delivery", 30), ("ride_hailing", 12))
    ]
    hours = [
        AcceptancesByHour(insured_on=DAY, province=province, enterprise=enterprise, orders=[2] * 21 + [0] * 3)
        for enterprise, province in places
    ]
    house.others.findings[str(DAY)] = DayFindings(
        findings=[],
        delays=[
            Delays(insured_on=DAY, enterprise=enterprise, province=province, orders=[42, 0, 0, 0, 0, 0, 0, 0])
            for enterprise, province in places
        ],
    )
    await house.receive(closed_day(DAY, totals, hours=hours))
    await house.receive(*(statement(72, enterprise, province) for enterprise, province in places))
    for province, (received, _) in OVERPAID.items():
        for number, part in enumerate((received, "1.00")):
            money = RemittanceReceived(
                remittance_id=f"r.{province}.{number}", enterprise=BLUE, province=province, amount_yuan=part,
                received_on=date(2026, 11, 10),
            )  # fmt: skip
            await house.intake.take_remittance(msgspec.json.encode(money))
    await house.settled()
    await house.examined()
    await projected(house)
    house.others.balances = [_balance(province, *sums) for province, sums in OVERPAID.items()]


def _balance(province: str, received: str, settled: str) -> dict[str, str]:
    whole = Decimal(received) + 1
    return {
        "enterprise": BLUE, "province": province, "received_yuan": str(whole), "settled_yuan": settled,
        "late_fees_paid_yuan": "0.00", "balance_yuan": str(whole - Decimal(settled)),
    }  # fmt: skip


async def test_a_sheet_of_one_industry_has_no_figures_of_all(house: House) -> None:
    """Delays and hours are not counted by industry, so the sheet of one industry leaves them out."""
    for place in ("", "&province=44", f"&enterprise={BLUE}", f"&province=44&enterprise={BLUE}"):
        whole = (await house.client.get(f"/v1/sheets?{MONTH}{place}")).json()
        assert sum(whole["delays"]["orders"]) == whole["figures"]["charged"] == sum(whole["hours"]), place
        for industry in ("instant_delivery", "ride_hailing"):
            path = f"/v1/sheets?{MONTH}{place}&industry={industry}"
            sheet = (await house.client.get(path)).json()
            assert 0 < sheet["figures"]["charged"] < whole["figures"]["charged"], path
            assert (sheet["delays"], sheet["hours"]) == (None, None), path
            records = {line["record"] for line in await _csv(house, f"{path}&format=csv")}
            assert records.isdisjoint({"delays", "hours"}), path
            assert {"delays", "hours"}.isdisjoint(read_xlsx((await house.client.get(f"{path}&format=xlsx")).content))
    async with client_as(house, Role.NATIONAL) as client:
        client.headers["Accept"] = "text/html"
        whole_page, page = [
            (await client.get(path)).text for path in ("/months/2026-10", "/industries/instant_delivery?period=2026-10")
        ]
    for heading in ("报送时延", "接单时段"):
        assert heading in whole_page
        assert heading not in page


@pytest.mark.parametrize(
    ("role", "own"), [(Role.PROVINCE, "广东省"), (Role.ENTERPRISE, "cmd"), (Role.NATIONAL, "全国")], ids=str
)
async def test_figures_of_a_part_are_not_titled_as_the_nations(house: House, role: Role, own: str) -> None:
    """Heading, title and file are named by the place whose figures they are."""
    places = ("/months", "/months/2026-10", f"/days/{DAY}")
    async with client_as(house, role) as client:
        client.headers["Accept"] = "text/html"
        for path in places:
            page = (await client.get(path)).raise_for_status().text
            titles = re.findall(r"<title>(.*?)</title>|<h1>(.*?)</h1>|<p class=\"crumbs\">(.*?)</p>", page, re.DOTALL)
            said = " ".join(part for parts in titles for part in parts)
            assert own in said, path
            assert ("全国" in said) == (role is Role.NATIONAL), path
        if role is Role.PROVINCE:
            page = (await client.get(f"/enterprises/{BLUE}?period=2026-10")).text
            assert re.search(r"<h1>广东省 · .*cmd", page)
        files = [
            (await client.get(path)).headers["content-disposition"]
            for path in (f"/v1/sheets?{MONTH}&format=csv", "/v1/statements?format=xlsx", "/v1/discrepancies?format=csv")
        ]
    scope = {Role.PROVINCE: "-44-", Role.ENTERPRISE: f"-{BLUE}-", Role.NATIONAL: "-country-"}[role]
    assert all(scope in name for name in files), files
    assert all(re.search(r"-made-20\d\d-\d\d-\d\d\.(csv|xlsx)$", name) for name in files), files


async def test_an_enterprise_without_orders_in_a_province_is_said_so(house: House) -> None:
    async with client_as(house, Role.PROVINCE) as client:
        client.headers["Accept"] = "text/html"
        page = (await client.get(f"/enterprises/{BLUE}?day={DAY.replace(day=2)}")).text
        later = (await client.get(f"/enterprises/{BLUE}?day={DAY.replace(day=4)}")).text
    assert "该企业在本省没有订单" in page
    assert "尚未日终" in later


async def test_payment_is_unknown_while_the_ledger_does_not_answer(house: House) -> None:
    """A ledger that says nothing does not say that a statement is declared, or not overdue."""
    path = f"/v1/statements/2026-10.44.{BLUE}"
    assert (await house.client.get(path)).json()["statement"]["state"] == "declared"
    house.others.is_away = True
    try:
        listed = (await house.client.get("/v1/statements")).json()["statements"]
        assert {row["state"] for row in listed} == {"unknown"}
        for state in ("overdue", "paid", "part_paid", "declared", "issued"):
            assert (await house.client.get(f"/v1/statements?state={state}")).json()["statements"] == []
        assert len((await house.client.get("/v1/statements?state=unknown")).json()["statements"]) == 4
        one = (await house.client.get(path)).json()
        assert (one["statement"]["state"], one["balance"]) == ("unknown", None)
        lines = await _csv(house, "/v1/statements?format=csv")
        assert {line["state"] for line in lines if line["record"] == "rows"} == {"unknown"}
        assert [line["note"] for line in lines if line["record"] == "note"]
        assert read_xlsx((await house.client.get(f"{path}?format=xlsx")).content)["note"]
        assert (await house.client.get("/v1/balances")).status_code == 503
        async with client_as(house, Role.NATIONAL) as client:
            client.headers["Accept"] = "text/html"
            for page in ("/statements", f"/statements/2026-10.44.{BLUE}", f"/enterprises/{BLUE}?period=2026-10"):
                assert "缴费状态暂不可用" in (await client.get(page)).text, page
    finally:
        house.others.is_away = False


async def test_money_paid_over_is_shown_wherever_money_is(house: House) -> None:
    """What arrived is settled, late fees and a balance: on statement, list and enterprise's page, and in files."""
    arrived = (await house.client.get("/v1/remittances")).json()["remittances"]
    balances = (await house.client.get("/v1/balances")).json()["balances"]
    whole = sum(Decimal(row["amount_yuan"]) for row in arrived)
    assert sum(Decimal(row["received_yuan"]) for row in balances) == whole == Decimal("144.47")
    for row in balances:
        used = Decimal(row["settled_yuan"]) + Decimal(row["late_fees_paid_yuan"]) + Decimal(row["balance_yuan"])
        assert used == Decimal(row["received_yuan"])
    one = (await house.client.get(f"/v1/statements/2026-10.44.{BLUE}")).json()
    assert (one["balance"]["balance_yuan"], one["remittance_count"]) == ("101.00", 2)
    for path in (f"/v1/statements/2026-10.44.{BLUE}?format=csv", "/v1/statements?format=csv&province=44"):
        rows = [line for line in await _csv(house, path) if line["record"] == "balances"]
        assert [row["balance_yuan"] for row in rows] == ["101.00"], path
    async with client_as(house, Role.ENTERPRISE) as client:
        client.headers["Accept"] = "text/html"
        pages = {"/statements": "102.00", f"/statements/2026-10.44.{BLUE}": "101.00", f"/enterprises/{BLUE}": "102.00"}
        for path, balance in pages.items():
            page = (await client.get(path)).text
            assert _fact(page, "余额（多缴，结转下期）") == balance, path


async def _csv(house: House, path: str) -> list[dict[str, Any]]:
    return list(csv.DictReader(io.StringIO((await house.client.get(path)).text.lstrip("\ufeff"))))


def _fact(page: str, label: str) -> str:
    shown = re.search(rf"<dt>{label}</dt><dd><div class=\"big\">([^<]*?) <small>", page)
    assert shown, page
    return shown[1]
