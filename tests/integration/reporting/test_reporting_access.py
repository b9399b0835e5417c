"""Authentication: accounts, passwords, sessions, form tokens; and what a viewer's connection sees."""

import hashlib
import hmac
from datetime import date

import asyncpg
import pytest
from sqlalchemy import text

from services.reporting.access.authentication import local_path
from services.reporting.access.viewers import Role, viewing
from shared.adapters.postgres.engine import open_engine
from shared.runtime.http.limits import MIB
from tests.integration.reporting import access_harness
from tests.integration.reporting.access_harness import (
    PASSWORD,
    TOKEN,
    add,
    browser,
    enter,
    sign_in,
    status_of,
    use,
)
from tests.integration.reporting.reporting_harness import (
    BLUE,
    GREEN,
    House,
    closed_day,
    statement,
    total,
)
from tests.integration.reporting.viewer_credentials import viewer_with_key

DAY = date(2026, 10, 3)
OF_NOTHING = hmac.new(b"", b"danbao form", hashlib.sha256).hexdigest()


opened, house, owner, name = access_harness.opened, access_harness.house, access_harness.owner, access_harness.name


async def test_a_session_begins_with_the_password_and_ends_with_the_sign_out(house: House, name: str) -> None:
    await add(house, name, "national")
    async with browser(house) as client:
        assert await status_of(client) == 401
        done = await sign_in(client, name, next="/discrepancies?state=open")
        assert (done.status_code, done.headers["location"]) == (303, "/discrepancies?state=open")
        reported = done.headers["set-cookie"]
        assert "HttpOnly" in reported
        assert "SameSite=lax" in reported
        assert await status_of(client) == 200
        kept = client.cookies["danbao_session"]
        (token,) = TOKEN.findall((await client.get("/sign-in")).text)
        out = await client.post("/sign-out", data={"form_token": token})
        assert out.headers["location"] == "/sign-in"
        use(client, kept)
        assert await status_of(client) == 401, "the session is over, even for a client that still has its cookie"


async def test_what_comes_with_a_cookie_and_changes_something_shows_the_form_token(house: House, name: str) -> None:
    wish = {"name": "nightly", "role": "enterprise", "scope": BLUE}
    async with browser(house) as client, browser(house) as other:
        theirs = await enter(house, other, f"{name}-other", "enterprise", BLUE)
        token = await enter(house, client, name, "enterprise", BLUE)
        for shown in ("", "0" * 64, theirs, "é"):
            answer = await client.post("/v1/api-keys", json=wish, headers={b"Danbao-Form-Token": shown.encode()})
            assert answer.status_code == 403, shown
            fields = {"form_token": shown, "name": name, "password": PASSWORD}
            assert (await client.post("/sign-in", data=fields)).status_code == 403, shown
            assert (await client.post("/sign-out", data=fields)).status_code == 403, shown
        made = await client.post("/v1/api-keys", json=wish, headers={"Danbao-Form-Token": token})
        assert made.status_code == 201
        client.cookies.clear()
        no_cookie = await client.post("/sign-in", data={"form_token": token, "name": name, "password": PASSWORD})
        assert no_cookie.status_code == 403, "without a cookie there is nothing to hang a token on"
        empty = await client.post("/sign-in", data={"form_token": OF_NOTHING, "name": name, "password": PASSWORD})
        assert empty.status_code == 403


async def test_a_wrong_name_and_a_wrong_password_get_the_same_answer(house: House, name: str) -> None:
    await add(house, name, "enterprise", BLUE)
    async with browser(house) as client:
        first = await sign_in(client, name, "wrong password")
        assert "set-cookie" not in first.headers
        for tried, password in (("nobody", PASSWORD), (name, "w" * 500), ("a" * 500, "x"), ("", "")):
            again = await sign_in(client, tried, password)
            assert (again.status_code, again.content) == (401, first.content)


async def test_signing_in_gives_another_session_and_ends_the_one_before(house: House, name: str) -> None:
    async with browser(house) as client:
        await enter(house, client, name, "enterprise", BLUE)
        before = client.cookies["danbao_session"]
        assert (await sign_in(client, name)).status_code == 303
        after = client.cookies["danbao_session"]
        use(client, before)
        assert await status_of(client) == 401
        use(client, after)
        assert await status_of(client) == 200
        use(client, "chosen-by-somebody-else")
        assert (await sign_in(client, name)).status_code == 303
        assert client.cookies["danbao_session"] != "chosen-by-somebody-else"


async def test_a_session_ends(house: House, name: str, owner: asyncpg.Connection) -> None:
    mine = f"session_sha256 = '{{digest}}' and account = '{name}'"
    for what in (
        f"update reporting.session set last_seen_at = last_seen_at - interval '31 minutes' where {mine}",
        f"update reporting.session set ends_at = clock_timestamp() where {mine}",
        f"delete from reporting.session where {mine}",
        f"update reporting.account set is_disabled = true where name = '{name}' and '{{digest}}' <> ''",
    ):
        async with browser(house) as client:
            await add(house, name, "enterprise", BLUE)
            await sign_in(client, name)
            assert await status_of(client) == 200
            digest = hashlib.sha256(client.cookies["danbao_session"].encode()).hexdigest()
            assert (await owner.execute(what.format(digest=digest)))[-2:] == " 1", "it is kept by its hash"
            assert await status_of(client) == 401, what


