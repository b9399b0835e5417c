"""Every page and every download shows what the reader's key allows, and nothing else; nothing in it is markup."""

import csv
import io
from collections.abc import AsyncIterator
from datetime import date
from html.parser import HTMLParser
from pathlib import Path

import pytest

from services.reporting.csv_tables import guarded, write_csv
from services.reporting.words import grouped
from tests.integration.other_services import OtherServices
from tests.integration.reporting_house import (
    BLUE,
    GREEN,
    SERVICE_KEY,
    WORKER,
    House,
    closed_day,
    first_time,
    make_keys,
    reporting_house,
    statement,
    total,
    worker_count,
)

DAY, EARLIER = date(2026, 10, 3), date(2026, 10, 2)
DAY_PAGE, OTHER_DAY_PAGE = "/days/2026-10-03/44", "/days/2026-10-03/11"
STATEMENT_PAGE = f"/statements/2026-10.44.{BLUE}"
EVIL = "<script>alert(1)</script>"
SCHEME = {
    "provinces.csv": "code,joined_on,notice\n44,2022-07-01,none\n11,2022-07-01,none\n",
    "enterprises.csv": f'uscc,name,known_platform\n{BLUE},"蓝鸟配送 {EVIL} & Co",true\n{GREEN},"=绿叶出行",true\n',
    "tariff-test.csv": "number,province,industry,enterprise,valid_from,valid_to,base_yuan,notice\n"
    "7,44,instant_delivery,,2022-07-01,,0.25,none\n",
    "cancellation.csv": "valid_from,mode,elapsed_seconds,source\n2022-07-01,charge_all_accepted,0,none\n",
}


@pytest.fixture
def scheme(tmp_path: Path) -> Path:
    """A scheme whose names are as bad as names can be."""
    folder = tmp_path / "scheme"
    folder.mkdir()
    for name, text in SCHEME.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


@pytest.fixture
async def house(database: str, platform_database: str, tmp_path: Path, scheme: Path) -> AsyncIterator[House]:
    named = [{"enterprise": BLUE, "worker_id": WORKER, "employer_insurance_no": "E-1", "orders": 3}]
    others = OtherServices(tokens={("2026-10-03", "44"): [WORKER]}, exclusions={("2026-10-03", "44"): named})
    keys = make_keys(tmp_path)
    async with reporting_house(database, platform_database, keys, others, scheme=[scheme]) as house:
        await house.tell(
            closed_day(
                DAY,
                [
                    total(DAY, "charged", 12_345),
                    total(EARLIER, "reversed", 4, reason="cancelled"),
                    total(DAY, "charged", 777, enterprise=GREEN, tariff_line=9, premium=777 * 100),
                    total(DAY, "excluded", 3, reason="insured_as_employee"),
                    total(DAY, "excluded", 5, enterprise=GREEN, reason="enterprise_not_enrolled"),
                    total(DAY, "charged", 888, enterprise=GREEN, province="11", premium=888 * 2_500),
                ],
                workers=[worker_count(DAY, BLUE, 4_001), worker_count(DAY, GREEN, 302), worker_count(DAY, None, 4_203)],
                first_time=[first_time(1)],
            ),
            statement(12_341),
            statement(777, GREEN),
            statement(888, GREEN, "11"),
        )
        await house.settled()
        yield house


STATUSES = [
    ("made-up", {"/": 401, DAY_PAGE: 401, STATEMENT_PAGE: 401, "/discrepancies": 401, "/reports.csv": 401}),
    ("", {"/": 401, DAY_PAGE: 401, STATEMENT_PAGE: 401, "/discrepancies": 401, "/reports.csv": 401}),
    ("key-national", {"/": 200, DAY_PAGE: 200, OTHER_DAY_PAGE: 200, STATEMENT_PAGE: 200, "/discrepancies": 200}),
    (SERVICE_KEY, {"/": 200, DAY_PAGE: 200, OTHER_DAY_PAGE: 200, STATEMENT_PAGE: 200, "/discrepancies": 200}),
    ("key-44", {"/": 200, DAY_PAGE: 200, OTHER_DAY_PAGE: 403, STATEMENT_PAGE: 200, "/discrepancies": 200}),
    ("key-11", {"/": 200, DAY_PAGE: 403, OTHER_DAY_PAGE: 200, STATEMENT_PAGE: 404, "/discrepancies": 200}),
    ("key-blue", {"/": 200, DAY_PAGE: 200, OTHER_DAY_PAGE: 404, STATEMENT_PAGE: 200, "/discrepancies": 200}),
    ("key-green", {"/": 200, DAY_PAGE: 200, OTHER_DAY_PAGE: 200, STATEMENT_PAGE: 404, "/discrepancies": 200}),
]


async def test_each_page_and_download_with_each_key(house: House) -> None:
    for key, pages in STATUSES:
        for path, status in pages.items():
            assert (await house.page(path, key)).status_code == status, (key, path)
            if path.startswith(("/days", "/statements", "/discrepancies")):
                assert (await house.page(f"{path}.csv", key)).status_code == status, (key, path)


