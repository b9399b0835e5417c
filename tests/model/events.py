"""The auditor's reading of received bytes: what an event says, or why it is parked. By hand, from the contract's words.

An event with two faults may be parked for either; the workload makes one at a time.
"""

import json
import re
from collections.abc import Callable
from copy import copy
from datetime import UTC, date, datetime, time, timedelta, timezone
from fractions import Fraction
from typing import Any

MOST_BYTES = 65_536
INDUSTRIES = {"ride_hailing", "food_delivery", "instant_delivery", "intracity_freight"}
TYPES = {
    "order.accepted.v1": "accepted",
    "order.completed.v1": "completed",
    "order.cancelled.v1": "cancelled",
    "day.declared.v1": "declared",
}
RFC3339 = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt ]([0-9]{2}):([0-9]{2}):([0-9]{2})(\.[0-9]+)?"
    r"(?:([Zz])|([+-])([0-9]{2}):?([0-9]{2}))?\Z"
)
DEEPEST = 500
HUGE = 10**400


class JsonObject(dict[str, Any]):
    """A JSON object: the last value of each field, and the earlier ones, which have to be right as well."""

    earlier: list[tuple[str, Any]]


def as_reported(pairs: list[tuple[str, Any]]) -> JsonObject:
    """For the parser; a text with half a pair of surrogates raises ValueError, also where it does not count."""
    json.dumps(pairs, ensure_ascii=False).encode()
    reported = JsonObject(pairs)
    reported.earlier = [pair for n, pair in enumerate(pairs) if any(pair[0] == later for later, _ in pairs[n + 1 :])]
    return reported


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
    match = RFC3339.match(value)
    if not match:
        raise Fault("impossible_time")
    *fields, fraction, zulu, sign, hours, minutes = match.groups()
    try:
        year, month, day_, hour, minute, second = map(int, fields)
        read = datetime(year, month, day_, hour, minute, second, tzinfo=UTC)
        read += timedelta(microseconds=int(Fraction(fraction or 0) * 1_000_000 + Fraction(1, 2)))
        if sign:
            time(int(hours), int(minutes))
            read = read.replace(tzinfo=timezone(timedelta(hours=int(hours), minutes=int(minutes)) * int(sign + "1")))
    except (ValueError, OverflowError):
        raise Fault("impossible_time") from None
    if not zulu and not sign:
        raise Fault("naive_time")
    return read


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


RANGE = {"first": whole(1, 2**53 - 1), "last": whole(1, 2**53 - 1)}
TOTAL: dict[str, Callable[[Any], Any]] = {
    "province": text(r"[0-9]{2}"),
    "industry": one_of(INDUSTRIES),
    "orders": whole(0, 10**12),
    "premium_yuan": text(r"-?(0|[1-9][0-9]{0,13})(\.[0-9]{1,4})?"),
}


def day(value: Any) -> date:
    """A field that is a date."""
    if not isinstance(value, str):
        raise Fault("wrong_type")
    try:
        if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
            raise ValueError(value)
        return date.fromisoformat(value)
    except ValueError:
        raise Fault("impossible_time") from None


def list_of(what: Callable[[Any], Any]) -> Callable[[Any], list[Any]]:
    """A field that is a list of at most 1,000 of these."""

    def check(value: Any) -> list[Any]:
        if not isinstance(value, list):
            raise Fault("wrong_type")
        if len(value) > 1_000:
            raise Fault("bad_value")
        return [what(item) for item in value]

    return check


