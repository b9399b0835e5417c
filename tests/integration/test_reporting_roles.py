"""Every route of reporting, asked by every role and by nobody: who has no right to it gets nothing but a refusal."""

import re
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from services.reporting.access.viewers import Role
from tests.integration.other_services import OtherServices
from tests.integration.portal_rules import NOBODY_TOO, RULES
from tests.integration.reporting_house import BLUE, WORKER, House, bearer, make_keys, reporting_house
from tests.servers import Postgres, drop_database, make_database

SCOPES = {Role.PROVINCE: "44", Role.ENTERPRISE: BLUE}
FILLED = {"day": "2026-10-03", "province": "44", "enterprise": BLUE, "uscc": BLUE, "period": "2026-10", "key_id": "999"}
REFUSED = {401, 403}


@pytest.fixture(scope="module")
async def house(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    own, platform = await make_database(postgres), await make_database(postgres)
    keys = make_keys(tmp_path_factory.mktemp("keys"))
    async with reporting_house(postgres.url(own), postgres.url(platform), keys, OtherServices()) as house:
        yield house
    for name in (own, platform):
        await drop_database(postgres, name)


def routes_of(house: House) -> dict[str, tuple[str, str]]:
    """`GET /v1/days/{day}` to its method and a path that names something; a mounted folder counts as one route."""
    found = {}
    for path, methods in _walk(house.service.app.routes):
        for method in sorted(methods - {"HEAD"}):
            filled = re.sub(r"{(\w+)(:\w+)?}", lambda match: FILLED.get(match[1], "1"), path)
            found[f"{method} {path}"] = (method, filled)
    return found


def _walk(routes: Iterable[Any], prefix: str = "") -> Iterator[tuple[str, set[str]]]:
    for route in routes:
        if hasattr(route, "original_router"):  # as FastAPI keeps an included router
            yield from _walk(route.original_router.routes, prefix + route.include_context.prefix)
        else:
            yield prefix + route.path, getattr(route, "methods", None) or {"MOUNT"}


@asynccontextmanager
async def client_as(house: House, role: Role | None) -> AsyncIterator[httpx.AsyncClient]:
    """A client with an API key of the role; a worker's has the cookie that a link gave it."""
    transport = httpx.ASGITransport(house.service.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        if role is Role.WORKER:
            link = (await house.client.post("/v1/worker-links", json={"worker_id": WORKER})).raise_for_status().json()
            assert (await client.get(link["path"])).status_code == 303
        elif role is not None:
            body = {"name": "test", "role": role, "scope": SCOPES.get(role)}
            made = (await house.client.post("/v1/api-keys", json=body)).raise_for_status().json()
            client.headers.update(bearer(made["key"]))
        yield client


async def test_every_route_has_a_rule_and_every_rule_a_route(house: House) -> None:
    assert set(routes_of(house)) == set(RULES)


@pytest.mark.parametrize("role", [None, *Role], ids=str)
async def test_every_route_asked_by_every_role(house: House, role: Role | None) -> None:
    """Refused are those whom the rule does not name; those it names are never refused, and nobody makes it fail."""
    wrong = {}
    async with client_as(house, role) as client:
        for name, (method, path) in routes_of(house).items():
            answer = await client.request(method, path)
            is_refused = answer.status_code in REFUSED or answer.headers.get("location", "").startswith("/sign-in")
            rule = RULES[name]
            if answer.status_code == 500 or (rule is not NOBODY_TOO and is_refused != (role not in rule)):
                wrong[name] = answer.status_code
    assert wrong == {}
