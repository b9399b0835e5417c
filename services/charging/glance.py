"""A quick look at many events at once: those that are plainly right are decoded here, the others one by one.

Most of what decoding costs are regular expressions, one call for each text. Here the decoder checks everything but
those, and the texts of many events are checked together. Whatever is not plainly right is left to
`services.charging.decode`, which alone says what is wrong with an event; so the two never need to agree on that.
"""

import re
from collections.abc import Callable, Sequence
from struct import Struct as Packing
from typing import Any, Final, Union, get_args

import msgspec
from msgspec import NODEFAULT, Struct
from msgspec.structs import fields

from services.charging.decode import may_be_deep
from services.charging.forms import Token
from shared.contracts.events import END, OrderAccepted, OrderCancelled, OrderCompleted, OrderId
from shared.domain.leaf import RowKind

CHUNK_EVENTS: Final = 128
"""Events looked at together: one that is not plain costs its chunk a second look, in halves."""
LEFT_TO_READER: Final = frozenset({"source", "acceptance_region", "series"})
"""Compared with what is known, and with nothing else: no pattern is needed for them."""
CHECKED_TOGETHER: Final = frozenset({"order_id", "worker_id"})
_SERIES: Final = "series"
"""The one of these that only an acceptance has."""
_NAMES: Final = {name: f'"{name}"'.encode() for name in sorted(LEFT_TO_READER | CHECKED_TOGETHER)}
_TOKEN: Final = Packing(">q24s")
_TOKEN_DIGITS: Final = 64


class NotPlainError(Exception):
    """Something among these events has to be looked at one by one."""


def glance(values: Sequence[bytes | None], max_bytes: int) -> list[tuple[Any, Token] | None]:
    """Event and worker's token of each received value, None where it has to be looked at alone; never raises.

    An event has the fields of its type, three of them unchecked (`LEFT_TO_READER`); `PLAIN_KINDS` tells its kind.
    """
    try:
        return _glance(values, max_bytes)
    except (NotPlainError, msgspec.DecodeError, ValueError, TypeError, OverflowError, RecursionError):
        if len(values) == 1:
            return [None]
        middle = len(values) // 2
        return [*glance(values[:middle], max_bytes), *glance(values[middle:], max_bytes)]


def _glance(values: Sequence[Any], max_bytes: int) -> list[tuple[Any, Token] | None]:
    # TypeError: a message without bytes
    if max(map(len, values)) > max_bytes or any(map(may_be_deep, values)):
        raise NotPlainError
    joined = b"".join(values)
    if not joined.isascii():
        for value in values:
            value.decode("utf-8")  # the decoder skips over text that it does not keep
    events = [_decode(value) for value in values]
    _check_none_doubled(joined, events)
    _check_order_ids([event.data.order_id for event in events])
    tokens = _read_tokens([event.data.worker_id for event in events])
    return list(zip(events, tokens, strict=True))


def _check_none_doubled(joined: bytes, events: Sequence[Any]) -> None:
    """Of a field that stands twice only the last value is seen here; an escape could hide its name."""
    with_series = sum(PLAIN_KINDS[type(event)] == RowKind.ACCEPTANCE for event in events)
    for name, written in _NAMES.items():
        if joined.count(written) != (with_series if name == _SERIES else len(events)):
            raise NotPlainError
    if b"\\u" in joined:
        raise NotPlainError


def token_of(worker_id: str) -> Token:
    """A checked token as it is laid out."""
    key, rest = _TOKEN.unpack(bytes.fromhex(worker_id))
    return key, rest


def _check_order_ids(names: Sequence[str]) -> None:
    lines = "\n".join(names) + "\n"
    if lines.count("\n") != len(names) or not _ORDER_IDS.match(lines):
        raise NotPlainError


def _read_tokens(tokens: Sequence[str]) -> list[Any]:
    digits = "".join(tokens)
    data = bytes.fromhex(digits)  # takes capitals and spaces, too
    if digits != digits.lower() or 2 * len(data) != len(digits) or set(map(len, tokens)) != {_TOKEN_DIGITS}:
        raise NotPlainError
    return list(_TOKEN.iter_unpack(data))


def _without_patterns(struct: type[Struct]) -> type[Struct]:
    """The same struct, without the patterns of the fields that are checked here or by the reader."""
    config = struct.__struct_config__
    loose = []
    for field in fields(struct):
        kind = field.type
        if field.name in LEFT_TO_READER | CHECKED_TOGETHER:
            kind = str
        elif isinstance(kind, type) and issubclass(kind, Struct):
            kind = _without_patterns(kind)
        loose.append((field.name, kind) if field.default is NODEFAULT else (field.name, kind, field.default))
    return msgspec.defstruct(
        f"Unchecked{struct.__name__}", loose, frozen=True, gc=False, kw_only=True, tag=config.tag,
        tag_field=config.tag_field, forbid_unknown_fields=config.forbid_unknown_fields,
    )  # fmt: skip


PLAIN_KINDS: Final = {
    _without_patterns(OrderAccepted): int(RowKind.ACCEPTANCE),
    _without_patterns(OrderCompleted): int(RowKind.COMPLETION),
    _without_patterns(OrderCancelled): int(RowKind.CANCELLATION),
}
_decode: Final[Callable[[bytes], Any]] = msgspec.json.Decoder(Union[tuple(PLAIN_KINDS)]).decode  # noqa: UP007 - made here
_ONE_ID: Final = get_args(OrderId)[1].pattern.removeprefix("^").removesuffix(END)
_ORDER_IDS: Final = re.compile(rf"(?:{_ONE_ID}\n)*\Z")