async def test_a_browser_is_led_to_the_sign_in_and_told_in_words(house: House) -> None:
    answer = await house.page("/", "made-up")
    assert answer.status_code == 401
    assert "无法显示" in answer.text
    del house.client.headers["Authorization"]
    answer = await house.client.get("/discrepancies?state=open", headers={"Accept": "text/html"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in?next=%2Fdiscrepancies%3Fstate%3Dopen")
    assert (await house.page("/days/2026-13-77/44", "key-44")).status_code == 422
    assert (await house.page("/days/2026-10-09/44", "key-44")).status_code == 404
    for path in ("/days/2026-10-03/%00", "/statements/a%00b", "/statements/%27.csv", "/?period=%00"):
        assert (await house.page(path, "key-national")).status_code == 422, path


async def test_an_enterprise_sees_its_own_rows_and_no_total_of_others(house: House) -> None:
    others = {GREEN, "绿叶", "777", "7.77", "4,203", "4203", "302", "12,345 ", "registration.", "enrolled"}
    for path in (DAY_PAGE, f"{DAY_PAGE}.csv", "/", "/reports.csv", STATEMENT_PAGE):
        text = (await house.page(path, "key-blue")).text
        assert BLUE in text, path
        assert not {each for each in others if each in text}, path
    shown = (await house.page(DAY_PAGE, "key-blue")).text
    for figure in ("12,345", "3,085.25", "4,001", "12,341", "-1.00"):
        assert figure in shown
    index = (await house.page("/", "key-green")).text
    assert BLUE not in index
    assert "7.77" in index
    assert "222.00" in index


async def test_a_province_sees_its_reports_whole_and_no_other(house: House) -> None:
    shown = (await house.page(DAY_PAGE, "key-44")).text
    for figure in (BLUE, GREEN, "12,345", "777", "4,203", "13,118", "registration.2026-10-03.44.1"):
        assert figure in shown
    for path in ("/", "/reports.csv"):
        text = (await house.page(path, "key-44")).text
        assert "2026-10-03" in text
        assert "888" not in text
        assert "Beijing" not in text
    assert "888" in (await house.page("/", "key-national")).text


async def test_discrepancies_are_cut_to_the_scope(house: House) -> None:
    await house.intake.take_day_closed(b"not JSON")
    expected = {"key-national": 2, "key-44": 1, "key-blue": 1, "key-11": 0, "key-green": 0}
    for key, count in expected.items():
        rows = read_csv((await house.page("/discrepancies.csv", key)).content)
        assert len(rows) == count, key
        assert ("E-1" in (await house.page("/discrepancies", key)).text) == (count > 0), key


class Tags(HTMLParser):
    """Which tags a page has, and where its attributes point."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.targets: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.targets |= {value or "" for name, value in attrs if name in ("href", "src", "action")}


async def test_pages_hold_no_script_and_no_other_host(house: House) -> None:
    for path in ("/", DAY_PAGE, STATEMENT_PAGE, "/discrepancies"):
        answer = await house.page(path, "key-national")
        found = Tags()
        found.feed(answer.text)
        assert not found.tags & {"script", "img", "iframe", "link", "form", "object"}
        assert all(target.startswith("/") and not target.startswith("//") for target in found.targets), found.targets
        assert answer.headers["content-security-policy"].startswith("default-src 'none'; style-src 'sha256-")
        assert answer.headers["cache-control"] == "private, no-store"
        if path != "/discrepancies":
            assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; Co" in answer.text


def read_csv(body: bytes) -> list[dict[str, str]]:
    assert body.startswith(b"\xef\xbb\xbf")
    return list(csv.DictReader(io.StringIO(body.decode("utf-8-sig"), newline="")))


async def test_downloads_are_for_spreadsheets(house: House) -> None:
    answer = await house.page(f"{DAY_PAGE}.csv", "key-44")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"] == "attachment; filename*=UTF-8''coverage-2026-10-03-44.csv"
    rows = read_csv(answer.content)
    lines = [row for row in rows if row["record"] in ("line", "amendment")]
    assert [(row["insured_on"], row["orders"], row["premium_yuan"]) for row in lines] == [
        ("2026-10-02", "-4", "-1.00"),
        ("2026-10-03", "12345", "3086.25"),
        ("2026-10-03", "777", "7.77"),
    ]
    assert {row["enterprise_name"] for row in lines if row["enterprise"] == GREEN} == {"'=绿叶出行"}
    counts = {row["record"]: row["distinct_workers"] for row in rows if row["enterprise"] == ""}
    assert counts == {"distinct_workers_in_province": "4203", "first_time_workers_in_province": "1"}
    bill = read_csv((await house.page(f"{STATEMENT_PAGE}.csv", "key-blue")).content)
    assert [(row["record"], row["amount_yuan"]) for row in bill] == [("line", "3085.25"), ("total", "3085.25")]


@pytest.mark.parametrize("text", ["=1+1", "+1+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "-1e5"])
def test_formulas_are_made_harmless(text: str) -> None:
    assert guarded(text) == "'" + text


def test_plain_cells_stay_as_they_are() -> None:
    assert [guarded(cell) for cell in ("-0.50", -4, None, "蓝鸟", "a=b", "")] == ["-0.50", "-4", "", "蓝鸟", "a=b", ""]
    assert write_csv(("a", "b"), [{"a": 'x,"y"', "c": 1}]) == b'\xef\xbb\xbfa,b\r\n"x,""y""",\r\n'


@pytest.mark.parametrize(
    ("number", "shown"), [(0, "0"), (1234567, "1,234,567"), ("-1234.50", "-1,234.50"), ("-0.50", "-0.50")]
)
def test_numbers_are_grouped(number: int | str, shown: str) -> None:
    assert grouped(number) == shown
