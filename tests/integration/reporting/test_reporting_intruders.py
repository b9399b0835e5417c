"""An intruder tries to see, change or stop others' data: by guessed ids, cursors, others' scopes, wrong passwords."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from datetime import date

import asyncpg
import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from services.reporting.access.accounts import OF_ACCOUNT
from services.reporting.access.viewers import Role, Viewer, viewing
from shared.adapters.postgres.engine import open_engine
from shared.domain.errors import Retry
from tests.integration.portal.read_model_harness import projected
from tests.integration.reporting import access_harness
from tests.integration.reporting.access_harness import (
    PASSWORD,
    access_house,
    add,
    browser,
    enter,
    open_link,
    sign_in,
    status_of,
)
from tests.integration.reporting.reporting_harness import (
    BLUE,
    GREEN,
    WORKER,
    House,
    bearer,
    closed_day,
    statement,
    total,
)
from tests.integration.reporting.viewer_credentials import viewer_with_key
from tests.support.servers import Postgres

DAY = date(2026, 10, 3)
BLUES, GREENS = f"2026-10.44.{BLUE}", f"2026-10.11.{GREEN}"
MOST_SLOWER = 2.0


@pytest.fixture(scope="module")
async def opened(
    postgres: Postgres, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[House, asyncpg.Connection]]:
    """Blue has orders in 44 and Green in 11: statements, reports, and a finding each."""
    async with access_house(postgres, tmp_path_factory.mktemp("keys")) as (house, owner):
        green = total(DAY, "charged", 7, enterprise=GREEN, province="11")
        for number, (enterprise, province) in enumerate(((BLUE, "44"), (GREEN, "11"))):
            await owner.execute(FOUND, f"{number:064d}", enterprise, province)
        await house.receive(
            closed_day(DAY, [total(DAY, "charged", 12), green]), statement(12), statement(7, GREEN, "11")
        )
        await house.settled()
        await projected(house)
        yield house, owner


FOUND = """
with new as (insert into reporting.discrepancy (identity_sha256, kind, key, day, province, enterprise, detail)
             values ($1, 'sequence_gap', $1, '2026-10-03', $3, $2, 'test') returning id)
insert into reporting.discrepancy_state (discrepancy_id, state, actor, note) select id, 'open', 'test', 'test' from new
"""


house, owner, name = access_harness.house, access_harness.owner, access_harness.name


OTHERS: dict[str, str] = {
    f"/statements/{GREENS}": "404",
    f"/v1/statements/{GREENS}": "404",
    f"/v1/statements/{GREENS}?format=csv": "404",
    f"/v1/statements?after={GREENS}": "nothing",
    f"/v1/statements?enterprise={GREEN}&province=11": "403 or nothing",
    f"/v1/reports/coverage.{DAY}.11": "404",
    f"/v1/reports/declaration.2026-10.11.{GREEN}": "404",
    f"/v1/reports/coverage.{DAY}.11?format=xlsx": "404",
    "/v1/reports?province=11": "403 or nothing",
    f"/v1/sheets?first={DAY}&province=11&enterprise={GREEN}": "403 or nothing",
    f"/v1/sheets?first={DAY}&province=11&enterprise={GREEN}&format=csv": "403 or nothing",
    f"/v1/discrepancies?enterprise={GREEN}": "nothing",
    f"/v1/discrepancies?enterprise={GREEN}&format=csv": "nothing",
    f"/v1/remittances?enterprise={GREEN}": "403 or nothing",
    f"/v1/arrivals?enterprise={GREEN}": "403 or nothing",
    "/v1/discrepancies/2": "404",
    "/discrepancies/2": "404",
    f"/days/{DAY}/11": "404 or nothing",
    f"/provinces/11?day={DAY}&enterprise={GREEN}": "404 or nothing",
    f"/industries/instant_delivery?day={DAY}&enterprise={GREEN}": "404 or nothing",
    f"/v1/acknowledgements/{GREEN}/{DAY}": "403 or 404",
    f"/enterprises/{GREEN}/parked": "403 or 404",
    f"/enterprises/{GREEN}/parked/1.1/bytes": "403 or 404",
    f"/enterprises/{GREEN}/series": "403 or 404",
    f"/enterprises/{GREEN}/arriving": "403 or 404",
}
"""Requests that name Green's data, in 11, and the expected answers."""
SECRETS = ("1.75", "17500", '"orders": 7', ">7<", ",7,")
"""Forms of Green's seven orders and their premium in answers."""


