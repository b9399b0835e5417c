"""The portal's API: one form for errors, pages and money; three forms for a report, in which nothing runs; and every
request that its description allows, sent by every role, is answered without a failure or a row of somebody else's."""

import csv
import html
import io
import re
import zipfile
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import httpx
import msgspec
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable

from services.reporting.access.viewers import Role
from services.reporting.downloads.spreadsheet_cells import Table, guarded, visible, write_csv, write_xlsx
from shared.contracts.manifests import RemittanceReceived
from tests.integration.portal.read_model_harness import play, projected
from tests.integration.reporting.other_services import OtherServices
from tests.integration.reporting.reporting_harness import BLUE, GREEN, House, make_keys, reporting_house, statement
from tests.integration.reporting.test_reporting_roles import client_as
from tests.support.servers import Postgres, drop_database, make_database

DAY = date(2026, 10, 3)
EVIL = ("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "a;=1+1", "<script>alert(1)</script>", "a\x00b\u202ec\ud7ffd")
SCHEME = {
    "provinces.csv": "code,joined_on,notice\n44,2022-07-01,none\n11,2022-07-01,none\n31,2022-07-01,none\n",
    "enterprises.csv": f'uscc,name,known_platform\n{BLUE},"=cmd|\' /C calc\'!A0",true\n{GREEN},"绿叶\u202e出行",true\n',
    "tariff-test.csv": "number,province,industry,enterprise,valid_from,valid_to,base_yuan,notice\n"
    "7,44,instant_delivery,,2022-07-01,,0.25,none\n",
    "cancellation.csv": "valid_from,mode,elapsed_seconds,source\n2022-07-01,charge_all_accepted,0,none\n",
}
REPORTS = (
    "/v1/sheets?first=2026-10-03",
    "/v1/sheets?first=2026-10-01&last=2026-10-31&province=44",
    "/v1/statements",
    f"/v1/statements/2026-10.44.{BLUE}",
    "/v1/remittances",
    "/v1/discrepancies?period=2026-10",
    "/v1/reports",
    "/v1/reports/coverage.2026-10-03.44",
    f"/v1/reports/declaration.2026-10.44.{BLUE}",
)


@pytest.fixture(scope="module")
async def house(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    """Some days of two enterprises in three provinces, statements, money: one house for tests that only read."""
    names = [await make_database(postgres) for _ in range(2)]
    own, platform = map(postgres.url, names)
    async with filled_house(own, platform, tmp_path_factory.mktemp("house")) as house:
        yield house
    for name in names:
        await drop_database(postgres, name)


@asynccontextmanager
async def filled_house(database: str, platform_database: str, tmp_path: Path) -> AsyncIterator[House]:
    folder = tmp_path / "scheme"
    folder.mkdir()
    for name, text in SCHEME.items():
        (folder / name).write_text(text, encoding="utf-8")
    async with reporting_house(
        database, platform_database, make_keys(tmp_path), OtherServices(), scheme=[folder]
    ) as house:
        await house.receive(*play(4, date(2026, 9, 28), 8))
        for province in ("44", "11"):
            await house.receive(statement(12_341, BLUE, province), statement(777, GREEN, province))
        for number, enterprise in enumerate((BLUE, GREEN, BLUE)):
            reported = RemittanceReceived(
                remittance_id=f"r.{number}", enterprise=enterprise, province="44", amount_yuan="12.30", received_on=DAY
            )
            await house.intake.take_remittance(msgspec.json.encode(reported))
        await house.settled()
        await projected(house)
        yield house


async def test_errors_are_problems(house: House) -> None:
    async with client_as(house, Role.ENTERPRISE) as client:
        expected = {
            "/v1/sheets?first=yesterday": 422,
            "/v1/sheets?first=2026-10-03&last=2026-10-02": 422,
            "/v1/sheets?first=2026-10-03&format=pdf": 422,
            "/v1/statements/none": 404,
            f"/v1/statements/2026-10.44.{GREEN}": 404,
            "/v1/reports/coverage.2026-10-03.44": 404,
            f"/v1/sheets?first=2026-10-03&enterprise={GREEN}": 403,
            f"/v1/arrivals?enterprise={GREEN}": 403,
            "/v1/accounts": 403,
            "/v1/nothing": 404,
        }
        answers = {path: await client.get(path) for path in expected}
        answers["/v1/overview"] = await client.post("/v1/overview")
        async with client_as(house, None) as nobody:
            answers["nobody"] = await nobody.get("/v1/overview")
    expected |= {"/v1/overview": 405, "nobody": 401}
    assert {path: answer.status_code for path, answer in answers.items()} == expected
    for path, answer in answers.items():
        assert answer.headers["content-type"] == "application/problem+json", path
        problem = answer.json()
        assert (problem["status"], problem["type"]) == (answer.status_code, "about:blank"), path
        assert problem["title"], path
        assert problem["detail"], path


async def test_each_report_in_its_three_forms(house: House) -> None:
    for path in REPORTS:
        sign = "&" if "?" in path else "?"
        forms = {form: await house.client.get(f"{path}{sign}format={form}") for form in ("json", "csv", "xlsx")}
        assert {answer.status_code for answer in forms.values()} == {200}, path
        lines = list(csv.DictReader(io.StringIO(forms["csv"].content.decode("utf-8-sig"))))
        sheets = read_xlsx(forms["xlsx"].content)
        assert sum(max(len(rows) - 1, 0) for rows in sheets.values()) == len(lines), path
        assert lines, path
        assert forms["csv"].headers["content-disposition"].startswith("attachment; filename*=UTF-8''"), path
        assert not [cell for line in lines for cell in line.values() if is_run(cell)], path
        for cell in (cell for rows in sheets.values() for row in rows for cell in row):
            assert "\u202e" not in str(cell), path
    sheet = (await house.client.get(REPORTS[1])).json()
    in_csv = list(
        csv.DictReader(io.StringIO((await house.client.get(REPORTS[1] + "&format=csv")).text.lstrip("\ufeff")))
    )
    figures = next(line for line in in_csv if line["record"] == "figures")
    assert {name: figures[name] for name in ("orders", "premium_yuan")} == {
        name: str(sheet["figures"][name]) for name in ("orders", "premium_yuan")
    }
    names = {line["name"] for line in in_csv if line["record"] == "enterprises"}
    assert names == {"'=cmd|' /C calc'!A0", "绿叶\\u202e出行"}
    in_xlsx = read_xlsx((await house.client.get(REPORTS[1] + "&format=xlsx")).content)["figures"]
    assert Decimal(sheet["figures"]["premium_yuan"]) in in_xlsx[1]


def is_run(cell: str | None) -> bool:
    """Whether a spreadsheet would take the cell for a formula."""
    return bool(cell) and bool(re.match(r"[=+@\t\r\n-]", str(cell))) and not re.fullmatch(r"-?\d+(\.\d+)?", str(cell))


def read_xlsx(body: bytes) -> dict[str, list[list[Any]]]:
    """Cells by sheet; a formula in one fails."""
    space = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
    with zipfile.ZipFile(io.BytesIO(body)) as book:
        strings = []
        if "xl/sharedStrings.xml" in book.namelist():
            root = ET.fromstring(book.read("xl/sharedStrings.xml"))  # noqa: S314 - we wrote it
            strings = ["".join(item.itertext()) for item in root.iter(f"{space}si")]
        names = [sheet.get("name", "") for sheet in ET.fromstring(book.read("xl/workbook.xml")).iter(f"{space}sheet")]  # noqa: S314 - as above
        sheets: dict[str, list[list[Any]]] = {}
        for number, name in enumerate(names, 1):
            root = ET.fromstring(book.read(f"xl/worksheets/sheet{number}.xml"))  # noqa: S314 - as above
            assert not list(root.iter(f"{space}f")), name
            assert not list(root.iter(f"{space}hyperlink")), name
            sheets[name] = [[_cell(cell, strings, space) for cell in row] for row in root.iter(f"{space}row")]
    return sheets


def _cell(cell: ET.Element, strings: list[str], space: str) -> Any:
    value = cell.findtext(f"{space}v")
    if cell.get("t") == "s":
        return strings[int(value or 0)]
    return "".join(cell.itertext()) if cell.get("t") == "inlineStr" else Decimal(value or 0)


async def written(chunks: AsyncIterator[bytes]) -> bytes:
    """A download in one piece."""
    return b"".join([chunk async for chunk in chunks])


async def test_nothing_that_somebody_sent_runs_in_a_table() -> None:
    table = Table("rows", ["order_id", "count", "paid_yuan"], [{"order_id": value, "count": 3} for value in EVIL])
    lines = list(csv.reader(io.StringIO((await written(write_csv([table]))).decode("utf-8-sig"))))
    assert [line[1] for line in lines[1:]] == [guarded(value) for value in EVIL]
    assert not [line for line in lines if is_run(line[1])]
    assert guarded("a;=1+1") == "a;'=1+1"
    assert guarded("＝1+1") == "'＝1+1"
    assert guarded("-1.5") == "-1.5"
    assert visible("a\x00\x7f\u202e\u2028b 单") == "a␀␡\\u202e\\u2028b 单"
    rows = read_xlsx(await written(write_xlsx([table])))["rows"]
    assert [row[0] for row in rows[1:]] == [visible(value) for value in EVIL]
    assert all(str(cell).isprintable() for row in rows for cell in row)


async def test_lists_are_read_page_by_page(house: House) -> None:
    for path, name, key in (
        ("/v1/statements", "statements", "statement_id"),
        ("/v1/remittances", "remittances", "remittance_id"),
        ("/v1/reports", "reports", "report_id"),
    ):
        whole = (await house.client.get(path)).json()
        assert whole["next"] is None
        seen, cursor = [], None
        while True:
            answer = (await house.client.get(path, params={"limit": 1} | ({"after": cursor} if cursor else {}))).json()
            seen += answer[name]
            cursor = answer["next"]
            if cursor is None:
                break
        assert [row[key] for row in seen] == [row[key] for row in whole[name]]
        assert len(seen) > 2


async def test_a_statement_says_where_it_stands(house: House) -> None:
    path = f"/v1/statements/2026-10.44.{BLUE}"
    reported = (await house.client.get(path)).json()
    assert (reported["statement"]["state"], reported["statement"]["outstanding_yuan"]) == ("declared", None)
    assert reported["statement"]["amount_yuan"] == "3085.25"
    assert reported["lines"][0]["base_yuan"] == "0.25"
    assert {remittance["enterprise"] for remittance in reported["remittances"]} == {BLUE}
    payment = {
        "enterprise": BLUE, "province": "44", "statement_id": f"2026-10.44.{BLUE}", "due_on": "2026-11-16",
        "due_yuan": "3085.25", "remitted_yuan": "24.60", "outstanding_yuan": "3060.65", "arrears_yuan": "3060.65",
        "late_fee_yuan": "1.53",
    }  # fmt: skip
    for changes, state in (
        ({}, "overdue"),
        ({"arrears_yuan": "0.00"}, "part_paid"),
        ({"outstanding_yuan": "0.00", "arrears_yuan": "0.00"}, "paid"),
    ):
        house.others.payments = [payment | changes]
        assert (await house.client.get(path)).json()["statement"]["state"] == state
    house.others.payments, house.others.is_away = [], True
    assert (await house.client.get(path)).json()["statement"]["state"] == "unknown"
    assert (await house.client.get("/v1/evidence")).status_code == 503
    house.others.is_away = False


async def test_a_due_date_that_a_notice_moved_later_is_shown_as_the_books_have_it(house: House) -> None:
    """The statement was issued with 2026-11-16; the books say what holds now, and whether it may still move."""
    path = f"/statements/2026-10.44.{BLUE}"
    payment = {
        "enterprise": BLUE, "province": "44", "statement_id": f"2026-10.44.{BLUE}", "due_on": "2026-11-18",
        "due_on_is_provisional": True, "due_yuan": "3085.25", "remitted_yuan": "0.00", "outstanding_yuan": "3085.25",
        "arrears_yuan": "0.00", "late_fee_yuan": "0.00",
    }  # fmt: skip
    house.others.payments = [payment]
    shown = (await house.client.get(f"/v1{path}")).json()["statement"]
    assert (shown["due_on"], shown["due_on_is_provisional"], shown["state"]) == ("2026-11-18", True, "declared")
    assert "暂定缴费期限 2026-11-18" in (await house.client.get(path)).text
    assert "2026-11-18<br>" in (await house.client.get("/statements")).text
    house.others.payments = []


async def test_a_download_holds_the_statements_of_its_page(house: House) -> None:
    paid = {
        "enterprise": BLUE, "province": "44", "statement_id": f"2026-10.44.{BLUE}", "due_on": "2026-11-16",
        "due_yuan": "3085.25", "remitted_yuan": "3085.25", "outstanding_yuan": "0.00", "arrears_yuan": "0.00",
        "late_fee_yuan": "0.00",
    }  # fmt: skip
    house.others.payments = [paid]
    links = {}
    for state, count in (("paid", 1), ("declared", 3), ("overdue", 0), ("", 4)):
        page = (await house.client.get("/statements", params={"state": state})).text
        links[state] = html.unescape(re.findall(r'href="(/v1/statements[^"]*format=csv)"', page)[0])
        reported = csv.DictReader(io.StringIO((await house.client.get(links[state])).text.lstrip("\ufeff")))
        standing = [row["state"] for row in reported if row["record"] == "rows"]
        assert (len(standing), set(standing) - {state}) == (count, set() if state else {"paid", "declared"}), state
    house.others.payments = []
    assert "limit" not in links[""]
    whole = (await house.client.get("/v1/statements", params={"state": "paid", "limit": 1})).json()
    assert (whole["statements"], whole["next"]) == ([], None)


async def test_the_description_is_openapi_3_1_with_examples(house: House) -> None:
    document = (await house.client.get("/openapi.json")).json()
    assert document["openapi"].startswith("3.1")
    for path in ("/v1/overview", "/v1/sheets", "/v1/statements", "/v1/statements/{statement_id}", "/v1/reports"):
        operation = document["paths"][path]["get"]
        assert operation["description"], path
        assert "application/problem+json" in operation["responses"]["403"]["content"], path
    assert set(document["paths"]["/v1/sheets"]["get"]["responses"]["200"]["content"]) >= {"text/csv; charset=utf-8"}
    figures = document["components"]["schemas"]["Period"]["properties"]
    assert figures["premium_yuan"]["examples"] == ["3085.25"]
    assert figures["premium_yuan"]["type"] == "string"


SCOPES = {Role.PROVINCE: ("province", "44"), Role.ENTERPRISE: ("enterprise", BLUE)}


async def test_whatever_the_description_allows(house: House) -> None:
    """Every operation called by every role, as its description allows and as it does not: no failure, and nothing out
    of scope."""
    document = (await house.client.get("/openapi.json")).json()
    schema: Any = schemathesis.openapi.from_dict(document)
    requests = [case for operation in schema.get_all_operations() for case in cases(operation.ok())]
    statuses = Counter[tuple[Role, int]]()
    for role in Role:
        async with client_as(house, role) as client:
            for case in requests:
                answer = await send(client, case)
                reported = f"{role} {case.method} {case.formatted_path} {case.query} {case.body}: {answer.text[:300]}"
                statuses[role, answer.status_code] += 1
                assert answer.status_code < 500, reported
                check_form(answer, reported)
                if role in SCOPES and answer.headers.get("content-type", "").startswith("application/json"):
                    name, own = SCOPES[role]
                    assert {value for value in named(answer.json(), name) if value is not None} <= {own}, reported
    assert all(statuses[role, 200] and statuses[role, 422] for role in Role), statuses


def check_form(answer: httpx.Response, reported: str) -> None:
    if answer.status_code >= 400:
        assert answer.headers["content-type"] == "application/problem+json", reported


def cases(operation: Any) -> Iterator[Any]:
    """A few requests that fit the operation's description, and a few that do not; the same in every run."""
    collected: list[Any] = []
    for mode in schemathesis.GenerationMode:

        @seed(1)
        @settings(
            max_examples=4, database=None, deadline=None, phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(operation.as_strategy(generation_mode=mode))
        def collect(case: Any) -> None:
            collected.append(case)

        with suppress(Unsatisfiable):
            collect()
    yield from collected


async def send(client: httpx.AsyncClient, case: Any) -> httpx.Response:
    arguments = case.as_transport_kwargs(base_url="http://test")
    return await client.request(
        arguments["method"],
        arguments["url"],
        params=arguments.get("params"),
        json=arguments.get("json"),
        headers={k: v for k, v in (arguments.get("headers") or {}).items() if k.lower() != "user-agent"},
    )


def named(reported: Any, name: str) -> Iterator[Any]:
    """Every value under this name, at any depth; the map's provinces without figures are on every map."""
    if isinstance(reported, dict):
        if "is_in_pilot" in reported and reported["figures"] is None:
            return
        for key, value in reported.items():
            if key == name:
                yield value
            yield from named(value, name)
    elif isinstance(reported, list):
        for item in reported:
            yield from named(item, name)
