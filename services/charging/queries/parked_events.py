"""Parked events: read, and sent again after a mend. A parked event is never changed; what was sent is noted.

Its bytes can be read for as long as the key of its day lives; afterwards hash, length and redacted form remain.
"""

from base64 import b64encode
from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec
import structlog
from faststream.kafka import KafkaBroker
from msgspec import Struct
from sqlalchemy import (
    BigInteger,
    Integer,
    Select,
    Text,
    any_,
    bindparam,
    exists,
    func,
    not_,
    or_,
    select,
    tuple_,
)
from sqlalchemy.dialects.postgresql import ARRAY

from services.charging.rows.kept_records import PARKED, RESENT_HEADER, SealedRecord, open_record
from services.charging.tables import INSTANT, kept_key, manifest, parked, resending, resent
from shared.adapters.kafka.faststream_broker import TOO_LARGE
from shared.adapters.postgres.pool import Pool
from shared.adapters.postgres.queries.statements import insert_into, query, values
from shared.adapters.postgres.queries.storable_text import storable
from shared.contracts.parking import ParkReason
from shared.contracts.topics import orders_topic
from shared.domain.errors import Refused

log = structlog.get_logger(__name__)
SHOWN_BYTES: Final = 4_096
"""Bytes of a parked event that a list shows; all of them are kept."""
SEND_AT_ONCE: Final = 500


class _ParkedRow(Struct, frozen=True):
    batch: int
    leaf_index: int
    topic: str
    partition: int
    record_offset: int
    record_time_ms: int
    headers: str
    reason: str
    detail: str
    received: bytes
    redacted: str
    sealed: bytes
    byte_count: int
    key: bytes | None
    destroyed_at: datetime | None
    was_resent: bool


def _select_parked() -> Select[tuple[object, ...]]:
    """Select what a _ParkedRow holds."""
    of_event = [parked.c[name] for name in _ParkedRow.__struct_fields__ if name in parked.c]
    columns = [
        *of_event,
        parked.c.bytes.label("byte_count"),
        kept_key.c.key,
        kept_key.c.destroyed_at,
        _WAS_RESENT.label("was_resent"),
    ]
    return (
        select(*columns)
        .select_from(parked)
        .outerjoin(kept_key, kept_key.c.day == parked.c.sealed_on)
        .where(tuple_(parked.c.batch, parked.c.leaf_index) > _AFTER)
        .order_by(parked.c.batch, parked.c.leaf_index)
        .limit(bindparam("limit", type_=Integer))
    )


_WAS_RESENT: Final = exists().where(resent.c.batch == parked.c.batch, resent.c.leaf_index == parked.c.leaf_index)
_AFTER: Final = tuple_(bindparam("after_batch", type_=BigInteger), bindparam("after_leaf", type_=Integer))
_REASON: Final = bindparam("reason", type_=Text)
_TOPICS: Final = bindparam("topics", type_=ARRAY(Text))
_TOPIC: Final = bindparam("topic", type_=Text)
_PAGE: Final = query(
    _select_parked().where(
        or_(_REASON.is_(None), parked.c.reason == _REASON), or_(_TOPICS.is_(None), parked.c.topic == any_(_TOPICS))
    ),
    _ParkedRow,
)
_TO_SEND: Final = query(
    _select_parked()
    .join(manifest, manifest.c.batch == parked.c.batch)
    .where(
        parked.c.reason == _REASON,
        or_(_TOPIC.is_(None), parked.c.topic == _TOPIC),
        manifest.c.committed_at < bindparam("parked_before", type_=INSTANT),
        not_(_WAS_RESENT),
    ),
    _ParkedRow,
)
_NOTE_RESENDING: Final = insert_into(resending, "batch", "leaf_index")
_NOTE_RESENT: Final = insert_into(resent, "batch", "leaf_index", "partition", "record_offset")
_NOW: Final = values(select(func.clock_timestamp(type_=INSTANT)), datetime)


class ParkedEvent(Struct, frozen=True):
    """A parked event for a reader; without bytes where they are erased or were altered."""

    cursor: str
    topic: str
    partition: int
    offset: int
    record_time_ms: int
    headers: list[list[str]]
    reason: str
    detail: str
    bytes: int
    sha256: str
    redacted: str
    value_base64: str | None
    erased_at: datetime | None
    altered: str | None
    was_resent: bool


class Resent(Struct):
    """Events that were sent again, and those that were not.

    Their bytes are erased, were altered in the table, or are more than the broker takes.
    """

    resent: int = 0
    erased: int = 0
    altered: int = 0
    too_large: int = 0


