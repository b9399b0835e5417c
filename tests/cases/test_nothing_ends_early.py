"""No list ends before its end in silence: a page leads to the next one, and a download holds every row or says not."""

import csv
import io
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final, cast

import asyncpg
import httpx
import pytest
from fastapi import FastAPI

from services.charging.api.parked_routes import make_parked_router
from services.charging.queries.parked_events import ParkedEvents
from services.reporting.access.viewers import Role
from services.reporting.downloads.spreadsheet_cells import LONGEST, LongTable, Row, Table, write_csv, write_xlsx
from shared.adapters.http.quarantine_routes import make_quarantine_router
from shared.runtime.access import AccessKeys, Reader, sha256_hex
from tests.integration.charging.charging_harness import (
    NOON,
    RIDES,
    Sent,
    charging_template,
    copied_database,
    open_house,
)
from tests.integration.charging.charging_harness import House as ChargingHouse
from tests.integration.portal.test_portal_api import read_xlsx, written
from tests.integration.reporting.other_services import OtherServices
from tests.integration.reporting.reporting_harness import (
    BLUE,
    SERVICE_KEY,
    House,
    bearer,
    make_keys,
    reporting_house,
)
from tests.integration.reporting.test_reporting_roles import client_as
from tests.support.servers import Postgres, drop_database, make_database

ROWS: Final = 1_203
"""More than a page of any list, and more than a page of a download."""
LISTS: Final = {
    "/v1/discrepancies": ("discrepancies", "id"),
    "/v1/statements": ("statements", "statement_id"),
    "/v1/remittances": ("remittances", "remittance_id"),
    "/v1/reports": ("reports", "number"),
}
"""Lists that may be long: the name of the rows, and what identifies one."""
_FILL: Final = f"""
insert into reporting.discrepancy (identity_sha256, kind, key, day, period, province, enterprise, detail)
    select encode(sha256(n::text::bytea), 'hex'), 'sequence_gap', n::text, '2026-10-03', '2026-10', '44', '{BLUE}',
        'found' from generate_series(1, {ROWS}) n;
insert into reporting.discrepancy_state (discrepancy_id, state, actor, note)
    select id, 'open', 'danbao', 'found' from reporting.discrepancy order by id;
insert into reporting.refused_message (topic, partition, record_offset, reason, detail, sha256, bytes, redacted, sealed,
        sealed_on, recorded_at)
    select 'days.closed.v1', 0, n, 'unreadable', 'no JSON', sha256(n::text::bytea), 0, '', '\\x', '2026-10-03', now()
    from generate_series(1, {ROWS}) n;
insert into reporting.look (viewer, role, what, subject)
    select 'somebody', 'national', 'orders_of_finding', n::text from generate_series(1, {ROWS}) n;
insert into reporting.set_aside (step, item, reason, detail, next_at, last_at)
    select 'send_report', 'r/' || n, 'unexpected', 'x', now() + interval '9 days', now()
    from generate_series(1, {ROWS}) n;
insert into reporting.remittance (remittance_id, province, enterprise, amount, received_on)
    select 'r.' || n, '44', '{BLUE}', 10000, date '2026-01-01' + n % 7 from generate_series(1, {ROWS}) n;
insert into reporting.statement_issued (statement_id, period, province, enterprise, body, body_sha256)
    select '2026-10.44.' || lpad(n::text, 18, '0'), '2026-10', '44', lpad(n::text, 18, '0'), '\\x', ''
    from generate_series(1, {ROWS}) n;
insert into reporting.statement_sum
    select statement_id, period, province, enterprise, now(), '2026-11-16', false, 4, 10000, 10000, 0, 0, 0
    from reporting.statement_issued;
insert into reporting.report (report_id, kind, period, province, enterprise, statement_id, body, body_sha256)
    select 'declaration.' || statement_id, 'declaration', period, province, enterprise, statement_id, '{{}}',
        repeat('0', 64)
    from reporting.statement_issued;
insert into reporting.delivery (report_id, state, attempts) select report_id, 'received', 1 from reporting.report;
"""


