"""Encodes the hashed content of a row: the leaf of the evidence. One function a kind of row, with checked-in vectors.

A leaf's content is a version byte, a byte for the kind of row, the fixed columns big-endian, then each variable column
behind its length in two bytes. A missing number is the smallest of its width, a missing text has length 0xFFFF. Nothing
depends on a database's own ids, so a third party can compute it from the published columns. The leaf's hash is
`shared.domain.evidence.merkle.leaf_hash` of it.
"""

from dataclasses import dataclass
from enum import IntEnum
from struct import Struct
from typing import Final, NamedTuple

from shared.domain.errors import Refused
from shared.domain.evidence.merkle import LEAF_PREFIX

VERSION: Final = 1
NO_INT64: Final = -(2**63)
_ORDER = Struct(">BB18sqqqqiiHHHb32s32s")
_KEPT = Struct(">BBiqq32s")
_DECLARED = Struct(">BB18si32s32s")
_ASSESSED = Struct(">BB18siqqiHHHB")
_LENGTH = Struct(">H")
_NO_TEXT: Final = b"\xff\xff"


class RowKind(IntEnum):
    """The kinds of row; the number is part of the row's key and of its leaf.

    A re-rated order has later generations: each adds 2 to RERATED and to RERATED_REVERSAL (docs/decisions/0005).
    """

    ASSESSED = 0
    ACCEPTANCE = 1
    COMPLETION = 2
    CANCELLATION = 3
    REVERSAL = 4
    PARKED = 5
    CONFLICT = 6
    DECLARATION = 7
    RERATED = 8
    RERATED_REVERSAL = 9


def is_charge(kind: int) -> bool:
    """An acceptance as first rated, or re-rated; the highest kind of an order is the one that holds."""
    return kind == RowKind.ACCEPTANCE or (kind >= RowKind.RERATED and kind % 2 == 0)


def is_reversal(kind: int) -> bool:
    """Takes back the charge of its generation."""
    return kind == RowKind.REVERSAL or (kind >= RowKind.RERATED_REVERSAL and kind % 2 == 1)


def reversal_of(charge: int) -> int:
    """The kind of row that takes this charge back."""
    return RowKind.REVERSAL if charge == RowKind.ACCEPTANCE else charge + 1


def next_charge(charge: int) -> int:
    """The kind of the charge that follows on this one when the order is re-rated."""
    return RowKind.RERATED if charge == RowKind.ACCEPTANCE else charge + 2


def order_leaf(
    kind: int,
    uscc: bytes,
    accepted_at_us: int,
    ended_at_us: int,
    sequence: int,
    premium: int,
    region: int,
    tariff_line: int,
    token_key: int,
    industry: int,
    reason: int,
    departed: int,
    worker: bytes,
    received: bytes,
    order_id: bytes,
    series: bytes | None,
    agency: bytes | None,
    insurance_no: bytes | None,
) -> bytes:
    """Content of an acceptance, completion, cancellation, reversal or re-rated charge.

    Times are microseconds since 1970 (ended_at NO_INT64 when the order has not ended), `premium` 0.0001 yuan, `region`
    the six digits as a number, `tariff_line` 0 for none, `reason` the code of the exclusion, cancellation or reversal
    (0 for none), `departed` 0, 1 or -1 for unsaid, `worker` the token's 32 bytes, `received` SHA-256 of the received
    bytes (of a reversal: of the event that caused it).
    """
    fixed = _ORDER.pack(
        VERSION, kind, uscc, accepted_at_us, ended_at_us, sequence, premium, region, tariff_line,
        token_key, industry, reason, departed, worker, received,
    )  # fmt: skip
    return (
        fixed + _LENGTH.pack(len(order_id)) + order_id + text_leaf(series) + text_leaf(agency) + text_leaf(insurance_no)
    )


class SharedLeaf(NamedTuple):
    """What the leaves of orders alike share. An encoder of many puts the rest between: `head`, accepted, ended,
    sequence, `premium`, region, `rated`, worker, received, texts.
    """

    head: bytes
    premium: bytes
    rated: bytes


def shared_leaf(
    kind: int, uscc: bytes, premium: int, tariff_line: int, token_key: int, industry: int, reason: int, departed: int
) -> SharedLeaf:
    """Version to USCC behind the prefix of a leaf's hash; the premium; tariff line to departed. See `order_leaf`."""
    whole = order_leaf(
        kind, uscc, 0, 0, 0, premium, 0, tariff_line, token_key, industry, reason, departed, bytes(32), bytes(32),
        b"", None, None, None,
    )  # fmt: skip
    return SharedLeaf(LEAF_PREFIX + whole[0:20], whole[44:52], whole[56:67])


