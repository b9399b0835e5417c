"""Who gets in: accounts, passwords, sessions, form tokens, keys, links; and what each role's connection sees."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date
from pathlib import Path

import httpx
import pytest
from sqlalchemy import text

from services.reporting.access.viewers import Role, Viewer, viewing
from shared.adapters.postgres import open_engine, with_login
from tests.integration.other_services import OtherServices
from tests.integration.reporting_house import (
    GREEN,
    ROLE_PASSWORD,
    House,
    closed_day,
    make_keys,
    reporting_house,
    statement,
    total,
)

DAY = date(2026, 10, 3)
PASSWORD = "correct horse battery"
HTML = {"Accept": "text/html"}
TOKEN = re.compile(r'name="form_token" value="([0-9a-f]{64})"')


@pytest.fixture
async def house(database: str, platform_database: str, tmp_path: Path) -> AsyncIterator[House]:
    async with reporting_house(database, platform_database, make_keys(tmp_path), OtherServices()) as house:
        yield house


@asynccontextmanager
async def browser(house: House, scheme: str = "http") -> AsyncIterator[httpx.AsyncClient]:
    """A client without a key, with cookies of its own."""
    transport = httpx.ASGITransport(house.service.app, client=("192.0.2.1", 1))
    async with httpx.AsyncClient(transport=transport, base_url=f"{scheme}://test", headers=HTML) as client:
        yield client


async def add(house: House, name: str, role: str, scope: str | None = None, password: str = PASSWORD) -> httpx.Response:
    return await house.client.post(
        "/v1/accounts", json={"name": name, "role": role, "scope": scope, "password": password}
    )


async def sign_in(client: httpx.AsyncClient, name: str, password: str = PASSWORD, **fields: str) -> httpx.Response:
    page = await client.get("/sign-in")
    (token,) = TOKEN.findall(page.text)
    return await client.post("/sign-in", data={"form_token": token, "name": name, "password": password} | fields)


async def test_a_session_begins_with_the_password_and_ends_with_the_sign_out(house: House) -> None:
    assert (await add(house, "bureau", "national")).status_code == 201
    async with browser(house) as client:
        assert (await client.get("/v1/looks")).status_code == 401
        done = await sign_in(client, "bureau", next="/discrepancies?state=open")
        assert (done.status_code, done.headers["location"]) == (303, "/discrepancies?state=open")
        assert "HttpOnly" in done.headers["set-cookie"]
        assert "SameSite=lax" in done.headers["set-cookie"]
        assert (await client.get("/v1/looks")).status_code == 200
        kept = dict(client.cookies)
        page = await client.get("/sign-in")
        out = await client.post("/sign-out", data={"form_token": TOKEN.findall(page.text)[0]})
        assert out.headers["location"] == "/sign-in"
        client.cookies.update(kept)
        assert (await client.get("/v1/looks")).status_code == 401, "the session is over, whoever still has its cookie"


async def test_a_viewers_connection_sees_its_own_rows_and_writes_none(house: House, database: str) -> None:
    green = total(DAY, "charged", 7, enterprise=GREEN, province="11")
    await house.tell(closed_day(DAY, [total(DAY, "charged", 12), green]), statement(12), statement(7, GREEN, "11"))
    await house.settled()
    login = with_login(database, "danbao_reporting", ROLE_PASSWORD)
    query, seen = text("select kind, province from reporting.report order by number"), {}
    async with open_engine(login) as engine:
        for role, scope in (("national", None), ("province", "44"), ("enterprise", GREEN), ("worker", "a" * 64)):
            async with viewing(engine, Viewer("somebody", Role(role), scope)) as connection:
                seen[role] = {tuple(row) for row in await connection.execute(query)}
                with pytest.raises(Exception, match=r"read-only|permission denied"):
                    await connection.execute(text("delete from reporting.session"))
        async with engine.connect() as connection:
            everything = {tuple(row) for row in await connection.execute(query)}
    assert seen["national"] == everything
    assert seen["province"] == {row for row in everything if row[1] == "44"}
    assert seen["enterprise"] == {("declaration", "11")}
    assert seen["worker"] == set()
