"""A stolen key of one service: it opens the routes that this service calls, and no others anywhere."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, cast

import httpx
import pytest
import yaml
from fastapi import APIRouter, FastAPI
from starlette.requests import Request

from deploy.service_keys import key_file, key_settings, make_service_keys
from services.charging.api.day_routes import make_day_router
from services.charging.api.dry_run_routes import make_dry_run_router
from services.charging.api.order_routes import make_order_router
from services.charging.api.parked_routes import make_parked_router
from services.charging.api.progress_routes import make_progress_router
from services.charging.api.rerate_routes import make_rerating_router
from services.charging.api.series_routes import make_series_router
from services.charging.api.topic_routes import make_topic_router
from services.ledger.api.evidence_routes import make_evidence_router
from services.ledger.api.ledger_routes import make_router as make_ledger_router
from services.ledger.api.log_routes import make_proof_router
from services.reporting.access.authentication import Access
from services.reporting.api.account_routes import make_account_router
from services.reporting.api.internal_routes import routes as make_reporting_router
from services.reporting.api.rebuild_routes import make_rebuild_router
from shared.adapters.http.decision_routes import make_decisions_router
from shared.adapters.http.quarantine_routes import make_quarantine_router
from shared.adapters.http.set_aside_routes import make_set_aside_router
from shared.adapters.postgres.decisions import Decisions
from shared.domain.errors import Refused
from shared.domain.evidence.authors import Role
from shared.runtime import clock
from shared.runtime.access import DECIDING, AccessKeys, sha256_hex
from shared.runtime.callers import CALLS, DIRECTIONS, OPERATOR, Direction, callees_of, is_question
from shared.runtime.persons import HEADER, Person, Persons, claims_of
from shared.runtime.secret_file import MOST_SECRET_BYTES
from shared.runtime.settings import Settings
from tests.support.authors import OPERATOR as OPERATOR_KEY
from tests.support.authors import STRANGER
from tests.tidy.source import ROOT

NOTHING: Final = cast("Any", None)
"""In place of databases and brokers: no request that is refused gets as far as to them."""
ALICE: Final = Person(OPERATOR_KEY.author.identity, Role.OPERATOR)
OPERATORS_REQUESTS: Final = (
    ("reporting", "POST", "/v1/accounts", {"name": "evil", "role": "operator", "password": "a long enough one"}),
    ("ledger", "POST", "/v1/days/2026-11-01/close", {"as_of": "2026-11-02T12:00:00+08:00"}),
    ("charging", "POST", "/v1/rerate", {"apply": True}),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("keys")
    make_service_keys(made, made / "access.toml")
    return made


def routers(callee: str, keys: AccessKeys, decisions: Decisions = NOTHING) -> Iterator[APIRouter]:
    """Every router of the service that requires a key of the file."""
    if callee in DECIDING:
        yield make_decisions_router(keys, decisions)
    yield make_quarantine_router(keys, NOTHING, decisions)
    match callee:
        case "charging":
            yield make_progress_router(keys, NOTHING, NOTHING, NOTHING, NOTHING, list)
            yield make_day_router(keys, NOTHING, NOTHING, NOTHING)
            yield make_order_router(keys, NOTHING, NOTHING)
            yield make_parked_router(keys, NOTHING, NOTHING)
            yield make_topic_router(keys, NOTHING, decisions, NOTHING)
            yield make_dry_run_router(keys, NOTHING)
            yield make_series_router(keys, NOTHING)
            yield make_rerating_router(keys, decisions, NOTHING)
        case "ledger":
            yield make_ledger_router(keys, NOTHING, NOTHING, NOTHING, NOTHING, decisions, NOTHING)
            yield make_set_aside_router(keys, NOTHING, NOTHING, NOTHING, decisions)
            yield make_proof_router(NOTHING, NOTHING, keys)
            yield make_evidence_router(NOTHING, NOTHING, keys)
        case _:
            yield make_reporting_router(keys, NOTHING, NOTHING, NOTHING, NOTHING)
            yield make_rebuild_router(keys, NOTHING, NOTHING)
            yield make_account_router(NOTHING, Access(NOTHING, keys), NOTHING, "")


def client_of(callee: str, folder: Path) -> httpx.AsyncClient:
    app = FastAPI()
    for router in routers(
        callee, AccessKeys.load(folder / "access.toml", callee, Persons([OPERATOR_KEY.author], callee))
    ):
        app.include_router(router)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://test")


def routes_of(callee: str) -> set[str]:
    """`GET /v1/…` for every route that requires a key."""
    app = FastAPI()
    for router in routers(callee, AccessKeys([], callee)):
        app.include_router(router)
    return {f"{method.upper()} {path}" for path, methods in app.openapi()["paths"].items() for method in methods}


def shown(folder: Path, direction: Direction) -> dict[str, str]:
    return {"Authorization": f"Bearer {key_file(folder, direction).read_text()}"}


@pytest.mark.parametrize("caller", ["ledger", "reporting"])
@pytest.mark.parametrize(("callee", "method", "path", "body"), OPERATORS_REQUESTS)
async def test_no_key_of_a_service_makes_an_operator_closes_a_day_or_rerates(
    folder: Path, caller: str, callee: str, method: str, path: str, body: dict[str, Any]
) -> None:
    async with client_of(callee, folder) as client:
        for direction in (Direction(caller, callee_name) for callee_name in callees_of(caller)):
            answer = await client.request(method, path, json=body, headers=shown(folder, direction))
            assert answer.status_code in {401, 403}, (direction.scope, answer.text)


def test_charging_holds_no_key_at_all(folder: Path) -> None:
    assert callees_of("charging") == ()
    assert key_settings(folder, "charging") == {}
    assert not (folder / "charging").exists()
    service = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["charging"]
    callees = "|".join([*CALLS, "platform", "service", "operator"]).upper()
    assert not [name for name in service["environment"] if re.fullmatch(rf"DANBAO_({callees})_KEY(_FILE)?", name)]
    assert not [volume for volume in service["volumes"] if re.match(r"(ledger|reporting|operator)-keys:", volume)]


@pytest.mark.parametrize("callee", ["charging", "ledger", "reporting"])
async def test_a_key_opens_its_routes_and_no_others(folder: Path, callee: str) -> None:
    """Every route of the service with every key of the house."""
    opened: dict[str, set[str]] = {}
    async with client_of(callee, folder) as client:
        for direction in DIRECTIONS:
            for route in routes_of(callee):
                method, path = route.split(" ")
                answer = await client.request(method, _filled(path), json={}, headers=shown(folder, direction))
                if answer.status_code not in {401, 403}:
                    opened.setdefault(direction.scope, set()).add(route)
    everything = {route for route in routes_of(callee) if callee not in DECIDING or is_question_of(callee, route)}
    wanted = {
        Direction(caller, callee).scope: everything if caller == OPERATOR else set(routes)
        for caller, routes in CALLS[callee].items()
    }
    assert opened == wanted


def is_question_of(callee: str, route: str) -> bool:
    """Whether the route decides nothing: a decision needs a person as well as the key."""
    method, path = route.split(" ")
    return method == "GET" or is_question(callee, method, _filled(path))


@pytest.mark.parametrize("callee", sorted(DECIDING))
async def test_the_operators_key_alone_decides_nothing(folder: Path, callee: str) -> None:
    """Every route that changes something, with the one key that may call all: without a person it is refused."""
    decisions = {route for route in routes_of(callee) if not is_question_of(callee, route)}
    assert decisions
    async with client_of(callee, folder) as client:
        for route in decisions:
            method, path = route.split(" ")
            headers = shown(folder, Direction(OPERATOR, callee))
            answer = await client.request(method, _filled(path), json={}, headers=headers)
            assert (answer.status_code, "a decision needs a person" in answer.text) == (403, True), route
            stranger = {**headers, HEADER: STRANGER.sign_token(claims_of(ALICE, callee, clock.now()))}
            answer = await client.request(method, _filled(path), json={}, headers=stranger)
            assert (answer.status_code, "no key that is known" in answer.text) == (403, True), route
            person = {**headers, HEADER: OPERATOR_KEY.sign_token(claims_of(ALICE, callee, clock.now()))}
            answer = await client.request(method, _filled(path), json={}, headers=person)
            assert answer.status_code not in {401, 403}, (route, answer.text)


def _filled(path: str) -> str:
    """The path with something in every place that fits none of the parameters: it ends after the check of the key."""
    return re.sub(r"\{[^}]+\}", "-", path)


@pytest.mark.parametrize(
    "path",
    ["/v1/days/2026-11-01/close", "/v1/status/", "//v1/status", "/v1/days/../statements", "/v1/status\n", "/V1/STATUS"],
)
def test_a_route_is_matched_whole(folder: Path, path: str) -> None:
    request = httpx.Request("GET", "http://test")
    scope = {"type": "http", "method": request.method, "path": path, "query_string": b"", "headers": []}
    key = key_file(folder, Direction("reporting", "ledger")).read_text()
    scope["headers"] = [(b"authorization", f"Bearer {key}".encode())]
    caller = AccessKeys.load(folder / "access.toml", "ledger").find(Request(scope))
    assert caller is not None
    assert caller.scopes == frozenset()


def test_two_keys_of_one_direction_work_side_by_side(folder: Path, tmp_path: Path) -> None:
    """A key is replaced without a gap: its file is made again, and both hashes are in the list for a while."""
    direction = Direction("ledger", "charging")
    make_service_keys(tmp_path, tmp_path / "access.toml")
    old = key_file(tmp_path, direction).read_text()
    key_file(tmp_path, direction).unlink()
    make_service_keys(tmp_path, tmp_path / "access.toml")
    new = key_file(tmp_path, direction).read_text()
    text = (tmp_path / "access.toml").read_text()
    assert old != new
    assert text.count(sha256_hex(old)) == text.count(sha256_hex(new)) == 1
    make_service_keys(tmp_path, tmp_path / "access.toml")
    assert (tmp_path / "access.toml").read_text() == text
    assert key_file(tmp_path, direction).stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("scopes", ['["service"]', '["ledger->reporting"]', '["ledger->charging", "national"]'])
def test_a_list_that_would_open_more_is_refused(tmp_path: Path, scopes: str) -> None:
    file = tmp_path / "access.toml"
    file.write_text(f'[[key]]\nname = "x"\nsha256 = "{sha256_hex("x")}"\nscopes = {scopes}\n')
    with pytest.raises(Refused, match=r"access\.toml: the key 'x' has"):
        AccessKeys.load(file, "charging")


def test_a_secret_comes_from_a_file_or_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "key").write_text("the key\n")
    monkeypatch.setenv("DANBAO_LEDGER_KEY_FILE", str(tmp_path / "key"))
    assert Settings().ledger_key.get_secret_value() == "the key"
    monkeypatch.setenv("DANBAO_LEDGER_KEY", "another")
    with pytest.raises(Refused, match="DANBAO_LEDGER_KEY_FILE and DANBAO_LEDGER_KEY are both set"):
        Settings()
    monkeypatch.delenv("DANBAO_LEDGER_KEY")
    monkeypatch.setenv("DANBAO_LEDGER_KEY_FILE", str(tmp_path / "none"))
    with pytest.raises(Refused, match=r"DANBAO_LEDGER_KEY_FILE: .*/none cannot be read: No such file"):
        Settings()


@pytest.mark.parametrize("content", [b"", b"\n", b"two\nlines\n", b"a\x00b", b"a" * (MOST_SECRET_BYTES + 1)])
def test_a_file_that_holds_no_secret_is_refused_and_no_key_is_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    (tmp_path / "key").write_bytes(content)
    monkeypatch.setenv("DANBAO_LEDGER_KEY_FILE", str(tmp_path / "key"))
    with pytest.raises(Refused, match=r"DANBAO_LEDGER_KEY_FILE: .*/key has to hold one line"):
        Settings()