def text_leaf(text: bytes | None) -> bytes:
    """A variable column as encoded in a leaf: behind its length."""
    return _NO_TEXT if text is None else _LENGTH.pack(len(text)) + text


def kept_leaf(
    kind: int, topic: str, partition: int, offset: int, record_time_ms: int, reason: str, received: bytes
) -> bytes:
    """Content of a parked event or a conflict: its log position, when, why, and the SHA-256 of its bytes."""
    fixed = _KEPT.pack(VERSION, kind, partition, offset, record_time_ms, received)
    return fixed + _text(topic) + _text(reason)


def declaration_leaf(uscc: bytes, declaration_id: str, day_number: int, received: bytes, body: bytes) -> bytes:
    """Content of a `day.declared.v1`; `day_number` is the day's proleptic Gregorian ordinal.

    `received` and `body` are SHA-256 of the bytes that came and of the `data` that is stored.
    """
    return _DECLARED.pack(VERSION, RowKind.DECLARATION, uscc, day_number, received, body) + _text(declaration_id)


def assessed_leaf(
    uscc: bytes,
    day_number: int,
    first: int,
    last: int,
    base_amount: int,
    province: int,
    industry: int,
    tariff_line: int,
    why: int,
    series: str,
) -> bytes:
    """Content of a row of assessed numbers, `first` to `last` of a series, or of what takes some of them back.

    `day_number` is the proleptic Gregorian ordinal of the insured day, `base_amount` 0.0001 yuan a number, `province`
    its two digits as a number, `why` 0 presumed, 1 declared unused and 2 arrived (these two take back).
    """
    fixed = _ASSESSED.pack(
        VERSION, RowKind.ASSESSED, uscc, day_number, first, last, base_amount, province, industry, tariff_line, why
    )
    return fixed + _text(series)


def _text(value: str) -> bytes:
    data = value.encode()
    return _LENGTH.pack(len(data)) + data


@dataclass(frozen=True, slots=True)
class OrderRow:
    """An order leaf's content, read back; see `order_leaf` for units. A missing number or text is None."""

    kind: int
    uscc: str
    accepted_at_us: int
    ended_at_us: int | None
    sequence: int | None
    premium: int
    region: int
    tariff_line: int
    token_key: int
    industry: int
    reason: int
    departed: int
    worker: bytes
    received: bytes
    order_id: str
    series: str | None
    agency: str | None
    insurance_no: str | None


def read_order_leaf(content: bytes) -> OrderRow:
    """The row whose leaf has this content; `Refused` when it is not the content of an order's row."""
    if len(content) < _ORDER.size or content[0] != VERSION:
        raise Refused(f"{len(content)} bytes that begin with {content[:2].hex()} are no order's leaf")
    _, kind, uscc, accepted, ended, sequence, *fixed = _ORDER.unpack_from(content)
    if not (RowKind.ACCEPTANCE <= kind <= RowKind.REVERSAL or kind >= RowKind.RERATED):
        raise Refused(f"a row of kind {kind} is no order's")
    order_id, series, agency, insurance_no = _read_texts(content, _ORDER.size)
    if order_id is None:
        raise Refused("a row without an order's id")
    premium, region, tariff_line, token_key, industry, reason, departed, worker, received = fixed
    return OrderRow(
        kind, _decoded(uscc), accepted, None if ended == NO_INT64 else ended,
        None if sequence == NO_INT64 else sequence, premium, region, tariff_line, token_key, industry, reason,
        departed, worker, received, order_id, series, agency, insurance_no,
    )  # fmt: skip


def _read_texts(content: bytes, place: int) -> list[str | None]:
    """The four texts that end the content, which they fill."""
    texts: list[str | None] = []
    for _ in range(4):
        length = content[place : place + 2]
        place += 2
        if length == _NO_TEXT:
            texts.append(None)
            continue
        end = place + int.from_bytes(length)
        texts.append(_decoded(content[place:end]))
        place = end
    if place != len(content):
        raise Refused(f"a row's leaf of {len(content)} bytes whose texts end at {place}")
    return texts


def _decoded(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise Refused("a row's text is not UTF-8") from error
