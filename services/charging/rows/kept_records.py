"""Kept records: what is stored of a parked event or a conflict, with its bytes sealed. Pure.

Hash, length, a redacted text and the sequence number stay readable; `open_record` decrypts the record as it was
received, for as long as the key of its day exists.
"""

import json
import re
from base64 import b64encode
from collections.abc import Sequence
from hashlib import sha256
from typing import Annotated, Any, Final

import msgspec

from services.charging.rows.batch import KeptRecord
from shared.adapters.crypto.sealing import DayKey, unseal
from shared.contracts.bounds import Series
from shared.contracts.events import SOURCE_PREFIX
from shared.contracts.events import Sequence as SequenceNumber
from shared.contracts.topics import enterprise_of
from shared.domain.privacy.identity import reads_as_identity
from shared.domain.privacy.redaction import redact_detail, redacted

PARKED: Final = "charging.parked"
CONFLICT: Final = "charging.conflict"
KEPT_COLUMNS: Final = ("received", "bytes", "redacted", "sealed", "sealed_on", "series", "sequence")
RESENT_HEADER: Final = "danbao-parked"
"""Header of an event that was sent again: batch and leaf index of the parked one."""
_KNOWN_HEADERS: Final = {
    RESENT_HEADER: re.compile(rb"[0-9]{1,19}\.[0-9]{1,10}"),
    "traceparent": re.compile(rb"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}"),
    "content-type": re.compile(rb"application/(cloudevents\+)?json(; charset=[A-Za-z0-9-]{1,12})?"),
}
"""Headers that stay readable, with the form that they must have; the others are in the sealed bytes only."""


class SealedRecord(msgspec.Struct, array_like=True):
    """The sealed content, in MessagePack."""

    value: bytes | None
    key: bytes | None
    headers: list[tuple[str, bytes | None]]


class _Numbered(msgspec.Struct):
    series: Series
    sequence: SequenceNumber


class _Kept(msgspec.Struct):
    """The fields of an acceptance that its number needs; others may be wrong."""

    type: Annotated[str, msgspec.Meta(pattern=r"^order\.accepted\.v1$")]
    source: str
    data: _Numbered


_read_kept: Final = msgspec.json.Decoder(_Kept).decode


def seal_record(
    key: DayKey, table: str, place: tuple[int, int], topic: str, record: SealedRecord
) -> tuple[bytes, int, str, bytes, Any, str | None, int | None]:
    """The columns KEPT_COLUMNS of a record that is kept in this table at (batch, leaf index)."""
    value = record.value or b""
    sealed = key.seal(msgspec.msgpack.encode(record), name_place(table, *place))
    number = read_kept_number(value, enterprise_of(topic) or "")
    return sha256(value).digest(), len(value), redacted(value), sealed, key.day, *number


def open_record(key: bytes, table: str, batch: int, leaf_index: int, sealed: bytes) -> SealedRecord:
    """The record as it came; raises Refused where its sealed bytes were changed."""
    return msgspec.msgpack.decode(unseal(key, sealed, name_place(table, batch, leaf_index)), type=SealedRecord)


def name_place(table: str, batch: int, leaf_index: int) -> str:
    """What binds sealed bytes to their row."""
    return f"{table} {batch}.{leaf_index}"


def parked_row(key: DayKey, batch: int, kept: KeptRecord) -> tuple[Any, ...]:
    """Columns of charging.parked from batch to detail, then KEPT_COLUMNS."""
    record, place = kept.record, (batch, kept.leaf_index)
    whole = SealedRecord(record.value, record.key, [(name, value) for name, value in record.headers])
    return (
        *place, record.topic, record.partition, record.offset, record.timestamp,
        record.timestamp if kept.arrived_ms is None else kept.arrived_ms, known_headers(record.headers), kept.reason,
        redact_detail(kept.detail), *seal_record(key, PARKED, place, record.topic, whole),
    )  # fmt: skip


def conflict_row(key: DayKey, batch: int, kept: KeptRecord) -> tuple[Any, ...]:
    """Columns of charging.conflict up to record_time_ms, KEPT_COLUMNS, then the key of the row it contradicts."""
    record, place = kept.record, (batch, kept.leaf_index)
    form = seal_record(key, CONFLICT, place, record.topic, SealedRecord(record.value, None, []))
    return (*place, record.topic, record.partition, record.offset, record.timestamp, *form, *kept.key)


def known_headers(headers: Sequence[tuple[str, bytes | None]]) -> str:
    """The headers that stay readable, as JSON pairs of name and base64 value."""
    return json.dumps(
        [[name, b64encode(value).decode()] for name, value in headers if value and _is_known(name, value)]
    )


def _is_known(name: str, value: bytes) -> bool:
    form = _KNOWN_HEADERS.get(name)
    return form is not None and form.fullmatch(value) is not None and not reads_as_identity(value.decode())


def read_kept_number(value: bytes | None, uscc: str) -> tuple[str | None, int | None]:
    """Series and number in the bytes, where they can be read and are that enterprise's own; else None and None."""
    try:
        kept = _read_kept(value or b"")
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None, None
    if kept.source != SOURCE_PREFIX + uscc or reads_as_identity(kept.data.series):
        return None, None
    return kept.data.series, kept.data.sequence
