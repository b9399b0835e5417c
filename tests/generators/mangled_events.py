"""Almost-valid events: one of the published samples, spoiled once or a few times. A seed says it all.

What a producer's release gets wrong, and what somebody tries on purpose: fields dropped, doubled, given another type or
a value out of bounds, nesting, huge numbers and texts, halves of characters, bytes that are no text.
"""

import json
from collections.abc import Callable
from functools import cache
from random import Random
from typing import Any, Final

from tools import contracts

Event = dict[str, Any]
NUMBERS: Final = (0, -1, 1, 2**15, 2**31, 2**53, 2**63, 2**64, 10**40, 1.0, 1.5, -0.0, 1e300, 5e-324)
TEXTS: Final = (
    "", " ", "\0", "0", "null", "\n", "a" * 65, "a" * 4_000, "ä", "\U0001f600", "\u202e", "订单", "\ud800", "\udc00",
    "2026-10-01", "2026-10-01T12:00:00", "2026-02-30T12:00:00Z", "2026-10-01T23:59:60+08:00", "2026-10-01T24:00:00Z",
    "2026-10-01T12:00:00.9999999+08:00", "2026-10-01T12:00:00.0000005Z", "2026-10-01t12:00:00z", "2026-10-01 12:00:00Z",
    "2026-10-01T12:00:00+0800", "2026-10-01T12:00:00+23:59", "2026-10-01T12:00:00+24:00", "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59.999999-23:59", "order.accepted.v1", "order.cancelled.v1", "day.declared.v1",
    "order.accepted.v2", "urn:uscc:91000000FAKE00002J", "91000000FAKE00005U", "food_delivery", "990101", "11", "-1.00",
    "1e5", "00", "0.00001",
)  # fmt: skip
CONTAINERS: Final[tuple[Any, ...]] = ([], {}, [[]], [None], {"": {}}, [{}] * 3, {"first": 1, "last": 2}, [1, "2", None])
LEFT_OUT: Final = object()


@cache
def samples() -> tuple[bytes, ...]:
    """The published samples, as they are in the repository."""
    return tuple(file.read_bytes() for file in sorted((contracts.DIRECTORY / "samples").glob("*.json")))


def spoiled(rng: Random) -> bytes:
    """One event."""
    return mangled(rng.choice(samples()), rng)


def mangled(value: bytes, rng: Random) -> bytes:
    """A JSON message spoiled once or a few times."""
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        value = rng.choice(_WAYS)(value, rng)
    return value


def _in_tree(value: bytes, rng: Random) -> bytes:
    """Something else at one place of the tree."""
    try:
        event = json.loads(value)
    except (ValueError, RecursionError):
        return _in_bytes(value, rng)
    places = list(_places(event))
    if not places:
        return value
    parent, key = rng.choice(places)
    new = _something(rng, parent[key])
    if new is LEFT_OUT:
        del parent[key]
    else:
        parent[key] = new
    return json.dumps(event, ensure_ascii=rng.random() < 0.5).encode("utf-8", "surrogatepass")


def _places(tree: Any) -> Any:
    for key in tree if isinstance(tree, dict) else range(len(tree)) if isinstance(tree, list) else ():
        yield tree, key
        yield from _places(tree[key])


def _something(rng: Random, old: Any) -> Any:
    kinds: tuple[Callable[[], Any], ...] = (
        lambda: LEFT_OUT,
        lambda: None,
        lambda: rng.choice((True, False)),
        lambda: rng.choice(NUMBERS),
        lambda: rng.choice(TEXTS),
        lambda: rng.choice(CONTAINERS),
        lambda: old + rng.choice(TEXTS) if isinstance(old, str) else -old if isinstance(old, int) else [old],
        lambda: _nested(rng.choice((3, 200)), old) if rng.random() < 0.2 else str(old),
    )
    return rng.choice(kinds)()


def _nested(depth: int, inner: Any) -> Any:
    for _ in range(depth):
        inner = [inner]
    return inner


def _added(value: bytes, rng: Random) -> bytes:
    """One more field, often one that is there already, at the beginning or the end of some object."""
    name = rng.choice(("type", "source", "id", "data", "sequence", "accepted_at", "worker_id", "note", "\u0000", "tip"))
    depth = rng.choice((2, 498, 499, 500, 501, 1_000, 9_000))
    what = rng.choice((
        json.dumps(rng.choice(TEXTS)), json.dumps(rng.choice(NUMBERS)), "1e999", "-", "01", "9" * 5_000, "NaN", "{}",
        "[" * depth + "]" * depth, '{"a":' * depth + "1" + "}" * depth, "[" * depth, '"' + "x" * 30_000 + '"',
        r'"\u12"',
    ))  # fmt: skip
    field = f"{json.dumps(name)}: {what}".encode()
    at = [n for n, sign in enumerate(value) if sign in b"{}"]
    if not at:
        return value + field
    n = rng.choice(at)
    inside = field + b", " if value[n : n + 1] == b"{" else b", " + field
    n += value[n : n + 1] == b"{"
    return value[:n] + inside + value[n:]


def _in_bytes(value: bytes, rng: Random) -> bytes:
    """Bytes changed, cut off, doubled, put in front or behind."""
    at, piece = rng.randrange(len(value) + 1), rng.randbytes(rng.randrange(1, 4))
    ways: tuple[Callable[[], bytes], ...] = (
        lambda: value[:at] + piece + value[at + len(piece) :],
        lambda: value[:at],
        lambda: value[:at] + value[at + rng.randrange(1, 9) :],
        lambda: value + value[:at],
        lambda: rng.choice((b"\xef\xbb\xbf", b"\0", b" ", b"\x1e", b"[", b"/**/", b"\xff\xfe")) + value,
        lambda: value + rng.choice((b"\0", b" \n", b"]", b"}", b"null", b"\x80", b"\xed\xa0\x80")),
        lambda: value.decode("utf-8", "replace").encode(rng.choice(("utf-16", "utf-32", "gb18030", "utf-8-sig"))),
        lambda: value[:at] + rng.choice((b"\xc3", b"\xed\xb0\x80", b"\xf4\x90\x80\x80", b"\xc0\x80")) + value[at:],
        lambda: value * rng.randrange(2, 4),
        lambda: value[:at] + b" " * 70_000 + value[at:],
    )
    return rng.choice(ways)()


_WAYS: Final = (_in_tree, _in_tree, _in_tree, _added, _in_bytes)
