"""The portal's pages: every role sees its share, in either language; what an enterprise sends stays text."""

from base64 import b64encode
from collections.abc import AsyncIterator
from datetime import date
from html.parser import HTMLParser
from pathlib import Path

import pytest
from msgspec.structs import replace

from services.reporting.rendering.texts import change_text, grouped, read_texts
from shared.domain.scheme.province import PROVINCES
from tests.integration.portal.read_model_harness import projected
from tests.integration.reporting.other_services import OtherServices
from tests.integration.reporting.reporting_harness import (
    BLUE,
    GREEN,
    SERVICE_KEY,
    WORKER,
    House,
    bearer,
    closed_day,
    first_time,
    make_keys,
    reporting_house,
    statement,
    total,
    worker_count,
)

DAY, EARLIER = date(2026, 10, 3), date(2026, 10, 2)
SHEET, OTHER_SHEET = "/days/2026-10-03/44", "/days/2026-10-03/11"
REPORT = "/reports/2026-10-03/44"
STATEMENT = f"/statements/2026-10.44.{BLUE}"
STREAM = f"/enterprises/{BLUE}/parked"
EVIL = "<script>alert(1)</script>"
CURSOR = "7.3"
SCHEME = {
    "provinces.csv": "code,joined_on,notice\n44,2022-07-01,none\n11,2022-07-01,none\n",
    "enterprises.csv": f'uscc,name,known_platform\n{BLUE},"蓝鸟配送 {EVIL} & Co",true\n{GREEN},"=绿叶出行",true\n',
    "tariff-test.csv": "number,province,industry,enterprise,valid_from,valid_to,base_yuan,notice\n"
    "7,44,instant_delivery,,2022-07-01,,0.25,none\n",
    "cancellation.csv": "valid_from,mode,elapsed_seconds,source\n2022-07-01,charge_all_accepted,0,none\n",
}
PARKED = {
    "cursor": CURSOR,
    "topic": f"orders.v1.{BLUE}",
    "partition": 0,
    "offset": 17,
    "record_time_ms": 1_790_000_000_000,
    "headers": [[EVIL, b64encode(f'"{EVIL}\u202e'.encode()).decode()]],
    "reason": "not_json",
    "detail": f"'{EVIL}",
    "bytes": 60,
    "value_base64": b64encode(f"{EVIL}</pre>\x00\x1b[31m\u202e\u200b".encode()).decode(),
    "sha256": "0" * 64,
    "redacted": "60 bytes that are no JSON",
    "erased_at": None,
    "altered": None,
    "was_resent": False,
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
    others = OtherServices(
        tokens={("2026-10-03", "44"): [WORKER]}, exclusions={("2026-10-03", "44"): named}, parked=[PARKED]
    )
    async with reporting_house(database, platform_database, make_keys(tmp_path), others, scheme=[scheme]) as house:
        await house.receive(
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
        await projected(house)
        yield house


async def show(house: House, path: str, key: str) -> tuple[int, str]:
    """Status and text of a page as a browser gets it with this key."""
    answer = await house.client.get(path, headers={"Accept": "text/html", **bearer(key)})
    return answer.status_code, answer.text


STATUSES = [
    ("key-national", {"/": 200, SHEET: 200, REPORT: 200, STATEMENT: 200, "/discrepancies": 200, STREAM: 200}),
    (SERVICE_KEY, {"/": 200, SHEET: 200, REPORT: 200, STATEMENT: 200, "/discrepancies": 200, STREAM: 200}),
    ("key-44", {"/": 303, SHEET: 200, REPORT: 200, STATEMENT: 200, "/discrepancies": 200, STREAM: 403}),
    ("key-11", {"/": 303, SHEET: 404, REPORT: 404, STATEMENT: 404, "/discrepancies": 200, STREAM: 403}),
    ("key-blue", {"/": 303, SHEET: 200, REPORT: 403, STATEMENT: 200, "/discrepancies": 200, STREAM: 200}),
    ("key-green", {"/": 303, SHEET: 200, REPORT: 403, STATEMENT: 404, "/discrepancies": 200, STREAM: 404}),
]


async def test_each_page_with_each_key(house: House) -> None:
    for key, pages in STATUSES:
        for path, status in pages.items():
            assert (await show(house, path, key))[0] == status, (key, path)


async def test_provinces_outside_the_pilot_are_shown_as_such(house: House) -> None:
    _, text = await show(house, "/", "key-national")
    assert text.count('<path class="outside"') == 31 - 2
    assert text.count(">尚未试点</td>") == len(PROVINCES) - 2  # the Corps (66) has a row, and no place on the map
    assert "山西省：尚未试点" in text
    assert "广东省：尚未试点" not in text


async def test_a_browser_without_a_session_is_led_to_the_sign_in(house: House) -> None:
    assert (await show(house, SHEET, "no-such-key"))[0] == 401
    del house.client.headers["Authorization"]
    answer = await house.client.get(SHEET, headers={"Accept": "text/html"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in?next=%2Fdays%2F2026-10-03%2F44")


async def test_an_enterprise_sees_its_own_rows_and_no_total_of_others(house: House) -> None:
    others = {GREEN, "绿叶", "777", "7.77", "4,203", "4203", "302", "13,118", "registration."}
    for path in (SHEET, f"/enterprises/{BLUE}", "/months/2026-10", "/statements", STATEMENT):
        _, text = await show(house, path, "key-blue")
        assert "蓝鸟" in text, path
        assert not {other for other in others if other in text}, path
    _, shown = await show(house, SHEET, "key-blue")
    for figure in ("12,345", "3,086.25", "4,001"):
        assert figure in shown
    _, listed = await show(house, "/statements", "key-green")
    assert BLUE not in listed
    assert "194.25" in listed
    assert "222.00" in listed


async def test_a_province_sees_itself_whole_and_no_other(house: House) -> None:
    _, shown = await show(house, SHEET, "key-44")
    for figure in ("13,122", "12,345", "777", "4,203"):
        assert figure in shown
    _, report = await show(house, REPORT, "key-44")
    for figure in (BLUE, GREEN, "4,203", "registration.2026-10-03.44.1", WORKER[:16]):
        assert figure in report
    for path in ("/provinces/44", "/months/2026-10", "/statements", OTHER_SHEET):
        _, text = await show(house, path, "key-44")
        assert "888" not in text, path
    assert "888" in (await show(house, OTHER_SHEET, "key-national"))[1]


async def test_looks_at_single_orders_are_written_down(house: House) -> None:
    await show(house, REPORT, "key-44")
    await show(house, f"{STREAM}/{CURSOR}", "key-blue")
    _, entries = await show(house, "/looks", "key-national")
    for said in ("不计费人员名单", "coverage.2026-10-03.44", "搁置事件原文", CURSOR):
        assert said in entries


class Tags(HTMLParser):
    """Which tags a page has, where its attributes point, and whether any attribute is a script or a style."""

    def __init__(self) -> None:
        super().__init__()
        self.scripts: list[str | None] = []
        self.targets: set[str] = set()
        self.inline: set[str] = set()
        self.languages: set[str | None] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = dict(attrs)
        if tag == "script":
            self.scripts.append(known.get("src"))
        if tag == "html":
            self.languages.add(known.get("lang"))
        self.targets |= {value or "" for name, value in attrs if name in ("href", "src", "action")}
        self.inline |= {name for name in known if name.startswith("on") or name == "style"}


@pytest.mark.parametrize("language", ["zh-Hans", "en"])
async def test_pages_run_nothing_but_the_portals_script_and_name_no_other_host(house: House, language: str) -> None:
    pages = ("/", SHEET, REPORT, STATEMENT, "/statements", "/discrepancies", "/months/2026-10", STREAM)
    for path in (*pages, f"{STREAM}/{CURSOR}", f"/enterprises/{BLUE}/trial", "/evidence"):
        answer = await house.client.get(f"{path}?lang={language[:2]}", headers={"Accept": "text/html"})
        assert answer.status_code == 200, (path, answer.text[:300])
        tags = Tags()
        tags.feed(answer.text)
        assert [script.partition("?")[0] for script in tags.scripts if script] == ["/static/portal.js"], path
        assert tags.inline == set(), path
        assert tags.languages == {language}
        assert all(target.startswith(("/", "#", "?")) and not target.startswith("//") for target in tags.targets), path
        policy = answer.headers["content-security-policy"]
        assert "unsafe" not in policy
        assert policy.startswith("default-src 'none'; ")
        assert answer.headers["cache-control"] == "no-store"
        assert "<script>alert" not in answer.text
        assert not set(answer.text) & {"\x00", "\x1b", "\u202e", "\u200b"}, path


async def test_the_very_bytes_are_shown_escaped_and_handed_out_whole(house: House) -> None:
    _, shown = await show(house, f"{STREAM}/{CURSOR}", "key-blue")
    assert "&lt;script&gt;alert(1)&lt;/script&gt;&lt;/pre&gt;\\x00\\x1b[31m\\u202e\\u200b" in shown
    answer = await house.client.get(f"{STREAM}/{CURSOR}/bytes", headers=bearer("key-blue"))
    assert answer.content == f"{EVIL}</pre>\x00\x1b[31m\u202e\u200b".encode()
    assert answer.headers["content-type"] == "application/octet-stream"


async def test_errors_are_said_in_the_readers_language(house: House) -> None:
    for path, status in (("/days/2026-13-77", 422), ("/days/2026-10-03/%00", 422), ("/statements/a%00b", 422),
                         ("/statements/nothing", 404), ("/discrepancies/99", 404), ("/provinces/99", 404),
                         ("/static/nothing.css", 404), ("/industries/taxi", 422)):  # fmt: skip
        assert (await show(house, path, "key-national"))[0] == status, path
    assert "Nothing" not in (await show(house, "/statements/nothing", "key-national"))[1]
    assert "Not found" in (await show(house, "/statements/nothing?lang=en", "key-national"))[1]


async def test_a_state_is_added_with_a_reason_and_by_whom(house: House) -> None:
    _, register = await show(house, "/discrepancies", "key-44")
    number = register.split('href="/discrepancies/')[1].split('"')[0]
    page = f"/discrepancies/{number}"
    form = {"state": "explained", "comment": f"a roster of yesterday {EVIL}"}
    refused = await house.client.post(f"{page}/states", data=form | {"comment": " "}, headers=bearer("key-44"))
    assert refused.status_code == 409
    assert (await house.client.post(f"{page}/states", data=form, headers=bearer("key-blue"))).status_code == 403
    assert (await house.client.post(f"{page}/states", data=form, headers=bearer("key-11"))).status_code == 404
    added = await house.client.post(f"{page}/states", data=form, headers=bearer("key-44"))
    assert (added.status_code, added.headers["location"]) == (303, page)
    _, shown = await show(house, page, "key-44")
    assert "已说明" in shown
    assert "a roster of yesterday &lt;script&gt;" in shown


def test_every_text_is_there_in_both_languages() -> None:
    for key, both in read_texts().items():
        assert all(text.strip() for text in both), key
        fields = [{part.split("}")[0] for part in text.split("{")[1:]} for text in both]
        assert fields[0] == fields[1], key


@pytest.mark.parametrize(
    ("number", "shown"),
    [(0, "0"), (1234567, "1,234,567"), ("-1234.50", "−1,234.50"), ("-0.50", "−0.50"), (None, "")],
)
def test_numbers_are_grouped(number: int | str | None, shown: str) -> None:
    assert grouped(number) == shown


def test_changes_are_said_with_their_sign() -> None:
    assert [change_text(110, 100), change_text(90, 100), change_text(5, 0), change_text(5, None)] == [
        "+10.0%", "−10.0%", "", "",
    ]  # fmt: skip


async def test_orders_outside_the_signed_declaration_have_a_table_of_their_own(house: House) -> None:
    issued = statement(90, period="2026-11")
    (line,) = issued.lines
    within = replace(line, orders=70, exact_amount=175_000, amount=175_000)
    outside = replace(line, number=2, kind="outside_declaration", orders=20, exact_amount=50_000, amount=50_000)
    await house.receive(replace(issued, lines=[within, outside]))
    await house.settled()
    await projected(house)
    path = f"/statements/2026-11.44.{BLUE}"
    for address, words in ((path, "签名清单之外的订单"), (f"{path}?lang=en", "Outside the signed declaration")):
        status, text = await show(house, address, "key-blue")
        assert (status, text.count(f"<h2>{words}</h2>")) == (200, 1)
        assert "5.00" in text
    shown = (await house.client.get(f"/v1{path}", headers=bearer("key-blue"))).raise_for_status().json()
    assert [line["kind"] for line in shown["lines"]] == ["line", "outside_declaration"]
