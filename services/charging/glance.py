"""A quick look at many events at once: those that are plainly right are decoded here, the others one by one.

Most of what decoding costs are regular expressions, one call for each text. Here the decoder checks everything but
those, and the texts of many events are checked together. Whatever is not plainly right is left to
`services.charging.decode`, which alone says what is wrong with an event; so the two never need to agree on that.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from struct import Struct as Packing
from typing import Any, Final, Literal, Union, get_args

import msgspec
from msgspec import NODEFAULT, Struct
from msgspec.structs import fields

from services.charging.decode import may_be_deep
from services.charging.forms import Token
from shared.contracts.events import END, OrderAccepted, OrderCancelled, OrderCompleted, OrderId
from shared.domain.leaf import RowKind

CHUNK_EVENTS: Final = 64
"""Events looked at together: one that is not plain costs its chunk a second look, in halves."""
CHECKED_TOGETHER: Final = frozenset({"order_id", "worker_id", "series"})
"""Their patterns are checked here, or by the reader, which knows the series that were decoded with every check."""
_IDS: Final = b'er_id"'
"""How the names of order and worker end, and no other."""
_SERIES: Final = b'"series"'
_TOKEN: Final = Packing(">q24s")
_TOKEN_DIGITS: Final = 64


class NotPlainError(Exception):
    """Something among these events has to be looked at one by one."""


class Glance:
    """Looks at events that name one of these places and come from one of these sources.

    `kinds` tells the kind of an event it gives by the event's type.
    """

    def __init__(self, regions: Iterable[str], sources: Iterable[str], max_bytes: int) -> None:
        known = {
            "source": _one_of(sources),
            "acceptance_region": _one_of(regions),
            **dict.fromkeys(CHECKED_TOGETHER, str),
        }
        self.kinds = {_without_patterns(struct, known): int(kind) for struct, kind in _KINDS}
        self._decode: Callable[[bytes], Any] = msgspec.json.Decoder(Union[tuple(self.kinds)]).decode  # noqa: UP007 - made here
        self._max_bytes = max_bytes

    def look(self, values: Sequence[bytes | None]) -> list[tuple[Any, Token] | None]:
        """Event and worker's token of each received value, None where it has to be looked at alone; never raises.

        An event has the fields of its type; its series may be anything.
        """
        try:
            return self._look(values)
        except (NotPlainError, msgspec.DecodeError, ValueError, TypeError, OverflowError, RecursionError):
            if len(values) == 1:
                return [None]
            middle = len(values) // 2
            return [*self.look(values[:middle]), *self.look(values[middle:])]

    def _look(self, values: Sequence[Any]) -> list[tuple[Any, Token] | None]:
        # TypeError: a message without bytes
        if max(map(len, values)) > self._max_bytes or any(map(may_be_deep, values)):
            raise NotPlainError
        joined = b"".join(values)
        if not joined.isascii():
            for value in values:
                value.decode("utf-8")  # the decoder skips over text that it does not keep
        events = list(map(self._decode, values))
        self._check_none_doubled(joined, events)
        _check_order_ids([event.data.order_id for event in events])
        tokens = _read_tokens([event.data.worker_id for event in events])
        return list(zip(events, tokens, strict=True))

    def _check_none_doubled(self, joined: bytes, events: Sequence[Any]) -> None:
        """Of a field that stands twice only the last value is seen here; an escape could hide its name.

        Each event has its fields at least once, so it is enough to count. Every scan of the bytes is a cost.
        """
        with_series = sum(self.kinds[type(event)] == RowKind.ACCEPTANCE for event in events)
        if joined.count(_IDS) != 2 * len(events) or joined.count(_SERIES) != with_series:
            raise NotPlainError
        if b"\\" in joined and b"\\u" in joined:
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


def _one_of(texts: Iterable[str]) -> Any:
    return Literal[tuple(sorted(texts)) or ("",)]


def _without_patterns(struct: type[Struct], known: Mapping[str, Any]) -> type[Struct]:
    """The same struct, with these types in place of the fields' patterns."""
    config = struct.__struct_config__
    loose = []
    for field in fields(struct):
        kind = known.get(field.name, field.type)
        if isinstance(kind, type) and issubclass(kind, Struct):
            kind = _without_patterns(kind, known)
        loose.append((field.name, kind) if field.default is NODEFAULT else (field.name, kind, field.default))
    return msgspec.defstruct(
        f"Unchecked{struct.__name__}", loose, frozen=True, gc=False, kw_only=True, tag=config.tag,
        tag_field=config.tag_field, forbid_unknown_fields=config.forbid_unknown_fields,
    )  # fmt: skip


_KINDS: Final = (
    (OrderAccepted, RowKind.ACCEPTANCE),
    (OrderCompleted, RowKind.COMPLETION),
    (OrderCancelled, RowKind.CANCELLATION),
)
_ONE_ID: Final = get_args(OrderId)[1].pattern.removeprefix("^").removesuffix(END)
_ORDER_IDS: Final = re.compile(rf"(?:{_ONE_ID}\n)*\Z")
