"""The auditor's reading of received bytes: what an event says, or why it is parked. By hand, from the contract's words.

An event with two faults may be parked for either; the workload makes one at a time.
"""

import json
import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

MOST_BYTES = 65_536
INDUSTRIES = {"ride_hailing", "food_delivery", "instant_delivery", "intracity_freight"}
TYPES = {
    "order.accepted.v1": "accepted",
    "order.completed.v1": "completed",
    "order.cancelled.v1": "cancelled",
    "day.declared.v1": "declared",
}
RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)?\Z")


class Fault(Exception):  # noqa: N818 - an answer, not an error
    """The event is parked for this reason."""


def text(pattern: str, reason: str = "bad_value") -> Callable[[Any], str]:
    """A field that is a string of this form."""

    def check(value: Any) -> str:
        if not isinstance(value, str):
            raise Fault("wrong_type")
        if not re.fullmatch(pattern, value):
            raise Fault(reason)
        return value

    return check


def whole(low: int, high: int, reason: str = "bad_value") -> Callable[[Any], int]:
    """A field that is a whole number between the two."""

    def check(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise Fault("wrong_type")
        if not low <= value <= high:
            raise Fault(reason)
        return value

    return check


def one_of(values: set[str], reason: str = "bad_value") -> Callable[[Any], str]:
    """A field that is one of these words."""

    def check(value: Any) -> str:
        if not isinstance(value, str):
            raise Fault("wrong_type")
        if value not in values:
            raise Fault(reason)
        return value

    return check


def instant(value: Any) -> datetime:
    """A field that is an instant with an offset."""
    if not isinstance(value, str):
        raise Fault("wrong_type")
    found = RFC3339.match(value)
    try:
        read = datetime.fromisoformat(value.upper())
    except ValueError:
        read = None
    if not found or read is None:
        raise Fault("impossible_time")
    if not found.group(2):
        raise Fault("naive_time")
    return read.astimezone(UTC)


def flag(value: Any) -> bool:
    """A field that is true or false."""
    if not isinstance(value, bool):
        raise Fault("wrong_type")
    return value


ORDER: dict[str, Callable[[Any], Any]] = {
    "order_id": text(r"[A-Za-z0-9_.:-]{1,64}"),
    "worker_id": text(r"[0-9a-f]{64}"),
    "token_key": whole(1, 32_767),
    "industry": one_of(INDUSTRIES, "unknown_industry"),
    "acceptance_region": text(r"[0-9]{6}", "unknown_region"),
    "accepted_at": instant,
}
OPTIONAL: dict[str, Callable[[Any], Any]] = {
    "agency_uscc": text(r"[0-9A-Z]{18}"),
    "employer_insurance_no": text(r"[A-Za-z0-9-]{1,32}"),
}
FIELDS: dict[str, dict[str, Callable[[Any], Any]]] = {
    "accepted": {
        **ORDER,
        "series": text(r"[A-Za-z0-9_-]{1,16}"),
        "sequence": whole(1, 2**53 - 1, "bad_sequence"),
    },
    "completed": {**ORDER, "completed_at": instant},
    "cancelled": {
        **ORDER,
        "cancelled_at": instant,
        "reason": one_of({"customer", "worker", "enterprise", "other"}),
        "departed": flag,
    },
}


def read_event(value: bytes | None) -> tuple[str, str, dict[str, Any]]:
    """Kind, source and fields of the event; raises Fault. Fields that are absent and may be are None."""
    if not value:
        raise Fault("empty")
    if len(value) > MOST_BYTES:
        raise Fault("too_large")
    told = _object(_json(value))
    for name in ("specversion", "id", "source", "type", "data"):
        if name not in told:
            raise Fault("missing_field")
    kind = one_of(set(TYPES), "unknown_type")(told["type"])
    one_of({"1.0"}, "unknown_version")(told["specversion"])
    text(r"(?s).{1,128}")(told["id"])
    source = text(r"urn:uscc:[0-9A-Z]{18}")(told["source"])
    data = _object(told["data"])
    return TYPES[kind], source, _declared(data) if TYPES[kind] == "declared" else _order(data, FIELDS[TYPES[kind]])


def _json(value: bytes) -> Any:
    def no_constant(name: str) -> Any:
        raise ValueError(name)

    try:
        return json.loads(value.decode(), parse_constant=no_constant)
    except UnicodeDecodeError:
        raise Fault("not_utf8") from None
    except ValueError:
        raise Fault("not_json") from None
    except RecursionError:
        raise Fault("too_deep") from None


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Fault("wrong_type")
    return value


def _order(data: dict[str, Any], fields: dict[str, Callable[[Any], Any]]) -> dict[str, Any]:
    if data.keys() - fields.keys() - OPTIONAL.keys():
        raise Fault("unknown_field")
    if fields.keys() - data.keys():
        raise Fault("missing_field")
    said = {name: check(data[name]) for name, check in fields.items()}
    for name, check in OPTIONAL.items():
        said[name] = None if data.get(name) is None else check(data[name])
    return said


def _declared(data: dict[str, Any]) -> dict[str, Any]:
    """A declaration: its id, its day, and all it says in one comparable text."""
    if {"declaration_id", "day", "series", "totals"} - data.keys():
        raise Fault("missing_field")
    day = text(r"\d{4}-\d\d-\d\d")(data["day"])
    series = [{"unused": [], **_object(each)} for each in data["series"]]
    said = json.dumps([day, series, data["totals"]], sort_keys=True)
    return {
        "declaration_id": text(r"[A-Za-z0-9_.:-]{1,64}")(data["declaration_id"]),
        "day": date.fromisoformat(day),
        "said": said,
    }
