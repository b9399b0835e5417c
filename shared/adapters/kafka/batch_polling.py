"""How a batch subscriber polls: what FastStream and aiokafka leave out is a loss of events.

- FastStream decodes every header as UTF-8 before a handler is called: a header without a value, or with other bytes in
  it, and the whole batch is logged and left behind. Here nothing is decoded.
- A record that cannot be unpacked (a codec nobody has, a header name that is not UTF-8) makes the poll raise: what the
  same poll had taken of other partitions is lost with it, and every other poll raises again. Here whoever holds
  positions is told, so that he can seek back and leave the one partition out.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from itertools import chain
from typing import Any, Final, Self

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import (
    ConsumerStoppedError,
    CorruptRecordException,
    KafkaError,
    RecordTooLargeError,
    UnsupportedCodecError,
)
from faststream.kafka.annotations import KafkaMessage
from faststream.kafka.message import FAKE_CONSUMER

_UNREADABLE: Final = (CorruptRecordException, RecordTooLargeError, UnsupportedCodecError)
PROBE_MS: Final = 1_000
"""How long a partition may take to bring its next records while the unreadable one is searched for."""


async def as_read(records: Any) -> KafkaMessage:
    """A FastStream parser that parses nothing: the records as they are, acknowledged by nobody."""
    return KafkaMessage(raw_message=records, body=b"", correlation_id="-", message_id="-", consumer=FAKE_CONSUMER)


class Arrived(msgspec.Struct, frozen=True, gc=False):
    """What is read of a Kafka record. aiokafka's own, with four fields more, takes three times as long to make."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


Polled = Mapping[TopicPartition, Sequence[Any]]


class Flat(list[Any]):
    """The records of a poll one after the other, as FastStream hands them on; it knows of which partition they are."""

    by_partition: Polled

    @classmethod
    def of(cls, found: Polled) -> Self:
        """Of what was polled."""
        flat = cls(chain.from_iterable(found.values()))
        flat.by_partition = found
        return flat


POLL_BYTES: Final = 8 * 1024 * 1024
"""Of values in a poll: what was compressed to a batch's worth may be much more."""
SLICE_EVENTS: Final = 100
"""Taken out of the client's buffer at once: what is compressed grows there, so its size is looked at in between."""


def poll_with(
    subscriber: Any,
    timeout_ms: int,
    max_records: int,
    on_polled: Callable[[Polled], Awaitable[None]],
    on_failure: Callable[[Exception], Awaitable[None]],
) -> None:
    """Poll for this batch subscriber.

    A poll ends with what is there, with `max_records`, or when its values reach `POLL_BYTES`; the last slice may go
    beyond.

    `on_polled` is awaited before a batch is handled, and when nothing came: then all that came before was handled.
    `on_failure` is awaited before the next poll and makes up for the lost one.
    """

    async def poll(consumer: AIOKafkaConsumer) -> Sequence[Any]:
        try:
            found = await _take_slices(consumer, timeout_ms, max_records)
            await on_polled(found)
        except ConsumerStoppedError:
            raise
        except Exception as error:  # noqa: BLE001 - one that nobody foresaw must not end the polling
            await on_failure(error)
            return ()
        return Flat.of(found)

    subscriber.get_msg = poll


async def _take_slices(consumer: AIOKafkaConsumer, timeout_ms: int, max_records: int) -> Polled:
    max_bytes = POLL_BYTES
    found: dict[TopicPartition, list[Any]] = {}
    while True:
        _lighten(consumer)
        part: Polled = await consumer.getmany(
            timeout_ms=0 if found else timeout_ms, max_records=min(SLICE_EVENTS, max_records)
        )
        for tp, records in part.items():
            found.setdefault(tp, []).extend(records)
            max_records -= len(records)
            max_bytes -= sum([len(record.value or b"") for record in records])
        if not part or max_records <= 0 or max_bytes <= 0:
            return found


def _lighten(consumer: AIOKafkaConsumer) -> None:
    """Have what was fetched handed out as `Arrived`.

    These attributes are aiokafka's own (0.14): where one is missing, and for what is fetched within a poll's first
    wait, records come as aiokafka makes them, with the same fields and more.
    """
    with suppress(AttributeError):
        fetcher: Any = consumer._fetcher
        for result in fetcher._records.values():
            unpacking = getattr(result, "_partition_records", None)  # None in an error, and when all was taken
            if unpacking is not None:
                unpacking._consumer_record = _arrived


def _arrived(tp: TopicPartition, record: Any) -> Arrived:
    return Arrived(tp.topic, tp.partition, record.offset, record.timestamp, record.key, record.value, record.headers)


def is_unreadable(error: Exception) -> bool:
    """True when what lies in the log is to blame, and not the way to it."""
    return isinstance(error, _UNREADABLE) or not isinstance(error, KafkaError)


async def find_unreadable(
    consumer: AIOKafkaConsumer, positions: dict[TopicPartition, int]
) -> dict[TopicPartition, Exception]:
    """Poll each partition alone from its position; those that raise, with what they raised.

    Positions of the consumer are anywhere afterwards: seek before the next poll.
    """
    found: dict[TopicPartition, Exception] = {}
    # The high watermark comes with each fetch, so the unreadable partition has one beyond its position.
    for tp in sorted(tp for tp, position in positions.items() if position < (consumer.highwater(tp) or 0)):
        consumer.seek(tp, positions[tp])
        try:
            await consumer.getmany(tp, timeout_ms=PROBE_MS)
        except Exception as error:
            if not is_unreadable(error):
                raise
            found[tp] = error
    return found