@pytest.mark.parametrize(("role", "scope"), [("enterprise", BLUE), ("province", "44")])
async def test_what_is_somebody_elses_is_not_told_by_whatever_name(house: House, role: str, scope: str) -> None:
    wish = {"name": "curious", "role": role, "scope": scope}
    key = (await house.client.post("/v1/api-keys", json=wish)).raise_for_status().json()["key"]
    wrong = {}
    for path, due in OTHERS.items():
        answer = await house.client.get(path, headers=bearer(key) | {"Accept": "text/html"})
        is_refused = str(answer.status_code) in due
        is_empty = answer.status_code == 200 and not [secret for secret in SECRETS if secret in answer.text]
        if not (is_refused or (is_empty and "nothing" in due)):
            wrong[path] = (answer.status_code, answer.text[:200])
    assert wrong == {}
    mine = (await house.client.get(f"/v1/statements/{BLUES}", headers=bearer(key))).raise_for_status()
    assert "3.00" in mine.text, "its own statement is shown"


async def test_nothing_of_somebody_elses_is_changed(house: House, owner: asyncpg.Connection) -> None:
    """Over the API with a key, and from a browser with a right form token."""
    states = "select count(*) from reporting.discrepancy_state"
    known, keys = await owner.fetchval(states), (await house.client.get("/v1/api-keys")).json()["api_keys"]
    theirs = (await house.client.post("/v1/api-keys", json={"name": "g", "role": "enterprise", "scope": GREEN})).json()
    change = {"state": "explained", "comment": "nothing to see here"}
    async with browser(house) as province, browser(house) as enterprise:
        token = await enter(house, province, "province-44", "province", "44")
        for path in ("/discrepancies/2/states", "/discrepancies/999/states"):
            assert (await province.post(path, data=change | {"form_token": token})).status_code == 404
            answer = await province.post(f"/v1{path}", json=change, headers={"Danbao-Form-Token": token})
            assert answer.status_code == 404
        token = await enter(house, enterprise, "enterprise-blue", "enterprise", BLUE)
        shown = {"Danbao-Form-Token": token}
        for path in ("/discrepancies/1/states", "/discrepancies/2/states"):
            assert (await enterprise.post(path, data=change | {"form_token": token})).status_code == 403
        revoke = f"/api-keys/{theirs['key_id']}/revoke"
        assert (await enterprise.post(f"/v1{revoke}", headers=shown)).status_code == 404
        await enterprise.post(f"/keys/{theirs['key_id']}/revoke", data={"form_token": token})
        for role, scope in (("enterprise", GREEN), ("national", None), ("operator", None), ("province", "44")):
            wish = {"name": "mine", "role": role, "scope": scope}
            assert (await enterprise.post("/v1/api-keys", json=wish, headers=shown)).status_code == 409, wish
        link = await enterprise.post("/v1/worker-links", json={"worker_id": WORKER, "enterprise": GREEN}, headers=shown)
        scope = await owner.fetchval("select scope from reporting.api_key where key_id = $1", link.json()["key_id"])
        assert scope == f"{WORKER}:{BLUE}", "a link to its own orders, for any request"
        assert (await enterprise.get("/v1/accounts")).status_code == 403
    assert await owner.fetchval(states) == known
    assert (await house.client.get("/v1/statements", headers=bearer(theirs["key"]))).status_code == 200, "not revoked"
    assert len((await house.client.get("/v1/api-keys")).json()["api_keys"]) == len(keys) + 1


async def test_a_key_that_is_revoked_opens_nothing_from_then_on(house: House) -> None:
    made = (await house.client.post("/v1/api-keys", json={"name": "k", "role": "national"})).json()
    headers = bearer(made["key"])
    pages = [asyncio.create_task(house.client.get("/v1/overview", headers=headers)) for _ in range(4)]
    (await house.client.post(f"/v1/api-keys/{made['key_id']}/revoke")).raise_for_status()
    assert (await house.client.get("/v1/overview", headers=headers)).status_code == 401
    assert {answer.status_code for answer in await asyncio.gather(*pages)} <= {200, 401}
    link = (await house.client.post("/v1/worker-links", json={"worker_id": WORKER})).json()
    async with browser(house) as client:
        assert (await open_link(client, link["path"])).status_code == 303
        assert (await client.get("/my-receipts")).status_code == 200
        (await house.client.post(f"/v1/api-keys/{link['key_id']}/revoke")).raise_for_status()
        assert (await client.get("/my-receipts")).headers["location"].startswith("/sign-in"), "its session is over"


