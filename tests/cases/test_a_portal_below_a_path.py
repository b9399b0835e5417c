"""The portal works below a path of somebody else's proxy: links, forms, files, cookies and redirects lead there."""

import html
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import httpx
import pytest

from tests.integration.portal.test_portal_api import SCHEME
from tests.integration.reporting.access_harness import HTML, PASSWORD, TOKEN, add
from tests.integration.reporting.other_services import OtherServices
from tests.integration.reporting.reporting_harness import BLUE, House, closed_day, make_keys, reporting_house, total
from tests.integration.reporting.test_reporting_register import DAY

PREFIX: Final = "/danbao"
PUBLIC: Final = f"https://ministry.example{PREFIX}"


class BelowPath(httpx.AsyncBaseTransport):
    """A proxy with `location /danbao/ { proxy_pass …/; }`: other paths are other people's."""

    def __init__(self, house: House, *, strips: bool) -> None:
        self._strips, self._inner = strips, httpx.ASGITransport(house.service.app, client=("192.0.2.7", 1))

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        path = request.url.raw_path
        if not path.startswith(f"{PREFIX}/".encode()):
            return httpx.Response(404, text="not the portal")
        url = request.url.copy_with(raw_path=path.removeprefix(PREFIX.encode())) if self._strips else request.url
        return await self._inner.handle_async_request(
            httpx.Request(request.method, url, headers=request.headers, stream=request.stream)
        )


@pytest.fixture
async def house(database: str, platform_database: str, tmp_path: Path) -> AsyncIterator[House]:
    folder, keys = tmp_path / "scheme", make_keys(tmp_path)
    folder.mkdir()
    for name, text in SCHEME.items():
        (folder / name).write_text(text, encoding="utf-8")
    settings = {"public_url": PUBLIC, "scheme": [folder]}
    async with reporting_house(database, platform_database, keys, OtherServices(), **settings) as house:
        await house.receive(closed_day(DAY, [total(DAY, "charged", 3)]))
        yield house


@asynccontextmanager
async def browsing(house: House, *, strips: bool) -> AsyncIterator[httpx.AsyncClient]:
    transport = BelowPath(house, strips=strips)
    async with httpx.AsyncClient(transport=transport, base_url="https://ministry.example", headers=HTML) as client:
        yield client


@pytest.mark.parametrize("strips", [True, False], ids=["path taken off", "path passed on"])
async def test_a_portal_is_used_below_a_path(house: House, strips: bool) -> None:
    """Case 30."""
    house.client.headers["Host"] = "ministry.example"
    assert (await add(house, "li", "national")).status_code == 201
    async with browsing(house, strips=strips) as client:
        first = await client.get(f"{PREFIX}/months")
        assert (first.status_code, first.headers["location"]) == (303, f"{PREFIX}/sign-in?next=%2Fmonths")
        page = await client.get(first.headers["location"])
        (action,) = re.findall(r'<form method="post" action="([^"]*)"', page.text) or [""]
        fields = {"form_token": TOKEN.findall(page.text)[0], "name": "li", "password": PASSWORD, "next": "/months"}
        entered = await client.post(action or f"{PREFIX}/sign-in", data=fields)
        assert (entered.status_code, entered.headers["location"]) == (303, f"{PREFIX}/months")
        assert f"Path={PREFIX};" in entered.headers["set-cookie"]
        assert "__Secure-" in entered.headers["set-cookie"]
        wrong, seen = await walk(client, f"{PREFIX}/")
        assert wrong == {}
        assert {f"{PREFIX}/static/portal.css", f"{PREFIX}/static/portal.js", f"{PREFIX}/statements"} <= seen
        download = await client.get(f"{PREFIX}/v1/discrepancies?format=csv")
        assert download.status_code == 200
        assert (await client.get(f"{PREFIX}/metrics")).status_code == (200 if strips else 404)


async def walk(client: httpx.AsyncClient, first: str) -> tuple[dict[str, int], set[str]]:
    """Follow every address of every page from the first one on; those that do not work, and all."""
    wrong: dict[str, int] = {}
    seen: set[str] = set()
    due = [first]
    while due and len(seen) < 60:
        address = due.pop(0)
        path = address.partition("?")[0]
        if path in seen:
            continue
        seen.add(path)
        answer = await client.get(address, follow_redirects=True)
        if answer.status_code >= 400:
            wrong[address] = answer.status_code
        if "text/html" in answer.headers["content-type"]:
            links = re.findall(r' (?:href|src|action|data-live)="(/[^"]*)"', answer.text)
            due += [html.unescape(link) for link in links if "sign-out" not in link]
    return wrong, seen


async def test_addresses_that_people_get_hold_the_path(house: House) -> None:
    house.client.headers["Host"] = "ministry.example"
    made = (await house.client.post("/v1/worker-links", json={"worker_id": "ab" * 32})).json()
    assert any(str(value).startswith(f"{PUBLIC}/w/") for value in made.values()), made
    part = await house.client.get(f"/v1/discrepancies?format=csv&limit=1&enterprise={BLUE}")
    assert part.headers.get("link", f"<{PREFIX}/v1/").startswith(f"<{PREFIX}/v1/")