async def test_what_a_page_asks_by_itself_keeps_no_session_awake(
    house: House, name: str, owner: asyncpg.Connection
) -> None:
    seen = "select last_seen_at from reporting.session where account = $1"
    async with browser(house) as client:
        await enter(house, client, name, "enterprise", BLUE)
        earlier = "update reporting.session set last_seen_at = last_seen_at - interval '5 minutes' where account = $1"
        await owner.execute(earlier, name)
        before = await owner.fetchval(seen, name)
        assert (await client.get("/v1/discrepancies", headers={"Danbao-Live": "1"})).status_code == 200
        assert await owner.fetchval(seen, name) == before
        assert await status_of(client) == 200
        assert await owner.fetchval(seen, name) > before


async def test_a_body_that_is_too_large_is_not_read(house: House) -> None:
    async with browser(house) as client:
        for path in ("/sign-in", "/v1/accounts"):
            reported = {"Content-Length": str(MIB), "Content-Type": "application/x-www-form-urlencoded"}
            assert (await client.post(path, content=b"x", headers=reported)).status_code == 413, path


async def test_disabling_an_account_or_changing_its_password_ends_its_sessions(house: House, name: str) -> None:
    other = "another long password"
    async with browser(house) as client:
        await enter(house, client, name, "enterprise", BLUE)
        (await house.client.post(f"/v1/accounts/{name}/password", json={"password": other})).raise_for_status()
        assert await status_of(client) == 401
        assert (await sign_in(client, name)).status_code == 401
        assert (await sign_in(client, name, other)).status_code == 303
        (await house.client.post(f"/v1/accounts/{name}/disable")).raise_for_status()
        assert await status_of(client) == 401
        assert (await sign_in(client, name, other)).status_code == 401
    assert (await house.client.post("/v1/accounts/nobody/disable")).status_code == 404


async def test_what_is_no_account(house: House, name: str) -> None:
    await add(house, f"{name}-taken", "national")
    known = (await house.client.get("/v1/accounts")).json()
    for wish in (
        (name, "enterprise", None),
        (name, "enterprise", "44"),
        (name, "national", "44"),
        (name, "province", "444"),
        (name, "worker", "a" * 64),
        (name.upper(), "national"),
        ("", "national"),
        (name, "national", None, "too short"),
        (name, "national", None, "x" * 300),
        (f"{name}\x00", "national"),
        (f"{name}-taken", "national"),
    ):
        assert (await add(house, *wish)).status_code == 409, wish
    assert (await house.client.get("/v1/accounts")).json() == known


ELSEWHERE = (
    "https://evil.example/", "//evil.example/", "/\\evil.example", "\\\\evil.example", "javascript:alert(1)", "evil",
    "/\t/evil.example", "/\r\nSet-Cookie: a=b", "", "/\n", "http:/evil.example", "///evil.example",
)  # fmt: skip


async def test_the_sign_in_leads_nowhere_else(house: House, name: str) -> None:
    await add(house, name, "enterprise", BLUE)
    async with browser(house) as client:
        for wanted in ELSEWHERE:
            page = await client.get("/sign-in", params={"next": wanted})
            assert 'name="next" value="/"' in page.text, wanted
            assert local_path(wanted) == "/", wanted
        assert (await sign_in(client, name, next=ELSEWHERE[0])).headers["location"] == "/"


async def test_with_tls_the_cookies_are_of_this_host_and_secure(house: House, name: str) -> None:
    async with browser(house, "https") as client:
        await add(house, name, "enterprise", BLUE)
        page = await client.get("/sign-in")
        done = await sign_in(client, name)
        for reported in (page.headers["set-cookie"], done.headers["set-cookie"]):
            assert reported.startswith("__Host-danbao_")
            assert {"secure", "httponly", "samesite=lax", "path=/"} <= {
                part.strip().lower() for part in reported.split(";")
            }
        assert (await client.get("/v1/api-keys")).status_code == 200


async def test_every_answer_has_strict_headers(house: House) -> None:
    async with browser(house) as client:
        for path in (
            "/healthz",
            "/sign-in",
            "/",
            "/v1/looks",
            "/receipt",
            "/nothing-here",
            "/v1/discrepancies?after=x",
        ):
            headers = (await client.get(path)).headers
            assert headers["x-content-type-options"] == "nosniff", path
            assert "default-src 'none'" in headers["content-security-policy"], path
            assert "frame-ancestors 'none'" in headers["content-security-policy"], path
            assert "unsafe-inline" not in headers["content-security-policy"], path
            assert "no-store" in headers["cache-control"] or path == "/receipt", path


async def test_a_viewers_connection_sees_its_own_rows_and_writes_none(house: House, owner: asyncpg.Connection) -> None:
    green = total(DAY, "charged", 7, enterprise=GREEN, province="11")
    await house.receive(closed_day(DAY, [total(DAY, "charged", 12), green]), statement(12), statement(7, GREEN, "11"))
    await house.settled()
    login = house.service.settings.portal_database.get_secret_value()
    query, seen = text("select kind, province from reporting.report order by number"), {}
    async with open_engine(login) as engine:
        for role, scope in (("national", None), ("province", "44"), ("enterprise", GREEN), ("worker", "a" * 64)):
            async with viewing(engine, await viewer_with_key(owner, Role(role), scope)) as connection:
                seen[role] = {tuple(row) for row in await connection.execute(query)}
                with pytest.raises(Exception, match=r"read-only|permission denied"):
                    await connection.execute(text("delete from reporting.session"))
    everything = {tuple(row) for row in await owner.fetch(query.text)}
    assert seen["national"] == everything
    assert seen["province"] == {row for row in everything if row[1] == "44"}
    assert seen["enterprise"] == {("declaration", "11")}
    assert seen["worker"] == set()