AGAIN = """
insert into reporting.access_note (what, subject, address)
select what, subject, address from (select * from reporting.access_note where subject = $1 order by id desc limit 1) n,
    generate_series(2, $2)
"""
"""The last attempt so many times more; each takes a password's time otherwise."""


async def test_a_strangers_failures_do_not_lock_the_owner_out(
    house: House, owner: asyncpg.Connection, name: str
) -> None:
    """From where the owner has signed in before; from elsewhere the account is closed to everybody."""
    await add(house, name, "enterprise", BLUE)
    async with browser(house) as at_work, browser(house) as stranger, browser(house) as travelling:
        assert (await sign_in(at_work, name)).status_code == 303
        assert (await sign_in(stranger, name, "wrong password")).status_code == 401
        await owner.execute(AGAIN, name, OF_ACCOUNT.free + 5)
        assert (await sign_in(stranger, name)).status_code == 429
        assert (await sign_in(travelling, name)).status_code == 429
        assert (await sign_in(at_work, name)).status_code == 303
        assert (await sign_in(at_work, name, "wrong password")).status_code == 401
        await owner.execute(AGAIN, name, OF_ACCOUNT.free + 5)
        assert (await sign_in(at_work, name)).status_code == 429, "and from there no more often than from elsewhere"


async def test_nobodys_name_takes_as_long_as_a_wrong_password(house: House, name: str) -> None:
    await add(house, name, "national")

    async def once(tried: str) -> float:
        async with browser(house) as client:
            page = await client.get("/sign-in")
            began = time.perf_counter()
            assert (await sign_in_with(client, page, tried)).status_code == 401
            return time.perf_counter() - began

    turns = [(await once(name), await once(f"{name}-nobody")) for _ in range(6)]  # alternately: the machine is shared
    one, other = map(min, zip(*turns, strict=True))
    assert max(one, other) < MOST_SLOWER * min(one, other)


async def sign_in_with(client: httpx.AsyncClient, page: httpx.Response, tried: str) -> httpx.Response:
    token = page.text.partition('name="form_token" value="')[2][:64]
    return await client.post("/sign-in", data={"form_token": token, "name": tried, "password": "not the password"})


ODD_BODIES: dict[str, tuple[str, bytes]] = {
    "deep JSON": ("application/json", b"[" * 100_000),
    "no JSON": ("application/json", b'{"name": "\xff\xfe"}'),
    "a lone surrogate": ("application/json", b'{"name": "\\ud800", "role": "national", "password": "long enough 123"}'),
    "a NUL": ("application/json", b'{"name": "a\\u0000", "role": "national", "password": "long enough 123"}'),
    "a large number": ("application/json", b'{"name": "a", "role": "national", "days": 1' + b"0" * 400 + b"}"),
    "many fields": ("application/x-www-form-urlencoded", b"&".join(b"a%d=1" % n for n in range(5_000))),
    "a broken escape": ("application/x-www-form-urlencoded", b"name=%ff%fe&password=%00"),
    "parts": ("multipart/form-data; boundary=x", b"--x\r\nContent-Disposition: form-data; name=a\r\n\r\nb\r\n--x--"),
    "nothing": ("", b""),
}


@pytest.mark.parametrize("body", ODD_BODIES)
async def test_no_body_makes_the_door_fail(house: House, body: str, name: str) -> None:
    kind, content = ODD_BODIES[body]
    transport = httpx.ASGITransport(house.service.app, raise_app_exceptions=False)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://test.local", headers=house.client.headers
    ) as api:
        for path in ("/v1/accounts", "/v1/api-keys", "/v1/worker-links", "/v1/discrepancies/1/states", "/sign-in",
                     "/sign-out", f"/v1/accounts/{name}/password", "/discrepancies/1/states"):  # fmt: skip
            headers = {"Content-Type": kind, "Content-Length": str(len(content))}
            answer = await api.post(path, content=content, headers=headers)
            assert 300 <= answer.status_code < 500, (path, answer.text[:200])


Break = Callable[[AsyncConnection], Awaitable[None]]


async def fail(connection: AsyncConnection) -> None:
    await connection.execute(text("select 1 / 0"))


async def run_away(connection: AsyncConnection) -> None:
    async with asyncio.timeout(0.05):
        await connection.execute(text("select count(*) from generate_series(1, 10000000000)"))


