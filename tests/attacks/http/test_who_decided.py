"""Every decision is stored with its person: the one who signed the request, even if the request names another."""

import json
import re
from typing import Any, Final

import asyncpg
import httpx
import pytest

from shared.adapters.http.as_person import AsPerson
from shared.adapters.postgres.pool import BrokenConstraint
from shared.domain.evidence.authors import Role
from shared.runtime import clock
from shared.runtime.access import DECIDING
from shared.runtime.callers import is_question
from shared.runtime.persons import HEADER, SAFE_METHODS, Person, claims_of
from tests.attacks.http.http_harness import Target
from tests.integration.charging.charging_harness import House
from tests.support.authors import OPERATOR

TOPIC: Final = "orders.v1.91110000MA0BLUE021"
LONG_AGO: Final = "2022-01-01"
RERATE: Final = {"first_on": LONG_AGO, "last_on": LONG_AGO, "apply": True}
ADJUSTMENT: Final = {"enterprise": "91110000MA0BLUE021", "day": LONG_AGO, "reason": "a test"}
MOVE_ON: Final = {"losses": [{"partition": 0, "from_offset": 0, "to_offset": 1}], "why": "a test"}
REQUESTS: Final[dict[str, dict[str, tuple[str, Any]]]] = {
    "charging": {
        "POST /v1/settle": ("/v1/settle", None),
        "POST /v1/parked/resend": ("/v1/parked/resend", {"reason": "not_json"}),
        "POST /v1/topics/{topic}/resume": (f"/v1/topics/{TOPIC}/resume", None),
        "POST /v1/topics/{topic}/move-on": (f"/v1/topics/{TOPIC}/move-on", MOVE_ON),
        "POST /v1/rerate": ("/v1/rerate", RERATE),
        "POST /v1/adjustments": ("/v1/adjustments", ADJUSTMENT),
        "POST /v1/adjustments/{proposal_id}/consent": ("/v1/adjustments/999/consent", None),
        "POST /v1/refused/{refused_id}/review": ("/v1/refused/999/review", {"note": "a test"}),
        "POST /v1/refused/{refused_id}/replay": ("/v1/refused/999/replay", None),
    },
    "ledger": {
        "POST /v1/days/{day}/close": (f"/v1/days/{LONG_AGO}/close", {"as_of": "2022-01-03T00:00:00+08:00"}),
        "POST /v1/statements": ("/v1/statements", {"period": "2022-01", "as_of": "2022-02-03T00:00:00+08:00"}),
        "POST /v1/late-fees": ("/v1/late-fees", {"as_of": LONG_AGO}),
        "POST /v1/set-aside/retry": ("/v1/set-aside/retry", {"step": "bill", "item": "none"}),
        "POST /v1/refused/{refused_id}/review": ("/v1/refused/999/review", {"note": "a test"}),
        "POST /v1/refused/{refused_id}/replay": ("/v1/refused/999/replay", None),
    },
}
"""A request for every deciding route, none of which changes anything."""
NAMED: Final = dict.fromkeys(("who", "person", "reviewer", "decided_by", "account", "sub"), "mallory")


def client_of(target: Target, auth: AsPerson | None = None) -> httpx.AsyncClient:
    headers = {"Authorization": f"Bearer {target.key}"}
    return httpx.AsyncClient(base_url=target.url, headers=headers, auth=auth, timeout=20)


async def deciding_routes(target: Target) -> set[str]:
    """As the running service lists its routes, but for those that change nothing."""
    async with client_of(target) as client:
        paths = (await client.get("/openapi.json")).raise_for_status().json()["paths"]
    routes = [(method.upper(), path) for path, methods in paths.items() for method in methods]
    return {
        f"{method} {path}"
        for method, path in routes
        if method not in SAFE_METHODS and not is_question(target.name, method, re.sub(r"\{[^}]+\}", "-", path))
    }


async def stored(client: httpx.AsyncClient) -> list[dict[str, Any]]:
    """All of them, page by page: other tests of the same services decide, too."""
    decisions: list[dict[str, Any]] = []
    while page := await page_after(client, decisions[-1]["decision_id"] if decisions else 0):
        decisions += page
    return decisions


async def page_after(client: httpx.AsyncClient, after: int) -> list[dict[str, Any]]:
    page: list[dict[str, Any]] = (await client.get("/v1/decisions", params={"after": after})).json()["decisions"]
    return page


@pytest.mark.parametrize("service", sorted(DECIDING))
async def test_every_deciding_route_stores_the_person_who_signed(targets: dict[str, Target], service: str) -> None:
    """A route that is new here needs a request above, and stores its decision."""
    target = targets[service]
    assert await deciding_routes(target) == set(REQUESTS[service])
    async with client_of(target, target.person) as client:
        for route, (path, body) in REQUESTS[service].items():
            before = len(await stored(client))
            answer = await client.post(path, json=body, params=NAMED)
            assert answer.status_code in {200, 404, 409}, (route, answer.text)
            added = (await stored(client))[before:]
            assert [(decision["request"], decision["person"]) for decision in added] == [
                (f"POST {path}", "operator")
            ], route
            assert "mallory" not in json.dumps(added)
            assert added[0]["content"].keys() >= (body or {}).keys(), route


@pytest.mark.parametrize("service", sorted(DECIDING))
async def test_who_signs_with_no_known_key_or_names_another_leaves_nothing(
    targets: dict[str, Target], service: str
) -> None:
    target = targets[service]
    forged = OPERATOR.sign_token(claims_of(Person("operator", Role.OPERATOR), service, clock.now()))
    async with client_of(target) as client:
        before = await stored(client)
        for route, (path, body) in REQUESTS[service].items():
            for headers in ({}, {HEADER: forged}):
                answer = await client.post(path, json=body, params=NAMED, headers=headers)
                assert answer.status_code == 403, route
        assert await stored(client) == before


@pytest.mark.parametrize("service", sorted(DECIDING))
async def test_a_body_that_names_a_person_is_refused(targets: dict[str, Target], service: str) -> None:
    target = targets[service]
    async with client_of(target, target.person) as client:
        before = await stored(client)
        for route, (path, body) in REQUESTS[service].items():
            if body is not None:
                answer = await client.post(path, json={**body, "who": "mallory"})
                assert answer.status_code == 422, route
        assert await stored(client) == before


async def test_a_rerating_that_is_only_shown_is_no_decision(targets: dict[str, Target]) -> None:
    target = targets["charging"]
    async with client_of(target, target.person) as client:
        before = await stored(client)
        answer = (await client.post("/v1/rerate", json=RERATE | {"apply": False})).json()
        assert (answer["booked"], answer["decided_by"]) == (0, None)
        assert await stored(client) == before


async def test_the_database_refuses_a_correction_of_nobody_and_changes_no_decision(house: House) -> None:
    correction = "insert into charging.run (run, purpose, decision_id) values (repeat('a', 32), 'correction', $1)"
    for number in (None, 999):
        with pytest.raises(BrokenConstraint):
            await house.pool.execute(correction, number)
    decided = "insert into charging.decision (person, request, content) values ('operator', 'x', '{}')"
    await house.pool.execute(decided)
    owner = await asyncpg.connect(house.owner_url)
    for change in ("update charging.decision set person = 'mallory'", "delete from charging.decision"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await house.pool.execute(change)
        with pytest.raises(BrokenConstraint):
            await owner.execute(change)
    await owner.close()
