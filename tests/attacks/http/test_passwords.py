"""Passwords that everybody guesses, that an operator knows, that somebody had before."""

import asyncpg
import httpx
import pytest
from argon2 import PasswordHasher

from tests.integration.reporting import access_harness
from tests.integration.reporting.access_harness import (
    PASSWORD,
    TOKEN,
    add,
    add_as_operator,
    browser,
    enter,
    sign_in,
    status_of,
)
from tests.integration.reporting.reporting_harness import BLUE, WORKER, House, bearer

pytestmark = pytest.mark.exhaustive

OWN = "my own long one"


opened, house, owner = access_harness.opened, access_harness.house, access_harness.owner


async def change(client: httpx.AsyncClient, old: str, new: str, again: str | None = None) -> httpx.Response:
    """Send the form of the own password."""
    (token,) = set(TOKEN.findall((await client.get("/my-password")).text))
    fields = {"old": old, "new": new, "again": new if again is None else again, "form_token": token}
    return await client.post("/my-password", data=fields)


@pytest.mark.parametrize("password", ["aaaaaaaaaaaa", " " * 12, "danbao123456", "qwertyuiop[]", "guessed-guessed"])
async def test_an_operator_cannot_set_a_password_that_everybody_guesses(house: House, password: str) -> None:
    refused = await add_as_operator(house, "guessed", "national", password=password)
    assert (refused.status_code, "most of the password" in refused.json()["detail"]) == (409, True)
    assert (await sign_in_status(house, "guessed", password)) == 401


async def sign_in_status(house: House, name: str, password: str) -> int:
    async with browser(house) as client:
        return (await sign_in(client, name, password)).status_code


async def test_who_has_an_operators_password_gets_nothing_before_it_is_changed(house: House) -> None:
    await add_as_operator(house, "first", "operator")
    async with browser(house) as client:
        assert (await sign_in(client, "first")).status_code == 303
        for path in ("/", "/discrepancies", "/keys", "/looks"):
            answer = await client.get(path)
            assert (answer.status_code, answer.headers["location"]) == (303, "/my-password"), path
        page = await client.get("/my-password")
        assert (page.status_code, "/discrepancies" in page.text) == (200, False), "no way leads on"
        refused = await client.get("/v1/accounts")
        assert (refused.status_code, "/v1/my-password" in refused.json()["detail"]) == (403, True)
        body = {"name": "second", "role": "operator", "password": PASSWORD}
        (token,) = set(TOKEN.findall(page.text))
        shown = {"Danbao-Form-Token": token}
        assert (await client.post("/v1/accounts", json=body, headers=shown)).status_code == 403
        assert (await change(client, PASSWORD, PASSWORD)).status_code == 409, "the operator's own is none"
        assert (await change(client, PASSWORD, OWN)).status_code == 200
        assert await status_of(client, "/v1/accounts") == 200
        (await house.client.post("/v1/accounts/first/password", json={"password": PASSWORD})).raise_for_status()
        assert (await sign_in(client, "first")).status_code == 303
        assert await status_of(client, "/v1/accounts") == 403, "once more, for an operator has set it once more"


async def test_a_password_is_changed_by_its_person_alone(house: House, owner: asyncpg.Connection) -> None:
    async with browser(house) as client, browser(house) as elsewhere:
        token = await enter(house, client, "person", "enterprise", BLUE)
        assert (await sign_in(elsewhere, "person")).status_code == 303
        for old, new, again in (
            ("not my old one", OWN, None),
            (PASSWORD, OWN, "something else"),
            (PASSWORD, "a" * 12, None),
            (PASSWORD, "person-person-1", None),
            (PASSWORD, PASSWORD, None),
        ):
            refused = await change(client, old, new, again)
            assert (refused.status_code, 'role="alert"' in refused.text) == (409, True), new
        assert await status_of(elsewhere) == 200
        body = {"old": PASSWORD, "new": OWN, "again": OWN}
        assert (await client.post("/v1/my-password", json=body)).status_code == 403, "without the form's token"
        done = await client.post("/v1/my-password", json=body, headers={"Danbao-Form-Token": token})
        assert (done.status_code, await status_of(client), await status_of(elsewhere)) == (200, 200, 401)
    assert (await sign_in_status(house, "person", PASSWORD), await sign_in_status(house, "person", OWN)) == (401, 303)
    noted = "select actor, address from reporting.access_note where subject = 'person' and what = 'password_changed'"
    ((actor, address),) = await owner.fetch(noted)
    assert (actor, address.endswith("::/64")) == ("person", True)


async def test_a_key_and_a_workers_link_have_no_password(house: House) -> None:
    body = {"old": PASSWORD, "new": OWN, "again": OWN}
    for key in (bearer("key-blue"), {}):
        assert (await house.client.post("/v1/my-password", json=body, headers=key)).status_code == 403
    link = (await house.client.post("/v1/worker-links", json={"worker_id": WORKER})).json()
    async with browser(house) as client:
        (token,) = TOKEN.findall((await client.get(link["path"])).text)
        assert (await client.post(link["path"], data={"form_token": token})).status_code == 303
        assert (await client.get("/my-password")).status_code == 403


async def test_guesses_at_the_old_password_wait_as_those_at_the_door_do(house: House) -> None:
    async with browser(house) as client:
        await enter(house, client, "stolen", "enterprise", BLUE)
        answers = [(await change(client, f"guess number {n}", OWN)).status_code for n in range(7)]
        assert answers[0] == 409
        assert answers[-1] == 429


async def test_none_of_the_last_five_comes_back(house: House, owner: asyncpg.Connection) -> None:
    before = ["fourth, as I like", "third one of mine", "second of them, mine", "first of seven, mine"]
    quick = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    await add(house, "often", "national")
    set_up = "update reporting.account set former_hashes = $1 where name = 'often'"
    await owner.execute(set_up, [quick.hash(password) for password in before])
    async with browser(house) as client:
        await sign_in(client, "often")
        for again in (PASSWORD, before[-1]):
            assert (await change(client, PASSWORD, again)).status_code == 409, again
        assert (await change(client, PASSWORD, OWN)).status_code == 200
        assert (await change(client, OWN, PASSWORD)).status_code == 409, "the one before"
        assert (await change(client, OWN, before[-1])).status_code == 200, "it is the sixth before"
    with pytest.raises(asyncpg.CheckViolationError):
        await owner.execute(set_up, ["more"] * 5)


async def test_a_password_is_the_same_however_it_is_typed(house: House) -> None:
    await add(house, "typed", "national", password="ｃｏｒｒｅｃｔ　horse ﬁve")
    assert await sign_in_status(house, "typed", "correct horse five") == 303


async def test_the_auditor_sees_no_hash_of_any_password(house: House, owner: asyncpg.Connection) -> None:
    await owner.execute("set role danbao_auditor")
    assert await owner.fetchval("select bool_and(must_change is not null) from reporting.account")
    for column in ("password_hash", "former_hashes"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await owner.fetch(f"select {column} from reporting.account")
    await owner.execute("reset role")
