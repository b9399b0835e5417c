"""A record of an orders topic, and its form as a line of NDJSON.

A line is `{"topic", "key", "time", "value"}`: `time` is the record's time, RFC 3339 to the millisecond; `value` the
bytes as a string, or `value_base64` where they are not UTF-8.
"""

import base64
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import NamedTuple

import msgspec

from shared.domain.calendar import instant_of, since_epoch_ms
from shared.domain.errors import RefusedLine


class Record(NamedTuple):
    """What is sent to Kafka; `time_ms` is the record's time in milliseconds since 1970-01-01T00:00Z."""

    time_ms: int
    topic: str
    key: bytes
    value: bytes


class _Line(msgspec.Struct, omit_defaults=True):
    topic: str
    key: str
    time: datetime
    value: str | None = None
    value_base64: str | None = None


_DECODER = msgspec.json.Decoder(_Line)
_ENCODER = msgspec.json.Encoder()


def write_line(record: Record) -> bytes:
    """Encode a record as one line with its end."""
    line = _Line(record.topic, record.key.decode(), instant_of(record.time_ms * 1_000))
    try:
        line.value = record.value.decode()
    except UnicodeDecodeError:
        line.value_base64 = base64.b64encode(record.value).decode()
    return _ENCODER.encode(line) + b"\n"


def read_lines(lines: Iterable[bytes], name: str) -> Iterator[Record]:
    """Parse lines that `write_line` wrote; raises RefusedLine naming `name` and the line."""
    for number, line in enumerate(lines, 1):
        if line.strip():
            yield read_line(line, name, number)


def read_line(line: bytes, name: str, number: int) -> Record:
    """Parse one record; raises RefusedLine."""
    try:
        read = _DECODER.decode(line)
        value = base64.b64decode(read.value_base64) if read.value_base64 is not None else (read.value or "").encode()
        return Record(since_epoch_ms(read.time), read.topic, read.key.encode(), value)
    except (msgspec.DecodeError, ValueError, TypeError) as error:
        raise RefusedLine(name, number, f"not a record: {error}") from error
