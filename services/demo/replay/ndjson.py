"""Read records from NDJSON: lines as `danbao generate` writes them, or bare CloudEvents."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import msgspec

from services.demo.generator.records import Record, read_line
from shared.adapters.files.text_lines import MARK, open_bytes
from shared.contracts.events import (
    SOURCE_PREFIX,
    DayDeclared,
    Event,
    OrderAccepted,
    OrderCancelled,
    OrderCompleted,
)
from shared.contracts.topics import orders_topic
from shared.domain.calendar import since_epoch_ms
from shared.domain.errors import Refused, RefusedLine
from shared.domain.times import read_instant

_DECODER = msgspec.json.Decoder(Event)


def read_ndjson(file: Path) -> Iterator[Record]:
    """Yield every line as a record; raises RefusedLine naming the first that has neither form."""
    with open_bytes(file) as stream:
        for number, raw in enumerate(stream, 1):
            line = raw.removeprefix(MARK.encode())
            if line.strip():
                yield _bare(line, file, number) if b'"specversion"' in line[:60] else read_line(line, str(file), number)


def _bare(line: bytes, file: Path, number: int) -> Record:
    """Make the record of a bare event: the topic from its source, the key from its order, its own time."""
    try:
        event: Event = _DECODER.decode(line)
    except (msgspec.DecodeError, ValueError) as error:
        raise RefusedLine(str(file), number, f"neither a record nor an event: {error}") from error
    try:
        key, instant = _key_and_time(event)
    except Refused as error:
        raise RefusedLine(str(file), number, str(error)) from error
    if instant is None:
        raise RefusedLine(str(file), number, "a declaration without the attribute time has no record time")
    topic = orders_topic(event.source.removeprefix(SOURCE_PREFIX))
    return Record(since_epoch_ms(instant), topic, key.encode(), line.strip())


def _key_and_time(event: Event) -> tuple[str, datetime | None]:
    match event:
        case OrderAccepted(data=data):
            return data.order_id, data.accepted_at
        case OrderCompleted(data=data):
            return data.order_id, data.completed_at
        case OrderCancelled(data=data):
            return data.order_id, data.cancelled_at
        case DayDeclared(data=data):
            return data.declaration_id, read_instant(event.time) if isinstance(event.time, str) else None


def count_lines(file: Path) -> int:
    """Count the file's lines, for a progress bar."""
    with open_bytes(file) as stream:
        return sum(block.count(b"\n") for block in iter(lambda: stream.read(1 << 20), b""))
