"""`danbao user`, `danbao key` and `danbao receipt --link` against a running reporting."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable

import httpx
import pytest
import uvicorn

from shared.runtime.exits import Exit
from tests.integration.reporting.access_harness import PASSWORD, access_house, browser, open_link, sign_in
from tests.integration.reporting.reporting_harness import BLUE, SERVICE_KEY, WORKER, House, bearer, serving
from tests.support.access_keys import caller_variables
from tests.support.servers import Postgres

pytestmark = pytest.mark.exhaustive

Danbao = Callable[..., Awaitable[tuple[int, str]]]


@pytest.fixture(scope="module")
async def house(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    async with access_house(postgres, tmp_path_factory.mktemp("keys")) as (opened, _):
        yield opened


@pytest.fixture
async def danbao(house: House) -> AsyncIterator[Danbao]:
    """Runs the command; its exit status and what it printed."""
    server = uvicorn.Server(uvicorn.Config(house.service.app, port=0, log_config=None, lifespan="off"))
    async with serving(server) as url:
        env = {**os.environ, "DANBAO_REPORTING_URL": url, **caller_variables(SERVICE_KEY)}

        async def run(*words: str, reported: str = "") -> tuple[int, str]:
            pipe = asyncio.subprocess.PIPE
            child = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "services.cli", *words, stdin=pipe, stdout=pipe, env=env
            )
            out, _ = await child.communicate(reported.encode())
            assert child.returncode is not None
            return child.returncode, out.decode().strip()

        yield run


async def test_an_account_is_made_listed_and_ended(house: House, danbao: Danbao) -> None:
    wish = ("user", "add", "bluebird", "--role", "enterprise", "--scope", BLUE)
    assert (await danbao(*wish, reported=f"{PASSWORD}\n"))[0] == Exit.OK
    assert (await danbao(*wish, reported=f"{PASSWORD}\n"))[0] == Exit.FAILED, "there is one"
    async with browser(house) as client:
        assert (await sign_in(client, "bluebird")).status_code == 303
        assert (await client.get("/")).headers["location"] == "/my-password"
    status, reported = await danbao("user", "list", "--json")
    (account,) = json.loads(reported)["accounts"]
    assert (status, account["name"], account["scope"], account["is_disabled"]) == (Exit.OK, "bluebird", BLUE, False)
    assert "argon2" not in reported
    assert (await danbao("user", "password", "bluebird", reported="another long password\n"))[0] == Exit.OK
    assert (await danbao("user", "disable", "bluebird"))[0] == Exit.OK
    async with browser(house) as client:
        assert (await sign_in(client, "bluebird", "another long password")).status_code == 401


async def test_a_key_is_printed_once_and_a_link_leads_a_worker_in(house: House, danbao: Danbao) -> None:
    status, key = await danbao("key", "add", "nightly", "--role", "province", "--scope", "44", "--days", "3")
    assert (status, (await house.client.get("/v1/discrepancies", headers=bearer(key))).status_code) == (Exit.OK, 200)
    status, reported = await danbao("key", "list")
    assert (status, key in reported, "nightly" in reported) == (Exit.OK, False, True)
    (number,) = [load["key_id"] for load in json.loads((await danbao("key", "list", "--json"))[1])["api_keys"]]
    assert (await danbao("key", "revoke", str(number)))[0] == Exit.OK
    assert (await house.client.get("/v1/discrepancies", headers=bearer(key))).status_code == 401
    status, link = await danbao("receipt", "--link", "--worker", WORKER, "--days", "2")
    assert status == Exit.OK
    async with browser(house) as client:
        assert (await open_link(client, httpx.URL(link).path)).headers["location"] == "/my-receipts"
