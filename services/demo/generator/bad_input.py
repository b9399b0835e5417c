"""Generate each kind of bad input of a careless or hostile producer; all of it must be parked, with a reason."""

from collections.abc import Callable, Mapping
from typing import Final

from services.demo.generator.plan import agency_of
from services.demo.generator.wire import DAY, SECOND, Acceptance, accepted, completed

NESTING: Final = 2_000
OVERSIZE: Final = 80_000
"""Bytes; above the largest event taken by default (64 KiB)."""

OTHER_ENTERPRISE: Final = agency_of(999)


def _changed(old: str, new: str) -> Callable[[Acceptance], bytes]:
    """Make an acceptance with one piece of its text replaced."""

    def make(order: Acceptance) -> bytes:
        value = accepted(order).decode()
        assert old in value, old
        return value.replace(old, new, 1).encode()

    return make


def _with_sequence(sequence: int) -> Callable[[Acceptance], bytes]:
    def make(order: Acceptance) -> bytes:
        return accepted(order).replace(f'"sequence":{order.sequence}'.encode(), f'"sequence":{sequence}'.encode())

    return make


def _accepted_at(shift: int) -> Callable[[Acceptance], bytes]:
    """Make an acceptance whose record time is `shift` microseconds from its own."""

    def make(order: Acceptance) -> bytes:
        order.accepted += shift
        return accepted(order)

    return make


BAD_INPUT: Final[Mapping[str, Callable[[Acceptance], bytes]]] = {
    "not_json": lambda _: b"order 17 was accepted at noon",
    "not_utf8": lambda order: accepted(order).replace(b"urn:uscc", b"urn\xff\xfeuscc"),
    "empty": lambda _: b"",
    "too_large": lambda order: accepted(order).replace(b'"data":', b'"note":"' + b"x" * OVERSIZE + b'","data":'),
    "deep": lambda _: b"[" * NESTING + b"]" * NESTING,
    "unknown_type": _changed("order.accepted.v1", "order.dreamt.v1"),
    "unknown_version": _changed("order.accepted.v1", "order.accepted.v9"),
    "missing_field": _changed('"token_key":1,', ""),
    "extra_field": _changed('"token_key":1,', '"token_key":1,"tip":"2.00",'),
    "wrong_type": _changed('"token_key":1,', '"token_key":"one",'),
    "naive_time": _changed("+08:00", ""),
    "impossible_time": _changed('"accepted_at":"20', '"accepted_at":"20-13-45 '),
    "in_the_future": _accepted_at(2 * 3_600 * SECOND),
    "too_old": _accepted_at(-45 * DAY),
    "completed_just_before_acceptance": lambda order: completed(order, order.accepted - 1),
    "completed_before_acceptance": lambda order: completed(order, order.accepted - 60 * SECOND),
    "unknown_region": lambda order: accepted(order).replace(order.region.encode(), b"990101"),
    "unknown_industry": lambda order: accepted(order).replace(order.industry.encode(), b"parcel_post"),
    "closed_industry": lambda order: accepted(order).replace(order.industry.encode(), b"food_delivery"),
    "other_enterprise": lambda order: accepted(order).replace(order.uscc.encode(), OTHER_ENTERPRISE.encode()),
    "negative_sequence": _with_sequence(-5),
    "absurd_sequence": _with_sequence(2**60),
}
"""Name to the bytes for an order that was accepted just before the record's time."""
