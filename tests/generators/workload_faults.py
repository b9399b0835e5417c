"""One fault of each kind for a seeded history: what makes an acceptance one that is parked, or right by a hair."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

STRANGER = "91000000FAKE00999X"
AGENCY = "91000000FAKE900002"
UNREGISTERED = "91000000FAKE00004Q"
Value = str | dict[str, Any] | None
"""A record's value in a history, see `tests.generators.workload.bytes_of`."""
Fault = Callable[[dict[str, Any], dict[str, Any]], dict[str, Any]]
"""From a record and its decoded value to what is other in the record."""


def _bytes(value: Value) -> Fault:
    return lambda _, __: {"value": value}


def _envelope(**other: Any) -> Fault:
    return lambda _, reported: {"value": json.dumps({**reported, **other})}


def _without(name: str) -> Fault:
    return lambda _, reported: {"value": json.dumps({**reported, "data": _less(reported["data"], name)})}


def _less(data: dict[str, Any], name: str) -> dict[str, Any]:
    return {field: value for field, value in data.items() if field != name}


def _data(**other: Any) -> Fault:
    return lambda _, reported: {"value": json.dumps({**reported, "data": {**reported["data"], **other}})}


def _later(seconds: int, ms: int = 0) -> Fault:
    """The record so much after the acceptance, in milliseconds rounded up: one more is over the limit."""

    def make(_: dict[str, Any], reported: dict[str, Any]) -> dict[str, Any]:
        since = datetime.fromisoformat(reported["data"]["accepted_at"]) - datetime(1970, 1, 1, tzinfo=UTC)
        return {"ms": -(-since // timedelta(milliseconds=1)) + seconds * 1000 + ms}

    return make


def _ended(kind: str, seconds: int, **other: Any) -> Fault:
    """An end of the order `seconds` after its acceptance, sent at once."""

    def make(record: dict[str, Any], reported: dict[str, Any]) -> dict[str, Any]:
        data = _less(_less(reported["data"], "series"), "sequence")
        end = datetime.fromisoformat(data["accepted_at"]) + timedelta(seconds=seconds)
        data |= {f"{kind}_at": end.isoformat(), **other}
        at_once = _later(0)(record, reported)
        return {**at_once, "value": json.dumps({**reported, "type": f"order.{kind}.v1", "data": data})}

    return make


CANCELLED: dict[str, Any] = {"reason": "other", "departed": False}
FAULTS: tuple[Fault, ...] = (
    _bytes(None),
    _bytes(""),
    _bytes({"before": "", "many": "x", "times": 65_537}),
    _bytes({"before": '{"deep": ', "many": "[", "times": 60_000}),
    _bytes({"hex": "7b22ff22"}),
    _bytes('{"specversion": '),
    _bytes("{}"),
    _bytes("[]"),
    _envelope(type="order.lost.v1"),
    _envelope(specversion="2.0"),
    _envelope(id=""),
    _envelope(source="urn:other"),
    _envelope(source=f"urn:uscc:{STRANGER}"),
    _envelope(data=None),
    _without("worker_id"),
    _without("series"),
    _data(color="red"),
    _data(order_id="a b"),
    _data(order_id="o1\n"),
    _data(order_id=7),
    _data(worker_id="A" * 64),
    _data(token_key=0),
    _data(token_key=1.5),
    _data(sequence=0),
    _data(sequence="1"),
    _data(industry="taxi"),
    _data(industry="food_delivery"),
    _data(acceptance_region="999999"),
    _data(acceptance_region="4401"),
    _data(accepted_at="2026-10-31T12:00:00"),
    _data(accepted_at="2026-02-30T12:00:00Z"),
    _data(accepted_at=1),
    _later(-301),
    _later(-300, ms=-1),
    _later(-300),
    _later(30 * 86_400),
    _later(30 * 86_400, ms=1),
    _ended("completed", 0),
    _ended("completed", 1),
    _ended("completed", 300),
    _ended("completed", 302),
    _ended("cancelled", -1, **CANCELLED),
    _ended("cancelled", 0, **CANCELLED),
    _ended("cancelled", 302, **CANCELLED),
    lambda _, reported: {
        "topic": f"orders.v1.{UNREGISTERED}",
        "value": json.dumps({**reported, "source": f"urn:uscc:{UNREGISTERED}"}),
    },
)
"""One for each way of being wrong, and some that are right by a hair."""
