"""Fixtures of the tests of the portal's authentication: reporting for a whole file of them, and browsers."""

import hashlib
import itertools
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest

from tests.integration.reporting.other_services import OtherServices
from tests.integration.reporting.reporting_harness import (
    House,
    make_keys,
    reporting_house,
)
from tests.support.servers import Postgres, drop_database, make_database

PASSWORD = "correct horse battery"
HTML = {"Accept": "text/html"}
Opened = tuple[House, asyncpg.Connection]
NETWORKS = itertools.count(1)
TOKEN = re.compile(r'name="form_token" value="([0-9a-f]{64})"')


@asynccontextmanager
async def access_house(postgres: Postgres, folder: Path, **settings: Any) -> AsyncIterator[Opened]:
    """Reporting for a whole file of tests, and the owner of its schema: each test makes its own accounts."""
    own, platform = await make_database(postgres), await make_database(postgres)
    urls, others = (postgres.url(own), postgres.url(platform)), OtherServices()
    async with reporting_house(*urls, make_keys(folder), others, **settings) as house:
        owner = await asyncpg.connect(postgres.url(own))
        yield house, owner
        await owner.close()
    for name in (own, platform):
        await drop_database(postgres, name)


@pytest.fixture(scope="module")
async def opened(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Opened]:
    """This fixture and the next three are of the files that name them: `house = access_harness.house`."""
    async with access_house(postgres, tmp_path_factory.mktemp("keys")) as opened:
        yield opened


@pytest.fixture
def house(opened: Opened) -> House:
    return opened[0]


@pytest.fixture
def owner(opened: Opened) -> asyncpg.Connection:
    return opened[1]


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """An account's, that no other test has."""
    return "a" + hashlib.sha256(request.node.name.encode()).hexdigest()[:12]


@asynccontextmanager
async def browser(house: House, scheme: str = "http") -> AsyncIterator[httpx.AsyncClient]:
    """A client without a key, with its own cookies and address."""
    transport = httpx.ASGITransport(house.service.app, client=(f"2001:db8:0:{next(NETWORKS):x}::1", 1))
    async with httpx.AsyncClient(transport=transport, base_url=f"{scheme}://test.local", headers=HTML) as client:
        yield client


async def add(house: House, name: str, role: str, scope: str | None = None, password: str = PASSWORD) -> httpx.Response:
    """Make an account whose person has chosen the password already."""
    made = await add_as_operator(house, name, role, scope, password)
    if made.status_code == 201:
        await keep_password(house, name)
    return made


async def add_as_operator(
    house: House, name: str, role: str, scope: str | None = None, password: str = PASSWORD
) -> httpx.Response:
    """Make an account that must change its password."""
    return await house.client.post(
        "/v1/accounts", json={"name": name, "role": role, "scope": scope, "password": password}
    )


async def keep_password(house: House, name: str) -> None:
    """Have an account go on with the password that an operator set."""
    connection = await asyncpg.connect(house.service.settings.database.get_secret_value())
    await connection.execute("update reporting.account set must_change = false where name = $1", name)
    await connection.close()


async def sign_in(client: httpx.AsyncClient, name: str, password: str = PASSWORD, **fields: str) -> httpx.Response:
    page = await client.get("/sign-in")
    (token,) = TOKEN.findall(page.text)
    return await client.post("/sign-in", data={"form_token": token, "name": name, "password": password} | fields)


async def enter(house: House, client: httpx.AsyncClient, name: str, role: str, scope: str | None = None) -> str:
    """Make an account, sign in with it, and return the form token of its session."""
    (await add(house, name, role, scope)).raise_for_status()
    assert (await sign_in(client, name)).status_code == 303
    return str(TOKEN.findall((await client.get("/sign-in")).text)[0])


async def status_of(client: httpx.AsyncClient, path: str = "/v1/discrepancies") -> int:
    """401 once the session is over."""
    return (await client.get(path)).status_code


async def open_link(client: httpx.AsyncClient, path: str, **fields: str) -> httpx.Response:
    """Press the button on a worker's link."""
    page = await client.get(path)
    if page.status_code != 200:
        return page
    (token,) = TOKEN.findall(page.text)
    return await client.post(path, data={"form_token": token} | fields)


def use(client: httpx.AsyncClient, session: str) -> None:
    """Have the client show this session and no other cookie."""
    client.cookies.clear()
    client.cookies.set("danbao_session", session, domain="test.local", path="/")