async def die(connection: AsyncConnection) -> None:
    await connection.execute(text("select pg_terminate_backend(pg_backend_pid())"))


async def raise_in_between(_: AsyncConnection) -> None:
    raise ValueError("something else fails")


@pytest.mark.parametrize("how", [fail, run_away, die, raise_in_between])
async def test_no_connection_goes_back_with_a_role_or_a_view(
    house: House, owner: asyncpg.Connection, how: Break
) -> None:
    """A pool of one: each user has the portal's own role, or that of the viewer's kind, after any failure before."""
    login = house.service.settings.portal_database.get_secret_value()
    reported = text(
        "select current_user, current_setting('danbao.view', true), current_setting('transaction_read_only')"
    )
    async with open_engine(login, size=1) as engine:
        with suppress(DBAPIError, TimeoutError, ValueError):
            async with viewing(engine, await viewer_with_key(owner, Role.NATIONAL)) as connection:
                await how(connection)
        async with engine.connect() as connection:
            user, scope, is_read_only = (await connection.execute(reported)).one()
            assert (user, scope or "", is_read_only) == ("danbao_portal", "", "off")
        async with viewing(engine, await viewer_with_key(owner, Role.ENTERPRISE, GREEN)) as connection:
            seen = await connection.execute(text("select distinct enterprise from reporting.daily_sum"))
            assert set(seen.scalars()) == {GREEN}


async def test_viewers_side_by_side_on_few_connections_see_their_own(house: House, owner: asyncpg.Connection) -> None:
    login = house.service.settings.portal_database.get_secret_value()
    query = text("select coalesce(string_agg(distinct enterprise, ','), '') from reporting.daily_sum")
    expected = {(Role.ENTERPRISE, BLUE): {BLUE}, (Role.PROVINCE, "11"): {GREEN}, (Role.WORKER, WORKER): {""},
                (Role.NATIONAL, None): {f"{BLUE},{GREEN}", f"{GREEN},{BLUE}"}}  # fmt: skip
    due = [(await viewer_with_key(owner, *who), rows) for who, rows in expected.items()]
    async with open_engine(login, size=2) as engine:

        async def read(viewer: Viewer, rows: set[str], is_broken: bool) -> None:
            with suppress(DBAPIError):
                async with viewing(engine, viewer) as connection:
                    for _ in range(3):
                        assert await connection.scalar(query) in rows, viewer
                    if is_broken:
                        await fail(connection)

        await asyncio.gather(*(read(viewer, rows, n % 3 == 0) for n in range(20) for viewer, rows in due))


async def test_a_viewers_connection_cannot_be_talked_into_writing(house: House, owner: asyncpg.Connection) -> None:
    """Nor into a view by what is in a value: it is bound, and never part of a statement."""
    login = house.service.settings.portal_database.get_secret_value()
    green = await viewer_with_key(owner, Role.ENTERPRISE, GREEN)
    odd = replace(green, credential=f"{green.credential}' or true; reset role; --")
    async with open_engine(login, size=1) as engine:
        with pytest.raises(Retry):
            async with viewing(engine, odd):
                pass
        for sql in (
            "set transaction read write",
            "select set_config('transaction_read_only', 'off', true)",
            "delete from reporting.session",
        ):
            async with viewing(engine, green) as connection:
                await connection.scalar(text("select count(*) from reporting.daily_sum"))
                with pytest.raises(DBAPIError):
                    await connection.execute(text(sql))


async def test_a_session_that_is_chosen_for_somebody_is_not_his(house: House, name: str) -> None:
    """An intruder's own session, put into the browser of another before he signs in, shows nothing of his."""
    async with browser(house) as intruder, browser(house) as victim:
        await enter(house, intruder, f"{name}-x", "enterprise", GREEN)
        await add(house, name, "enterprise", BLUE)
        planted = intruder.cookies["danbao_session"]
        victim.cookies.set("danbao_session", planted, domain="test.local", path="/")
        assert (await sign_in(victim, name, PASSWORD)).status_code == 303
        assert victim.cookies["danbao_session"] != planted
        assert await status_of(victim) == 200
        assert await status_of(intruder) == 401, "it ended with the sign-in, so it is nobody's"
        reported = (await victim.get("/v1/statements", headers={"Accept": "application/json"})).json()
        assert {statement["enterprise"] for statement in reported["statements"]} == {BLUE}
