"""Call every route of every service with values that no column takes: a reason each time, never an internal error."""

import json
import re
from collections.abc import Iterator, Sequence
from random import Random
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from tests.attacks.http.http_harness import SERVICES, Target

pytestmark = pytest.mark.exhaustive

GOOD = {
    "day": "2026-10-03", "period": "2026-10", "province": "44", "enterprise": "91110000MA0BLUE021",
    "as_of": "2026-10-03",
    "uscc": "91110000MA0BLUE021", "order_id": "A-1", "run": "a" * 32, "number": "1", "batch": "1", "leaf_index": "1",
    "worker_id": "a" * 64, "worker": "a" * 64, "at": "2026-10-03T08:00:00Z", "series": "main",
    "report_id": "coverage.1",
    "statement_id": "2026-10.44.91110000MA0BLUE021", "topic": "orders.v1.91110000MA0BLUE021", "first": "2026-10-03",
    "name": "nobody", "key_id": "1", "discrepancy_id": "1", "refused_id": "1", "origin_hash": "a" * 64, "path": "0/000",
}  # fmt: skip
INSTANT = "2026-10-03T08:00:00Z"
FIELDS: dict[str, Any] = {
    "reason": "not_json", "enterprise": "91110000MA0BLUE021", "period": "2026-10", "first_on": "2026-10-03",
    "last_on": "2026-10-03", "note": "x", "who": "x", "why": "x", "losses": [], "event": "e30=", "workers": [],
    "province": "44", "name": "nobody-at-all", "role": "enterprise", "scope": "91110000MA0BLUE021",
    "state": "explained",
    "password": "a password of length", "worker_id": "a" * 64, "comment": "x", "as_of": INSTANT, "days": 1,
}  # fmt: skip
VALUES = (
    "", "0", "-1", "9" * 23, str(2**31), str(2**63), "1e400", "NaN", "9999-12-31", "0001-01-01", "2026-02-30",
    "0000-01",
    "9999-12", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00+14:00", "%00", "a%00b", "%ff%fe", "%ed%a0%80", "%0d%0aX:y",
    "../../etc/passwd", "'; drop table x;--", "x" * 3_000, "%D9%A3", "%F0%9F%92%A9",
)  # fmt: skip
"""Values as written in a URL, percent-encoded."""
IN_BODY: tuple[Any, ...] = (
    None, True, -1, 10**23, 2**31, 2**63, 1.5, "", "\x00", "a\x00b", "9999-12-31", "0001-01-01", "9999-12-31T23:59:59Z",
    "0001-01-01T00:00:00+14:00", "9999-12", "0001-01", "x" * 3_000, [], [[]], [None], {}, {"a": {}}, "\U0001f4a9",
)  # fmt: skip
BODIES = (
    b"", b"null", b"[]", b"{", b"\xff\xfe", b'{"a": NaN}', b'{"as_of": Infinity}', b'{"a": "\\ud800"}',
    b'{"\\ud800": 1}',
    b"[" * 30_000, b'{"a":' * 10_000, b'{"a": ' + b"9" * 5_000 + b"}", b'{"a":1,"a":2}', b"\x00", b"\xef\xbb\xbf{}",
)  # fmt: skip
SAMPLE = 6
"""Of the values, for a parameter or field whose schema was given all of them at an earlier route."""
LEAKS = re.compile(r"127\.0\.0\.1|localhost:\d|postgresql|Traceback|\[SQL|site-packages|sqlalchemy|asyncpg")


def fill(path: str, odd: str = "", value: str = "") -> str:
    """The path with good parameters, but for the odd one."""
    known = {name: quote(good, safe="") for name, good in GOOD.items()} | {odd: value}
    return re.sub(r"{(\w+)}", lambda found: known.get(found[1], "1"), path)


class Values:
    """Which values a parameter or field is given: all where its schema is new, else a seeded sample."""

    def __init__(self) -> None:
        self._known: set[str] = set()

    def of(self, place: str, schema: dict[str, Any], values: Sequence[Any]) -> Sequence[Any]:
        shape = json.dumps(
            {name: part for name, part in schema.items() if name not in {"title", "description"}}, sort_keys=True
        )
        if shape in self._known:
            return Random(place).sample(values, SAMPLE)
        self._known.add(shape)
        return values


def addresses(path: str, operation: dict[str, Any], values: Values) -> Iterator[str]:
    """One for each parameter and value."""
    names = {
        parameter["name"]: parameter
        for parameter in operation.get("parameters", [])
        if parameter["in"] in {"path", "query"}
    }
    needed = "&".join(
        f"{name}={quote(GOOD.get(name, '1'), safe='')}"
        for name, parameter in names.items()
        if parameter["in"] == "query" and parameter.get("required")
    )
    yield f"{fill(path)}?{needed}"
    for name, parameter in names.items():
        for value in values.of(f"{path} {name}", parameter["schema"] | {"in": parameter["in"]}, VALUES):
            if parameter["in"] == "path":
                yield f"{fill(path, name, value or '%20')}?{needed}"
            else:
                yield f"{fill(path)}?{needed}&{name}={value}"
                if value in VALUES[:3]:
                    yield f"{fill(path)}?{name}={value}&{name}={value}"


def bodies(document: dict[str, Any], operation: dict[str, Any], values: Values) -> Iterator[bytes]:
    """Bodies that are none, and the right one with each of its fields spoilt in turn."""
    yield from values.of(operation["operationId"], {"in": "body"}, BODIES)
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    name = content.get("$ref", "").rpartition("/")[2]
    fields = document.get("components", {}).get("schemas", {}).get(name, {}).get("properties", {})
    good = {field: FIELDS.get(field, "x") for field in fields}
    for field, schema in fields.items():
        for value in values.of(f"{name} {field}", schema | {"in": "body"}, IN_BODY):
            yield json.dumps(good | {field: value}).encode()


async def wishes(client: httpx.AsyncClient) -> list[tuple[str, str, bytes | None]]:
    """Method, address and body of every request to send."""
    document = (await client.get("/openapi.json")).raise_for_status().json()
    requests: list[tuple[str, str, bytes | None]] = []
    values = Values()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            requests += [(method.upper(), address, None) for address in addresses(path, operation, values)]
            if method == "post":
                requests += [("POST", fill(path), body) for body in bodies(document, operation, values)]
    return requests


@pytest.mark.parametrize("name", SERVICES)
async def test_no_value_makes_a_route_fail(targets: dict[str, Target], name: str) -> None:
    target, wrong = targets[name], list[str]()
    headers = {"Authorization": f"Bearer {target.key}"}
    async with httpx.AsyncClient(base_url=target.url, headers=headers, auth=target.person, timeout=20) as client:
        requests = await wishes(client)
        assert len(requests) > 200
        for number, (method, address, body) in enumerate(requests):
            kind = "text/xml" if number % 7 == 0 else "application/json"
            request = client.build_request(method, "/", content=body, headers={"Content-Type": kind})
            request.url = request.url.copy_with(raw_path=address.encode())
            answer = await client.send(request)
            assert "needs a person" not in answer.text
            if answer.status_code >= 500 or LEAKS.search(answer.text.replace(target.url, "")):
                wrong.append(f"{method} {address} {body!r:.80}: {answer.status_code} {answer.text[:200]}")
    assert wrong == []
