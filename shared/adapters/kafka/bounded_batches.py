"""Unpack a Kafka batch into a buffer with a limit, so that no batch takes more memory than this module names.

A batch of some kilobytes can decompress to gigabytes, a record of a megabyte can hold half a million headers, and a
batch's own counts and lengths are claims of its sender. All of that is checked here, before a client's parser sees
a byte. What does not fit is not cut: the whole batch is unreadable, with a reason and the offsets that it takes.
"""

import mmap
import struct
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from aiokafka import codec as codecs
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatch

from shared.contracts.topics import ORDERS_PREFIX

cramjam: Any = vars(codecs)["cramjam"]
"""None where it is not installed: `check_codecs` says so at the start."""
_MIB: Final = 1024 * 1024
WALK_BYTES: Final = 1 * _MIB
"""The records of a larger batch are walked over before they are parsed. In a smaller one, parsing the worst (headers
of two bytes each) takes 40 MB for a moment."""
HEAVY_RECORD_BYTES: Final = 64 * 1024
"""The headers of a larger record in such a batch are counted before they are parsed."""
MOST_HEADERS: Final = 1_000
"""A record with more headers makes its batch unreadable."""
_HEADER: Final = struct.Struct(">qiibIhiqqqhii")
_LENGTH_AT: Final = 8
_ATTRIBUTES_AT: Final = 21
_BEFORE_LENGTH: Final = 12
_CODEC_BITS: Final = 0x07
_SLACK: Final = 16
"""Bytes behind a batch that a parser may read when a number at its end is not finished."""


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """Bytes of one batch, on the wire and unpacked, and of one record in it."""

    batch_bytes: int
    record_bytes: int


ORDER_LIMITS: Final = BatchLimits(batch_bytes=16 * _MIB, record_bytes=8 * _MIB)
"""Of a topic that an enterprise writes to. An event above `max_event_bytes` is parked, so it has to be readable."""
INTERNAL_LIMITS: Final = BatchLimits(batch_bytes=32 * _MIB, record_bytes=32 * _MIB)
"""Limits of internal topics: what the services' producers may send at most (`LARGEST_REQUEST_BYTES`)."""


class Unreadable(StrEnum):
    """Why a batch is not read."""

    TOO_LARGE = "batch_too_large"
    RECORD_TOO_LARGE = "record_too_large"
    TOO_MANY_HEADERS = "too_many_headers"
    OLD_FORMAT = "old_format"
    UNKNOWN_CODEC = "unknown_codec"
    DAMAGED = "damaged"
    SENDERS_TIME = "senders_time"


class UnreadableBatch(CorruptRecordException):
    """A batch that is not read: why, and the offsets that it takes (`first` up to but not including `next`)."""

    def __init__(self, reason: Unreadable, detail: str, first: int, next_offset: int) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail, self.first, self.next = reason, detail, first, next_offset

    def __str__(self) -> str:
        return f"{self.reason} at offset {self.first}: {self.detail}"

    __repr__ = __str__


def is_orders(topic: str) -> bool:
    """True for a topic that an enterprise writes to."""
    return topic.startswith(ORDERS_PREFIX)


def limits_of(topic: str) -> BatchLimits:
    """The limits for a topic's batches."""
    return ORDER_LIMITS if is_orders(topic) else INTERNAL_LIMITS


@dataclass(frozen=True, slots=True)
class Batch:
    """One batch, unpacked; `parsed` is aiokafka's, over bytes that are not compressed."""

    parsed: Any
    first: int
    next: int
    bytes: int
    count: int


class BoundedRecords:
    """The batches of one partition in an answer of the broker, in place of aiokafka's `MemoryRecords`."""

    limits = INTERNAL_LIMITS

    def __init__(self, data: bytes | None) -> None:
        self._data = memoryview(data or b"")
        self._at = 0

    def size_in_bytes(self) -> int:
        """Bytes of the whole answer."""
        return len(self._data)

    def has_next(self) -> bool:
        """True unless all was taken, or what is left is the beginning of a batch."""
        left = len(self._data) - self._at
        if left < _BEFORE_LENGTH:
            return False
        length = int.from_bytes(self._data[self._at + _LENGTH_AT : self._at + _BEFORE_LENGTH], "big", signed=True)
        return _BEFORE_LENGTH + length <= left

    def next_batch(self) -> Batch:
        """Unpack the next batch; raises UnreadableBatch, after which the rest of the answer is not to be used."""
        data, at = self._data, self._at
        first, length = struct.unpack_from(">qi", data, at)
        whole = data[at : at + _BEFORE_LENGTH + max(length, 0)]
        if len(whole) < _HEADER.size:
            raise UnreadableBatch(Unreadable.DAMAGED, f"a batch of {length} bytes", first, first + 1)
        _, _, _, magic, _, attributes, last, *_, count = _HEADER.unpack_from(whole)
        next_offset = first + max(last, 0) + 1
        try:
            if magic != 2:
                raise _Refusal(Unreadable.OLD_FORMAT, f"format {magic}")
            if len(whole) > self.limits.batch_bytes:
                raise _Refusal(Unreadable.TOO_LARGE, f"{len(whole)} bytes")
            parsed = DefaultRecordBatch(whole)
            if not parsed.validate_crc():
                raise _Refusal(Unreadable.DAMAGED, "its checksum is wrong")
            if attributes & _CODEC_BITS:
                whole = _unpack(whole, attributes, self.limits)
                parsed = DefaultRecordBatch(whole)
            if len(whole) > WALK_BYTES:
                _walk(whole, self.limits)
        except _Refusal as refusal:
            raise UnreadableBatch(refusal.reason, refusal.detail, first, next_offset) from refusal.__cause__
        self._at = at + _BEFORE_LENGTH + length
        return Batch(parsed, first, next_offset, len(whole), count)