@pytest.fixture(scope="module")
async def house(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    names = (await make_database(postgres), await make_database(postgres))
    own, platform = postgres.url(names[0]), postgres.url(names[1])
    keys = make_keys(tmp_path_factory.mktemp("keys"))
    async with reporting_house(own, platform, keys, OtherServices()) as house:
        owner = await asyncpg.connect(postgres.url(names[0]))
        await owner.execute(_FILL)
        await owner.close()
        yield house
    for name in names:
        await drop_database(postgres, name)


@pytest.fixture
async def operator(house: House) -> AsyncIterator[httpx.AsyncClient]:
    """The operator's lists of reporting: those of its app, and its quarantine, which the app has with its topics."""
    app = FastAPI()
    app.include_router(make_quarantine_router(house.service.keys, house.topics, None))
    app.mount("/", house.service.app)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test", headers=bearer(SERVICE_KEY)) as client:
        yield client


@pytest.mark.parametrize("path", LISTS)
async def test_pages_of_a_list_hold_each_row_once(house: House, path: str) -> None:
    """Case 4."""
    rows, key = LISTS[path]
    for limit in ({}, {"limit": 400}, {"limit": 401}):
        seen, cursor = [], None
        while True:
            params = limit | ({} if cursor is None else {"after": cursor})
            page = (await house.client.get(path, params=params)).raise_for_status().json()
            seen += [row[key] for row in page[rows]]
            cursor = page["next"]
            if cursor is None:
                break
            assert page[rows]
        assert len(seen) == len(set(seen)) == ROWS, limit


@pytest.mark.parametrize("path", LISTS)
async def test_a_download_holds_every_row(house: House, path: str) -> None:
    """Case 4."""
    key = LISTS[path][1]
    listed = await _csv(house.client, f"{path}?format=csv")
    named = [line[key] for line in listed if line["record"] == "rows"]
    assert len(named) == len(set(named)) == ROWS
    assert not [line for line in listed if line["record"] == "note"]
    sheet = read_xlsx((await house.client.get(f"{path}?format=xlsx")).content)["rows"]
    at = sheet[0].index(key)
    assert [str(row[at]) for row in sheet[1:]] == named


@pytest.mark.parametrize("path", LISTS)
async def test_a_download_that_ends_early_by_its_limit_says_so(house: House, path: str) -> None:
    """Case 4: in a header, and in the file, which somebody may hand on without its headers."""
    key = LISTS[path][1]
    answer = await house.client.get(f"{path}?format=csv&limit=1000")
    (following,) = re.fullmatch(r'<([^>]*)>; rel="next"', answer.headers["link"]).groups()  # type: ignore[union-attr]
    lines = _lines(answer)
    assert lines[-1]["record"] == "note"
    assert following in lines[-1]["note"]
    assert read_xlsx((await house.client.get(f"{path}?format=xlsx&limit=1000")).content)["note"]
    rest = await house.client.get(following)
    assert "link" not in rest.headers
    named = [line[key] for line in (*lines, *_lines(rest)) if line["record"] == "rows"]
    assert len(named) == len(set(named)) == ROWS


@pytest.mark.parametrize(
    ("path", "rows", "key", "cursor_name"),
    [
        ("/v1/refused", "messages", "refused_id", "after"),
        ("/v1/set-aside", "items", "item", "after"),
        ("/v1/looks", "looks", "id", "before"),
    ],
)
async def test_pages_of_an_operators_list_hold_each_row_once(
    operator: httpx.AsyncClient, path: str, rows: str, key: str, cursor_name: str
) -> None:
    """Case 4."""
    for limit in (401, 1_000):
        seen: list[str] = []
        params: dict[str, Any] = {"limit": limit}
        while True:
            page = (await operator.get(path, params=params)).raise_for_status().json()
            seen += [str(row[key]) for row in page[rows]]
            if page["next"] is None:
                break
            params[cursor_name] = page["next"]
        assert len(seen) == len(set(seen)) == ROWS, limit


@pytest.mark.parametrize("path", ["/discrepancies", "/statements"])
async def test_pages_for_people_say_how_much_there_is_and_lead_on(house: House, path: str) -> None:
    """Case 4: a page counts the whole list, and its links lead to every row of it."""
    name = {"/discrepancies": r'href="/discrepancies/(\d+)"', "/statements": r'href="/statements/(2026[^"]*)"'}[path]
    async with client_as(house, Role.NATIONAL) as client:
        client.headers["Accept"] = "text/html"
        seen: list[str] = []
        following, page = path, ""
        while following:
            page = (await client.get(following)).raise_for_status().text
            rows = re.findall(name, page)
            first, last, count = re.findall(r"第 ([\d,]+)–([\d,]+) 条，共 ([\d,]+) 条", page)[0]
            assert (first, last, count) == (f"{len(seen) + 1:,}", f"{len(seen) + len(rows):,}", f"{ROWS:,}")
            seen += rows
            links = re.findall(rf'href="({path}\?[^"]*)" rel="next"', page)
            following = links[0].replace("&amp;", "&") if links else ""
        assert len(seen) == len(set(seen)) == ROWS
        links = re.findall(rf'href="(/v1{path}[^"]*format=csv[^"]*)"', page)
        listed = await _csv(client, links[0].replace("&amp;", "&"))
        assert len([line for line in listed if line["record"] == "rows"]) == ROWS


async def test_sums_above_a_page_are_of_the_whole_list(house: House) -> None:
    async with client_as(house, Role.NATIONAL) as client:
        client.headers["Accept"] = "text/html"
        page = (await client.get("/statements")).text
    assert re.search(rf"应缴合计</dt><dd><div class=\"big\">{ROWS:,}\.00 ", page)
    assert re.search(rf"账单份数</dt><dd><div class=\"big\">{ROWS:,}<", page)


async def test_a_book_with_more_rows_than_a_sheet_goes_on_in_the_next() -> None:
    async def pages() -> AsyncIterator[list[Row]]:
        for first in range(0, 10, 5):
            yield [{"number": first + at} for at in range(5)]

    sheets = read_xlsx(await written(write_xlsx([LongTable("rows", ["number"], pages())], most_rows=4)))
    assert {name: [int(row[0]) for row in rows[1:]] for name, rows in sheets.items()} == {
        "rows": [0, 1, 2, 3],
        "rows 2": [4, 5, 6, 7],
        "rows 3": [8, 9],
    }


async def test_files_have_times_of_shanghai_and_keep_codes_as_text() -> None:
    """Cases 18 and 29: no microseconds, no UTC, no month that is taken for a day; codes stay text in XLSX."""
    row: Row = {
        "declared_at": datetime(2026, 11, 15, 16, 10, 0, 313_589, tzinfo=UTC),
        "period": "2026-10",
        "series": "3-4",
        "order_id": "1E5",
        "enterprise": "911100001000000000",
        "amount_yuan": "12.30",
        "orders": 7,
    }
    table = Table("rows", list(row), [row])
    (line,) = csv.DictReader(io.StringIO((await written(write_csv([table]))).decode("utf-8-sig")))
    assert (line["declared_at"], line["period"]) == ("2026-11-16 00:10:00+08:00", "2026-M10")
    assert (line["series"], line["order_id"], line["amount_yuan"]) == ("3-4", "1E5", "12.30")
    cells = read_xlsx(await written(write_xlsx([table])))["rows"][1]
    texts = ["2026-11-16 00:10:00+08:00", "2026-10", "3-4", "1E5", "911100001000000000"]
    assert cells == [*texts, Decimal("12.3"), Decimal(7)]


async def test_a_text_longer_than_a_cell_says_so_at_its_end() -> None:
    table = Table("rows", ["detail"], [{"detail": "x" * (LONGEST + 1)}])
    (cell,) = read_xlsx(await written(write_xlsx([table])))["rows"][1]
    assert len(cell) == LONGEST
    assert cell.endswith(f" … ({LONGEST + 1} characters)")
    assert f"{'x' * (LONGEST + 1)}" in (await written(write_csv([table]))).decode()


async def _csv(client: httpx.AsyncClient, path: str) -> list[dict[str, Any]]:
    return _lines((await client.get(path)).raise_for_status())


def _lines(answer: httpx.Response) -> list[dict[str, Any]]:
    return list(csv.DictReader(io.StringIO(answer.text.lstrip("\ufeff"))))


@pytest.fixture
async def charging(postgres: Postgres) -> AsyncIterator[ChargingHouse]:
    async with charging_template(postgres) as name, copied_database(postgres, name) as url, open_house(url) as opened:
        yield opened


async def test_the_list_of_parked_events_is_read_to_its_end(charging: ChargingHouse) -> None:
    """Case 4: `next` leads on, and is null only behind the last event."""
    one = await charging.worker()
    await one.charge(*(Sent(b"no event %d" % number, NOON, RIDES) for number in range(7)))
    keys = AccessKeys([(sha256_hex("key"), Reader("operator", frozenset({"operator"})))])
    app = FastAPI()
    app.include_router(make_parked_router(keys, ParkedEvents(charging.pool, cast(Any, None)), cast(Any, None)))
    transport, headers = httpx.ASGITransport(app), {"Authorization": "Bearer key"}
    async with httpx.AsyncClient(transport=transport, base_url="http://test", headers=headers) as client:
        for limit, pages in ((3, 3), (7, 1), (10, 1)):
            seen: list[str] = []
            cursor: str | None = ""
            count = 0
            while cursor is not None:
                page = (await client.get("/v1/parked", params={"limit": limit, "after": cursor})).json()
                seen += [event["cursor"] for event in page["parked"]]
                cursor, count = page["next"], count + 1
            assert (len(seen), len(set(seen)), count) == (7, 7, pages)
