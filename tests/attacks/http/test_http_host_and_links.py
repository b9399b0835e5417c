"""The host name, the scheme and the address that a caller claims; and a worker's link, which somebody else may send."""

from collections.abc import AsyncIterator

import asyncpg
import httpx
import pytest

from services.reporting.access.api_keys import OPENINGS_A_DAY
from shared.domain.errors import Refused
from tests.integration.reporting import access_harness
from tests.integration.reporting.access_harness import (
    HTML,
    Opened,
    access_house,
    add,
    browser,
    enter,
    open_link,
    sign_in,
)
from tests.integration.reporting.other_services import OtherServices
from tests.integration.reporting.reporting_harness import BLUE, WORKER, House, make_keys, reporting_house
from tests.support.servers import Postgres, drop_database, make_database

PUBLIC, PROXY = "https://portal.example", "192.0.2.80"


@pytest.fixture(scope="module")
async def opened(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Opened]:
    published = {"public_url": PUBLIC, "trusted_proxies": [PROXY]}
    async with access_house(postgres, tmp_path_factory.mktemp("keys"), **published) as opened:
        yield opened


house, owner = access_harness.house, access_harness.owner


def visitor(house: House, peer: str = "192.0.2.1", host: str = "portal.example") -> httpx.AsyncClient:
    transport = httpx.ASGITransport(house.service.app, client=(peer, 1))
    return httpx.AsyncClient(transport=transport, base_url=f"https://{host}", headers=HTML)


async def test_pages_are_served_under_the_published_name_only(house: House) -> None:
    async with visitor(house) as client:
        assert (await client.get("/sign-in")).status_code == 200
        for host in ("evil.example", "portal.example.evil.example", "portal.example:81", "127.0.0.1"):
            assert (await client.get("/sign-in", headers={"Host": host})).status_code == 421, host
        assert (await client.get("/healthz", headers={"Host": "127.0.0.1:8103"})).status_code == 200


async def test_a_workers_link_names_the_published_address_whatever_the_host(house: House) -> None:
    for headers in ({}, {"Host": "evil.example"}, {"X-Forwarded-Host": "evil.example"}):
        made = await house.client.post("/v1/worker-links", json={"worker_id": WORKER}, headers=headers)
        assert made.json()["link"].startswith(f"{PUBLIC}/w/danbao_")


async def test_cookies_are_secure_and_browsers_told_to_stay_so(house: House) -> None:
    async with visitor(house) as client:
        for claimed in ({}, {"X-Forwarded-Proto": "http"}):
            client.cookies.clear()
            page = await client.get("/sign-in", headers=claimed)
            assert page.headers["set-cookie"].startswith("__Host-danbao_")
            assert "secure" in page.headers["set-cookie"].lower()
            assert page.headers["strict-transport-security"].startswith("max-age=")


async def test_an_address_that_the_caller_claims_counts_for_nothing(house: House, owner: asyncpg.Connection) -> None:
    await add(house, "claimed", "national")
    for peer, forwarded, seen in (
        ("192.0.2.1", "198.51.100.7", "192.0.2.1"),
        ("127.0.0.1", "198.51.100.7", "127.0.0.1"),
        (PROXY, "198.51.100.7, 203.0.113.9", "203.0.113.9"),
    ):
        async with visitor(house, peer) as client:
            client.headers["X-Forwarded-For"] = forwarded
            assert (await sign_in(client, "claimed", "a wrong password")).status_code == 401
        last = "select address from reporting.access_note where subject = 'claimed' order by id desc limit 1"
        assert await owner.fetchval(last) == seen


async def make_link(house: House) -> tuple[int, str]:
    made = (await house.client.post("/v1/worker-links", json={"worker_id": WORKER})).raise_for_status().json()
    return made["key_id"], made["path"]


async def test_to_follow_a_link_changes_nothing_and_the_button_opens_it(
    house: House, owner: asyncpg.Connection
) -> None:
    key_id, path = await make_link(house)
    async with visitor(house) as client:
        assert (await client.get(path)).status_code == 200
        assert await owner.fetchval("select count(*) from reporting.session where key_id = $1", key_id) == 0
        assert (await client.post(path)).status_code == 403, "without the token of the form"
        assert (await open_link(client, path)).headers["location"] == "/my-receipts"
        assert (await client.get("/my-receipts")).status_code == 200


async def test_a_link_does_not_replace_somebodys_session_unless_he_says_so(house: House) -> None:
    _, path = await make_link(house)
    async with visitor(house) as client:
        await enter(house, client, "regulator", "national")
        page = await client.get(path)
        assert "regulator" in page.text
        assert (await open_link(client, path)).status_code == 409
        assert (await client.get("/discrepancies")).status_code == 200, "signed in as before"
        assert (await open_link(client, path, replaces="regulator")).status_code == 303
        assert (await client.get("/discrepancies")).status_code == 403


async def test_a_link_has_one_session_and_is_not_opened_without_end(house: House, owner: asyncpg.Connection) -> None:
    key_id, path = await make_link(house)
    async with visitor(house) as first, visitor(house, "192.0.2.2") as second:
        assert (await open_link(first, path)).status_code == 303
        assert (await open_link(second, path)).status_code == 303
        assert (await first.get("/my-receipts")).headers["location"].startswith("/sign-in")
        assert await owner.fetchval("select count(*) from reporting.session where key_id = $1", key_id) == 1
        for _ in range(OPENINGS_A_DAY - 2):
            assert (await open_link(second, path)).status_code == 303
        assert (await open_link(second, path)).status_code == 429
    noted = "select count(*) from reporting.access_note where what = 'link_opened' and subject = $1"
    assert await owner.fetchval(noted, str(key_id)) == OPENINGS_A_DAY


async def test_a_proxy_without_a_published_address_is_refused(postgres: Postgres, tmp_path_factory: object) -> None:
    assert isinstance(tmp_path_factory, pytest.TempPathFactory)
    own, platform = await make_database(postgres), await make_database(postgres)
    keys, wish = make_keys(tmp_path_factory.mktemp("keys")), {"trusted_proxies": [PROXY]}
    with pytest.raises(Refused, match="DANBAO_PUBLIC_URL"):
        async with reporting_house(postgres.url(own), postgres.url(platform), keys, OtherServices(), **wish):
            pass
    for name in (own, platform):
        await drop_database(postgres, name)


async def test_without_a_published_address_links_name_no_host_that_a_caller_wrote(
    postgres: Postgres, tmp_path_factory: object
) -> None:
    assert isinstance(tmp_path_factory, pytest.TempPathFactory)
    own, platform = await make_database(postgres), await make_database(postgres)
    keys = make_keys(tmp_path_factory.mktemp("keys"))
    async with reporting_house(postgres.url(own), postgres.url(platform), keys, OtherServices()) as house:
        wish = {"worker_id": WORKER, "enterprise": BLUE}
        made = await house.client.post("/v1/worker-links", json=wish, headers={"Host": "evil.example"})
        assert made.json()["link"].startswith("http://127.0.0.1:")
        async with browser(house) as client:
            assert (await client.get("/sign-in")).status_code == 200
    for name in (own, platform):
        await drop_database(postgres, name)
