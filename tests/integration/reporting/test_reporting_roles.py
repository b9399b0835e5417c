"""Every route of reporting, requested by every role and by nobody: without the right to it, there is only a refusal."""

import re
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from services.reporting.access.viewers import Role
from tests.integration.portal.portal_rules import NOBODY_TOO, RULES
from tests.integration.reporting.access_harness import open_link
from tests.integration.reporting.other_services import OtherServices
from tests.integration.reporting.reporting_harness import BLUE, WORKER, House, bearer, make_keys, reporting_house
from tests.support.servers import Postgres, drop_database, make_database

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
    routes = {}
    for path, methods in _walk(house.service.app.routes):
        for method in sorted(methods - {"HEAD"}):
            filled = re.sub(r"{(\w+)(:\w+)?}", lambda match: FILLED.get(match[1], "1"), path)
            routes[f"{method} {path}"] = (method, filled)
    return routes


def _walk(routes: Iterable[Any], prefix: str = "") -> Iterator[tuple[str, set[str]]]:
    for route in routes:
        if hasattr(route, "original_router"):  # as FastAPI keeps an included router
            yield from _walk(route.original_router.routes, prefix + route.include_context.prefix)
        else:
            yield prefix + route.path, getattr(route, "methods", None) or {"MOUNT"}


@asynccontextmanager
async def client_as(house: House, role: Role | None) -> AsyncIterator[httpx.AsyncClient]:
    """A client with an API key of the role; a worker's has the cookie that a link gave it."""
    transport = httpx.ASGITransport(house.service.app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        if role is Role.WORKER:
            link = (await house.client.post("/v1/worker-links", json={"worker_id": WORKER})).raise_for_status().json()
            assert (await open_link(client, link["path"])).status_code == 303
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


HOSTILE = [
    {
        "day": "0001-01-01",
        "period": "0000-01",
        "province": "00",
        "enterprise": "0" * 18,
        "at": "0001-01-01T00:00+14:00",
    },
    {
        "day": "9999-12-31",
        "period": "9999-12",
        "province": "99",
        "enterprise": "Z" * 18,
        "at": "9999-12-31T23:59-12:00",
    },
    {"day": "2026-02-30", "period": "2026-13", "province": "44\n", "enterprise": "\x00", "at": "xx", "lang": "xx"},
    {"day": "2026-10-03", "period": "2099-12", "province": "71", "enterprise": BLUE, "at": "2026-10-03"},
    {"day": "9" * 23, "period": "\U0010ffff", "province": "٤٤", "enterprise": "%00", "at": "1" * 40},
]


@pytest.mark.parametrize("number", range(len(HOSTILE)))
async def test_no_address_makes_a_page_fail(house: House, number: int) -> None:
    """Any address, requested by a viewer who sees everything: an answer or a refusal, never an error of ours."""
    odd = HOSTILE[number]
    known = odd | {"code": odd["province"], "uscc": odd["enterprise"], "name": "<script>", "back": odd["period"]}
    known |= {
        name: str(10**23 if number == 4 else 2**63 - number % 2)
        for name in ("discrepancy_id", "key_id", "after", "before")
    }
    known |= dict.fromkeys(("cursor", "report_id", "statement_id"), "9" * 18 + ".999999999")
    known |= {"as_of": odd["day"], "first": odd["day"]}
    days = {name: known[name] for name in ("day", "period", "at", "as_of", "back", "first")}
    days = {name: known[name] for name in ("day", "period", "at", "as_of", "back", "first")}
    wishes = [{}, days, {"after": known["after"], "before": known["before"]}]
    failed = set()
    for role in (Role.OPERATOR, Role.WORKER):
        async with client_as(house, role) as client:
            client.headers["Accept"] = "text/html"
            for name in routes_of(house):
                method, _, path = name.partition(" ")
                filled = re.sub(r"{(\w+)(:\w+)?}", lambda match: quote(known.get(match[1], "1"), safe=""), path)
                for query in wishes if role in (RULES[name] or ()) else [{}]:
                    answer = await client.request(method, filled, params=query)
                    if answer.status_code == 500:
                        failed.add(f"{name} {query}")
    assert failed == set()