class ParkedEvents:
    """Reads `charging.parked` and sends its events again."""

    def __init__(self, pool: Pool, broker: KafkaBroker) -> None:
        self._pool, self._broker = pool, broker

    async def page(
        self, reason: ParkReason | None, enterprises: Sequence[str] | None, after: str, limit: int
    ) -> list[ParkedEvent]:
        """Read parked events of these enterprises' topics (None: of all), after a cursor (`batch.leaf_index`).

        The first SHOWN_BYTES of an event are shown, in base64.
        """
        batch, _, leaf = after.partition(".")
        topics = None if enterprises is None else list(map(orders_topic, enterprises))
        rows = await _PAGE.fetch(
            self._pool, reason=reason, topics=topics, after_batch=int(batch or -1), after_leaf=int(leaf or -1),
            limit=limit,
        )  # fmt: skip
        return [_describe(row, SHOWN_BYTES) for row in rows]

    async def one(self, batch: int, leaf_index: int) -> ParkedEvent | None:
        """Read one parked event with all its bytes; None when there is none."""
        row = await _PAGE.fetch_first(
            self._pool, reason=None, topics=None, after_batch=batch, after_leaf=leaf_index - 1, limit=1
        )
        if row is None or (row.batch, row.leaf_index) != (batch, leaf_index):
            return None
        return _describe(row, None)

    async def send_again(self, reason: ParkReason, enterprise: str | None) -> Resent:
        """Send what is parked now for a reason to its own topic; returns how many. Their first arrival is kept.

        What comes back and is parked again waits for the next mend, to avoid an endless loop. Noted after the broker
        has it: a crash in between sends it twice, and the second one is a repeat.
        """
        now = await _NOW.fetch_one(self._pool)
        sent, after = Resent(), (-1, -1)
        topic = None if enterprise is None else orders_topic(enterprise)
        while rows := await _TO_SEND.fetch(
            self._pool, reason=reason, topic=topic, parked_before=now, after_batch=after[0], after_leaf=after[1],
            limit=SEND_AT_ONCE,
        ):  # fmt: skip
            for row in rows:
                await self._send(row, sent)
            after = (rows[-1].batch, rows[-1].leaf_index)
        return sent

    async def _send(self, row: _ParkedRow, sent: Resent) -> None:
        try:
            record = _open(row)
        except Refused as error:
            log.warning("a parked event cannot be sent again", error=str(error))
            sent.altered += 1
            return
        if record is None:
            sent.erased += 1
            return
        headers = {n: (value or b"").decode("latin-1") for n, value in record.headers if n != RESENT_HEADER}
        headers[RESENT_HEADER] = f"{row.batch}.{row.leaf_index}"
        await _NOTE_RESENDING.execute(self._pool, batch=row.batch, leaf_index=row.leaf_index)
        try:
            position = await self._broker.publish(
                record.value or b"", row.topic, key=record.key, headers=headers, no_confirm=False
            )
        except TOO_LARGE as error:
            log.warning("a parked event cannot be sent again", error=repr(error))
            sent.too_large += 1
            return
        await _NOTE_RESENT.execute(
            self._pool, batch=row.batch, leaf_index=row.leaf_index, partition=position.partition,
            record_offset=position.offset,
        )  # fmt: skip
        sent.resent += 1


def _open(row: _ParkedRow) -> SealedRecord | None:
    """Decrypt the record; None when its day's key is destroyed, Refused when its sealed bytes were changed."""
    if row.key is None:
        return None
    return open_record(row.key, PARKED, row.batch, row.leaf_index, row.sealed)


def _describe(row: _ParkedRow, shown: int | None) -> ParkedEvent:
    """Describe a parked event for a reader, with `shown` bytes of it (None: all)."""
    fault = None
    try:
        record = _open(row)
    except Refused as error:
        record, fault = None, str(error)
    headers = msgspec.json.decode(row.headers, type=list[list[str]])
    if record is not None:
        headers = [[_plain(name), b64encode(value or b"").decode()] for name, value in record.headers]
    return ParkedEvent(
        cursor=f"{row.batch}.{row.leaf_index}",
        topic=row.topic,
        partition=row.partition,
        offset=row.record_offset,
        record_time_ms=row.record_time_ms,
        headers=headers,
        reason=row.reason,
        detail=row.detail,
        bytes=row.byte_count,
        sha256=row.received.hex(),
        redacted=row.redacted,
        value_base64=None if record is None else b64encode((record.value or b"")[:shown]).decode(),
        erased_at=row.destroyed_at,
        altered=fault,
        was_resent=row.was_resent,
    )


def _plain(name: str) -> str:
    """A header's name may hold anything."""
    return storable(name)
