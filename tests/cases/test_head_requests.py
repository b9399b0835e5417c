"""HEAD is answered on each route that answers GET: with the status and the headers of GET, and without a body."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import httpx
import pytest
from fastapi.responses import StreamingResponse

from services.reporting.access.viewers import Role
from shared.adapters.run_service import make_service
from shared.runtime.service import Service
from shared.runtime.settings import Settings
from tests.attacks.http.http_harness import SERVICES
from tests.integration.reporting.other_services import OtherServices
from tests.integration.reporting.reporting_harness import House, make_keys, reporting_house
from tests.integration.reporting.test_reporting_roles import client_as, routes_of
from tests.support.servers import Postgres, drop_database, make_database

SAME: Final = ("content-type", "content-disposition", "cache-control", "location", "content-security-policy", "allow")
"""Headers that two requests for one thing have in common; a page's length follows its form's token."""


@pytest.fixture(scope="module")
async def house(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    own, platform = await make_database(postgres), await make_database(postgres)
    keys = make_keys(tmp_path_factory.mktemp("keys"))
    async with reporting_house(postgres.url(own), postgres.url(platform), keys, OtherServices()) as house:
        yield house
    for name in (own, platform):
        await drop_database(postgres, name)


async def test_every_route_answers_head_as_it_answers_get(house: House) -> None:
    """Case 13."""
    for role in (None, Role.OPERATOR):
        async with client_as(house, role) as client:
            for name, (method, path) in routes_of(house).items():
                if method == "GET":
                    got, headed = await client.get(path), await client.head(path)
                    assert (headed.status_code, headed.content) == (got.status_code, b""), name
                    assert [headed.headers.get(header) for header in SAME] == [
                        got.headers.get(header) for header in SAME
                    ], name


@pytest.mark.parametrize("form", ["csv", "xlsx"])
async def test_a_download_says_its_name_and_type_to_head(house: House, form: str) -> None:
    """Case 13."""
    async with client_as(house, Role.NATIONAL) as client:
        answer = await client.head(f"/v1/statements?format={form}")
    assert answer.status_code == 200
    assert answer.headers["content-disposition"].endswith(f".{form}")
    assert answer.content == b""


async def test_a_connection_serves_on_after_head(house: House) -> None:
    """Case 13, over a real connection: no byte of a body is taken for the next answer."""
    async with httpx.AsyncClient(base_url=house.platform.base_url) as client:
        for _ in range(3):
            assert (await client.head("/readyz")).headers["content-type"] == "application/json"
            assert (await client.get("/readyz")).json()["ready"] is True


async def test_a_route_that_only_takes_posts_refuses_head(house: House) -> None:
    async with client_as(house, Role.OPERATOR) as client:
        answer = await client.head("/v1/reconciliations")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


@asynccontextmanager
async def endless(service: Service[Settings]) -> AsyncIterator[None]:
    """A route whose body never ends."""

    async def body() -> AsyncIterator[bytes]:
        while True:
            yield b"more"

    @service.app.get("/endless")
    async def stream() -> StreamingResponse:
        return StreamingResponse(body(), headers={"X-Name": "endless"})

    yield


@pytest.mark.parametrize("name", SERVICES)
async def test_every_service_answers_head(name: str) -> None:
    """Case 13: balancers and monitors probe with HEAD; and nobody makes a body that nobody gets."""
    service = make_service(name, Settings(), endless)
    transport = httpx.ASGITransport(service.app)
    async with (
        endless(service),
        httpx.AsyncClient(transport=transport, base_url="http://test") as client,
    ):
        for path in ("/healthz", "/readyz", "/metrics"):
            got, headed = await client.get(path), await client.head(path)
            assert (headed.status_code, headed.content) == (got.status_code, b"")
            assert headed.headers["content-type"] == got.headers["content-type"]
        headed = await client.head("/endless")
        assert (headed.status_code, headed.headers["x-name"], headed.content) == (200, "endless", b"")