class _Refusal(Exception):  # noqa: N818 - becomes an UnreadableBatch, with the offsets
    def __init__(self, reason: Unreadable, detail: str) -> None:
        super().__init__(detail)
        self.reason, self.detail = reason, detail


_rooms: Final[dict[int, mmap.mmap]] = {}
"""One buffer of a process for each limit: memory that no batch has used yet is not taken."""


def _room(size: int) -> mmap.mmap:
    if size not in _rooms:
        _rooms[size] = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    return _rooms[size]


def _unpack(whole: memoryview, attributes: int, limits: BatchLimits) -> memoryview:
    """The batch with its records decompressed, marked as not compressed."""
    decode = _decoder(attributes & _CODEC_BITS)
    start = _HEADER.size
    pages = _room(start + limits.batch_bytes + _SLACK)
    room = memoryview(pages)
    try:
        size = decode(whole[start:], room[start : start + limits.batch_bytes])
    except cramjam.DecompressionError as error:
        if any(words in str(error) for words in _NO_ROOM):
            raise _Refusal(Unreadable.TOO_LARGE, f"more than {limits.batch_bytes} bytes unpacked") from error
        raise _Refusal(Unreadable.DAMAGED, f"it does not decompress: {error}") from error
    room[:start] = whole[:start]
    struct.pack_into(">h", room, _ATTRIBUTES_AT, attributes & ~_CODEC_BITS)
    kept = bytes(room[: start + size + _SLACK])
    if size > WALK_BYTES:
        pages.madvise(mmap.MADV_DONTNEED)  # an ordinary batch needs no more than is left
    return memoryview(kept)[: start + size]


_NO_ROOM: Final = ("failed to write whole buffer", "is smaller than required")
"""How cramjam says that the result does not fit; where it says otherwise the reason is `damaged`."""
_XERIAL: Final = struct.pack(">b7sBii", -126, b"SNAPPY\0", 0, 0, 0)[:8]
_XERIAL_HEADER_BYTES: Final = 16


def _decode_snappy(packed: memoryview, into: memoryview) -> int:
    """One block, or blocks with their lengths in front of them (xerial's framing, which Java writes)."""
    if bytes(packed[:8]) != _XERIAL:
        return int(cramjam.snappy.decompress_raw_into(packed, into))
    at, end = _XERIAL_HEADER_BYTES, 0
    while at < len(packed):
        size = int.from_bytes(packed[at : at + 4], "big")
        at += 4
        if not 0 < size <= len(packed) - at:
            raise cramjam.DecompressionError(f"snappy: a block of {size} bytes, {len(packed) - at} are left")
        end += int(cramjam.snappy.decompress_raw_into(packed[at : at + size], into[end:]))
        at += size
    return end


def _decoder(codec: int) -> Callable[[memoryview, memoryview], int]:
    if codec not in _CODECS or cramjam is None:
        raise _Refusal(Unreadable.UNKNOWN_CODEC, f"codec {codec}")
    name = _CODECS[codec]
    decode: Callable[[memoryview, memoryview], int] = getattr(cramjam, name).decompress_into
    return _decode_snappy if name == "snappy" else decode


_CODECS: Final = {1: "gzip", 2: "snappy", 3: "lz4", 4: "zstd"}


def _walk(whole: memoryview, limits: BatchLimits) -> None:
    """Go from record to record by their lengths; refuses one that is too large, or has too many headers."""
    data, at, end = bytes(whole), _HEADER.size, len(whole)
    most, heavy = limits.record_bytes, HEAVY_RECORD_BYTES
    try:
        while at < end:
            low = data[at]
            if low < 0x80:
                at += 1
                size = low >> 1
            else:
                high = data[at + 1]
                if high < 0x80:
                    at += 2
                    size = (low & 0x7F | high << 7) >> 1
                else:
                    size, at = _varint(data, at)
                    if size > most:
                        raise _Refusal(Unreadable.RECORD_TOO_LARGE, f"a record of {size} bytes")
                    if size > heavy:
                        _check_headers(data, at)
            if size < 1:
                raise _Refusal(Unreadable.DAMAGED, f"a record of {size} bytes")
            at += size
    except IndexError:
        raise _Refusal(Unreadable.DAMAGED, "a record ends behind its batch") from None


def _check_headers(data: memoryview | bytes, at: int) -> None:
    at += 1  # attributes
    for _ in ("time", "offset"):
        _, at = _varint(data, at)
    for _ in ("key", "value"):
        size, at = _varint(data, at)
        at += max(size, 0)
    count, _ = _varint(data, at)
    if count > MOST_HEADERS:
        raise _Refusal(Unreadable.TOO_MANY_HEADERS, f"a record with {count} headers")


def _varint(data: memoryview | bytes, at: int) -> tuple[int, int]:
    """A signed number of up to ten bytes, and where it ends."""
    value = 0
    for shift in range(0, 70, 7):
        part = data[at]
        at += 1
        value |= (part & 0x7F) << shift
        if part < 0x80:
            return value >> 1 ^ -(value & 1), at
    raise _Refusal(Unreadable.DAMAGED, "a number of more than ten bytes")
