"""Bulk decoder, the fast path: decodes well-formed events in chunks; any other falls back to the strict decoder.

Most of the cost of decoding are regular expressions, one call for each text. Here the decoder checks everything except
those, and the texts of a chunk are checked together. An event that fails is left to `shared.intake.strict_decoder`,
which alone says what is wrong with it; so the two never have to agree on a reason.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple, Union, get_args

import msgspec
from msgspec import NODEFAULT, Struct
from msgspec.structs import fields
from stringzilla import count

from shared.contracts.bounds import END
from shared.contracts.events import OrderAccepted, OrderCancelled, OrderCompleted, OrderId
from shared.domain.evidence.leaf import RowKind
from shared.intake.strict_decoder import DEEP_BYTES, may_be_deep

OrderEvent = OrderAccepted | OrderCompleted | OrderCancelled
CHUNK_EVENTS: Final = 64
"""Events decoded together; one that fails has its chunk decoded again, in halves."""
CHECKED_TOGETHER: Final = frozenset({"order_id", "worker_id", "series"})
"""Fields without a pattern in the decoder: checked here, the series by the template cache, which knows valid ones."""
_IDS: Final = b'er_id"'
"""End of the names of the order's and the worker's id, and of no other field."""
_SERIES: Final = b'"series"'
_TOKEN_DIGITS: Final = 64


class NeedsStrictDecoderError(Exception):
    """One of these events has to be decoded alone."""


class DecodedEvents(NamedTuple):
    """Well-formed events: their indexes among the values, the events, and the workers' tokens, 32 bytes each.

    An event has the fields of its type; its series may be any text.
    """

    indexes: list[int]
    events: list[OrderEvent]
    tokens: bytes


class BulkDecoder:
    """Decodes events that name one of these regions and come from one of these sources.

    `kinds` maps the type of a decoded event to its kind.
    """

    def __init__(self, regions: Iterable[str], sources: Iterable[str], max_bytes: int) -> None:
        known = {
            "source": _one_of(sources),
            "acceptance_region": _one_of(regions),
            **dict.fromkeys(CHECKED_TOGETHER, str),
        }
        self.kinds = {_without_patterns(struct, known): int(kind) for struct, kind in _KINDS}
        self._decode_one: Callable[[bytes], OrderEvent] = msgspec.json.Decoder(Union[tuple(self.kinds)]).decode  # noqa: UP007 - made here
        self._acceptance = next(struct for struct, kind in self.kinds.items() if kind == RowKind.ACCEPTANCE)
        self._max_bytes = max_bytes

    def decode(self, values: Sequence[bytes | None]) -> DecodedEvents:
        """Decode the well-formed ones; the others need the strict decoder. Never raises."""
        indexes: list[int] = []
        events: list[OrderEvent] = []
        tokens: list[bytes] = []
        for first in range(0, len(values), CHUNK_EVENTS):
            for start, decoded, token_bytes in self._decode_or_halve(first, values[first : first + CHUNK_EVENTS]):
                indexes.extend(range(start, start + len(decoded)))
                events += decoded
                tokens.append(token_bytes)
        return DecodedEvents(indexes, events, b"".join(tokens))

    def _decode_or_halve(
        self, first: int, values: Sequence[bytes | None]
    ) -> Iterator[tuple[int, list[OrderEvent], bytes]]:
        """Runs of well-formed events, each with the index of its first event and its tokens."""
        try:
            yield first, *self._decode_chunk(values)
        except (NeedsStrictDecoderError, msgspec.DecodeError, ValueError, TypeError, OverflowError, RecursionError):
            middle = len(values) // 2
            if middle:
                yield from self._decode_or_halve(first, values[:middle])
                yield from self._decode_or_halve(first + middle, values[middle:])

    def _decode_chunk(self, values: Sequence[Any]) -> tuple[list[OrderEvent], bytes]:
        longest = max(map(len, values))  # TypeError: a message without bytes
        if longest > self._max_bytes or (longest > DEEP_BYTES and any(map(may_be_deep, values))):
            raise NeedsStrictDecoderError
        joined = b"".join(values)
        if not joined.isascii():
            for value in values:
                value.decode("utf-8")  # the decoder skips over text that it does not keep
        events = list(map(self._decode_one, values))
        self._check_no_field_twice(joined, events)
        datas = [event.data for event in events]
        _check_order_ids([data.order_id for data in datas])
        return events, _read_tokens([data.worker_id for data in datas])

    def _check_no_field_twice(self, joined: bytes, events: Sequence[OrderEvent]) -> None:
        """Of a field that occurs twice only the last value is decoded; an escape could hide its name.

        Each event has its fields at least once, so counting is enough. Every scan of the bytes costs time.
        """
        if count(joined, _IDS) != 2 * len(events):
            raise NeedsStrictDecoderError
        if count(joined, _SERIES) != list(map(type, events)).count(self._acceptance):
            raise NeedsStrictDecoderError
        if b"\\" in joined and b"\\u" in joined:
            raise NeedsStrictDecoderError


def _check_order_ids(names: Sequence[str]) -> None:
    lines = "\n".join(names) + "\n"
    if lines.count("\n") != len(names) or not _ORDER_IDS.match(lines):
        raise NeedsStrictDecoderError


def _read_tokens(tokens: Sequence[str]) -> bytes:
    digits = "".join(tokens)
    data = bytes.fromhex(digits)  # takes capitals and spaces, too
    if digits != digits.lower() or 2 * len(data) != len(digits) or set(map(len, tokens)) != {_TOKEN_DIGITS}:
        raise NeedsStrictDecoderError
    return data


def _one_of(texts: Iterable[str]) -> Any:
    return Literal[tuple(sorted(texts)) or ("",)]


def _without_patterns(struct: type[Struct], known: Mapping[str, Any]) -> type[Struct]:
    """Copy of a struct type with these types in place of the fields' patterns."""
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