def fields_of(
    needed: dict[str, Callable[[Any], Any]], allowed: dict[str, Callable[[Any], Any]]
) -> Callable[[Any], dict[str, Any]]:
    """An object with these fields and no others; one that is allowed and is not there, or null, is None."""

    def check(value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise Fault("wrong_type")
        if value.keys() - needed.keys() - allowed.keys():
            raise Fault("unknown_field")
        if needed.keys() - value.keys():
            raise Fault("missing_field")
        for name, before in getattr(value, "earlier", []):
            if before is not None or name in needed:
                (needed | allowed)[name](before)
        said = {name: checked(value[name]) for name, checked in needed.items()}
        for name, checked in allowed.items():
            said[name] = None if value.get(name) is None else checked(value[name])
        return said

    return check


SERIES = fields_of({"series": text(r"[A-Za-z0-9_-]{1,16}"), "used": list_of(fields_of(RANGE, {}))}, {})
UNUSED = list_of(fields_of(RANGE, {}))


def series(value: Any) -> dict[str, Any]:
    """What a declaration says of one series; `unused` may be left out and is empty then, but not null."""
    own = copy(value)
    unused = own.pop("unused", []) if isinstance(own, dict) else []
    return {**SERIES(own), "unused": UNUSED(unused)}


DECLARED: dict[str, Callable[[Any], Any]] = {
    "declaration_id": text(r"[A-Za-z0-9_.:-]{1,64}"),
    "day": day,
    "series": list_of(series),
    "totals": list_of(fields_of(TOTAL, {})),
}
ANY_TEXT = text(r"(?s).*")
ENVELOPE: dict[str, Callable[[Any], Any]] = {
    "specversion": one_of({"1.0"}, "unknown_version"),
    "id": text(r"(?s).{1,128}"),
    "source": text(r"urn:uscc:[0-9A-Z]{18}"),
}
DATA = {"declared": fields_of(DECLARED, {})} | {kind: fields_of(fields, OPTIONAL) for kind, fields in FIELDS.items()}
SIGNED: dict[str, Callable[[Any], Any]] = {"signature": ANY_TEXT, "revision": whole(0, 2**31 - 1)}


def read_event(value: bytes | None) -> tuple[str, str, dict[str, Any]]:
    """Kind, source and fields of the event; raises Fault. Fields that are absent and may be are None."""
    if not value:
        raise Fault("empty")
    if len(value) > (4 * MOST_BYTES if b'"day.declared.v1"' in value else MOST_BYTES):
        raise Fault("too_large")
    reported = _json(value)
    if not isinstance(reported, JsonObject):
        raise Fault("wrong_type")
    needed = {**ENVELOPE, "data": DATA[_kind(reported)]}
    may_be = SIGNED if _kind(reported) == "declared" else {}
    attributes = JsonObject({name: reported[name] for name in reported.keys() & (needed.keys() | may_be.keys())})
    attributes.earlier = [(name, said) for name, said in reported.earlier if name in needed or name in may_be]
    event = fields_of(needed, may_be)(attributes)
    said = event["data"]
    if "day" in said:
        _check_ranges(said)
        said |= {name: event[name] for name in SIGNED}
        said["said"] = json.dumps([str(said["day"]), _numbers(said["series"]), _sums(said["totals"])])
    return _kind(reported), event["source"], said


def _numbers(said: list[dict[str, Any]]) -> list[Any]:
    """The numbers of each series in the one way of writing them: in order, none twice, neighbours joined."""
    joined: dict[str, dict[str, list[list[int]]]] = {}
    for of_series in said:
        kinds = joined.setdefault(of_series["series"], {"used": [], "unused": []})
        for kind, ranges in kinds.items():
            ranges += [[part["first"], part["last"]] for part in of_series[kind] if part["first"] <= part["last"]]
    for kinds in joined.values():
        for kind, ranges in kinds.items():
            edges = sorted([(first, 0, 1) for first, _ in ranges] + [(last + 1, 0, -1) for _, last in ranges])
            depth, kinds[kind] = 0, []
            for at, step in [
                (at, sum(s for a, _, s in edges if a == at)) for at in sorted({edge[0] for edge in edges})
            ]:
                if depth == 0 and step > 0:
                    kinds[kind].append([at, at])
                depth += step
                if depth == 0 and step < 0:
                    kinds[kind][-1][1] = at - 1
    return sorted(joined.items())


def _sums(said: list[dict[str, Any]]) -> list[Any]:
    """The sums of each place and industry; money as a fraction, so that 0.8 is 0.80."""
    sums: dict[tuple[str, str], list[Any]] = {}
    for total in said:
        held = sums.setdefault((total["province"], total["industry"]), [0, Fraction()])
        held[0] += total["orders"]
        held[1] += Fraction(total["premium_yuan"])
    return sorted([place, orders, str(yuan)] for place, (orders, yuan) in sums.items() if orders or yuan)


def _check_ranges(said: dict[str, Any]) -> None:
    if sum(len(series["used"]) + len(series["unused"]) for series in said["series"]) > 1_000:
        raise Fault("bad_value")


def _kind(reported: JsonObject) -> str:
    if "type" not in reported:
        raise Fault("missing_field")
    types = {
        json.dumps(kind) for kind in [reported["type"], *(said for name, said in reported.earlier if name == "type")]
    }
    if len(types) > 1 or not isinstance(reported["type"], str) or reported["type"] not in TYPES:
        raise Fault("unknown_type")
    return TYPES[reported["type"]]


def _json(value: bytes) -> Any:
    def no_constant(name: str) -> Any:
        raise ValueError(name)

    def number(digits: str) -> int:
        return int(digits) if len(digits) < 400 else HUGE if digits[0] != "-" else -HUGE

    try:
        reported = value.decode()
        if len(value) > 2 * DEEPEST:
            _check_depth(reported)
        read = json.loads(reported, parse_constant=no_constant, parse_int=number, object_pairs_hook=as_reported)
        json.dumps(read, ensure_ascii=False).encode()  # half a pair of surrogates is no character
    except UnicodeDecodeError:
        raise Fault("not_utf8") from None
    except ValueError:
        raise Fault("not_json") from None
    return read


def _check_depth(reported: str) -> None:
    """Brackets outside of texts."""
    depth, in_text, is_escaped = 0, False, False
    for sign in reported:
        if in_text:
            in_text = is_escaped or sign != '"'
            is_escaped = sign == "\\" and not is_escaped
        elif sign == '"':
            in_text = True
        elif sign in "[{":
            depth += 1
        elif sign in "]}":
            depth -= 1
        if depth > DEEPEST:
            raise Fault("too_deep")
