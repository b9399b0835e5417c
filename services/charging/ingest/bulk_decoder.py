"""A quick look at many events at once: those that are plainly right are decoded here, the others one by one.

Most of what decoding costs are regular expressions, one call for each text. Here the decoder checks everything but
those, and the texts of many events are checked together. Whatever is not plainly right is left to
`services.charging.ingest.strict_decoder`, which alone says what is wrong with an event; so the two never need to
agree on that.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple, Union, get_args

import msgspec
from msgspec import NODEFAULT, Struct
from msgspec.structs import fields
from stringzilla import count

from services.charging.ingest.strict_decoder import DEEP_BYTES, may_be_deep
from shared.contracts.bounds import END
from shared.contracts.events import OrderAccepted, OrderCancelled, OrderCompleted, OrderId
from shared.domain.evidence.leaf import RowKind

CHUNK_EVENTS: Final = 64
"""Events looked at together: one that is not plain costs its chunk a second look, in halves."""
CHECKED_TOGETHER: Final = frozenset({"order_id", "worker_id", "series"})
"""Their patterns are checked here, or by the reader, which knows the series that were decoded with every check."""
_IDS: Final = b'er_id"'
"""How the names of order and worker end, and no other."""
_SERIES: Final = b'"series"'
_TOKEN_DIGITS: Final = 64


class NotPlainError(Exception):
    """Something among these events has to be looked at one by one."""


class Seen(NamedTuple):
    """What is plainly right of the values looked at: their places, the events, and the workers' tokens, 32 bytes each.

    An event has the fields of its type; its series may be anything.
    """

    places: list[int]
    events: list[Any]
    tokens: bytes


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
        self._acceptance = next(struct for struct, kind in self.kinds.items() if kind == RowKind.ACCEPTANCE)
        self._max_bytes = max_bytes

    def look(self, values: Sequence[bytes | None]) -> Seen:
        """The others have to be looked at alone; never raises."""
        places: list[int] = []
        events: list[Any] = []
        tokens: list[bytes] = []
        for first in range(0, len(values), CHUNK_EVENTS):
            for start, some, theirs in self._look_closer(first, values[first : first + CHUNK_EVENTS]):
                places.extend(range(start, start + len(some)))
                events += some
                tokens.append(theirs)
        return Seen(places, events, b"".join(tokens))

    def _look_closer(self, first: int, values: Sequence[bytes | None]) -> Iterator[tuple[int, list[Any], bytes]]:
        """Stretches of events that are plainly right, each with the place of its first and its tokens."""
        try:
            yield first, *self._look(values)
        except (NotPlainError, msgspec.DecodeError, ValueError, TypeError, OverflowError, RecursionError):
            middle = len(values) // 2
            if middle:
                yield from self._look_closer(first, values[:middle])
                yield from self._look_closer(first + middle, values[middle:])

    def _look(self, values: Sequence[Any]) -> tuple[list[Any], bytes]:
        longest = max(map(len, values))  # TypeError: a message without bytes
        if longest > self._max_bytes or (longest > DEEP_BYTES and any(map(may_be_deep, values))):
            raise NotPlainError
        joined = b"".join(values)
        if not joined.isascii():
            for value in values:
                value.decode("utf-8")  # the decoder skips over text that it does not keep
        events = list(map(self._decode, values))
        self._check_none_doubled(joined, events)
        datas = [event.data for event in events]
        _check_order_ids([data.order_id for data in datas])
        return events, _read_tokens([data.worker_id for data in datas])

    def _check_none_doubled(self, joined: bytes, events: Sequence[Any]) -> None:
        """Of a field that stands twice only the last value is seen here; an escape could hide its name.

        Each event has its fields at least once, so it is enough to count. Every scan of the bytes is a cost.
        """
        if count(joined, _IDS) != 2 * len(events):
            raise NotPlainError
        if count(joined, _SERIES) != list(map(type, events)).count(self._acceptance):
            raise NotPlainError
        if b"\\" in joined and b"\\u" in joined:
            raise NotPlainError


def _check_order_ids(names: Sequence[str]) -> None:
    lines = "\n".join(names) + "\n"
    if lines.count("\n") != len(names) or not _ORDER_IDS.match(lines):
        raise NotPlainError


def _read_tokens(tokens: Sequence[str]) -> bytes:
    digits = "".join(tokens)
    data = bytes.fromhex(digits)  # takes capitals and spaces, too
    if digits != digits.lower() or 2 * len(data) != len(digits) or set(map(len, tokens)) != {_TOKEN_DIGITS}:
        raise NotPlainError
    return data


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
