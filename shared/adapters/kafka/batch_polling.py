"""How a batch subscriber polls: what FastStream and aiokafka leave out is a loss of events.

- FastStream decodes every header as UTF-8 before a handler is called: a header without a value, or with other bytes in
  it, and the whole batch is logged and left behind. Here nothing is decoded.
- A record that cannot be unpacked (a codec nobody has, a header name that is not UTF-8) makes the poll raise: what the
  same poll had taken of other partitions is lost with it, and every other poll raises again. Here whoever holds
  positions is told, so that he can seek back and leave the one partition out.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import chain
from typing import Any, Final, Self

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

from shared.adapters.kafka.bounded_batches import UnreadableBatch
from shared.adapters.kafka.bounded_fetch import Allowance, bound_batches, share_allowance

_UNREADABLE: Final = (CorruptRecordException, RecordTooLargeError, UnsupportedCodecError)
PROBE_MS: Final = 1_000
"""How long a partition may take to bring its next records while the unreadable one is searched for."""


async def as_read(records: Any) -> KafkaMessage:
    """A FastStream parser that parses nothing: the records as they are, acknowledged by nobody."""
    return KafkaMessage(raw_message=records, body=b"", correlation_id="-", message_id="-", consumer=FAKE_CONSUMER)


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


def poll_with(
    subscriber: Any,
    timeout_ms: int,
    max_records: int,
    on_polled: Callable[[Polled], Awaitable[None]],
    on_failure: Callable[[Exception], Awaitable[None]],
) -> None:
    """Poll for this batch subscriber.

    A poll ends with what is there, with `max_records`, or when they take `POLL_BYTES` (`bounded_fetch`).

    `on_polled` is awaited before a batch is handled, and when nothing came: then all that came before was handled.
    `on_failure` is awaited before the next poll and makes up for the lost one.
    """

    bound_batches()

    async def poll(consumer: AIOKafkaConsumer) -> Sequence[Any]:
        try:
            found = await _take(consumer, timeout_ms, max_records)
            await on_polled(found)
        except ConsumerStoppedError:
            raise
        except Exception as error:  # noqa: BLE001 - one that nobody foresaw must not end the polling
            await on_failure(error)
            return ()
        return Flat.of(found)

    subscriber.get_msg = poll


async def _take(consumer: AIOKafkaConsumer, timeout_ms: int, max_records: int) -> Polled:
    """Wait for one record, then take what is there: what comes while a poll waits does not know its allowance."""
    allowance = Allowance()
    share_allowance(consumer, allowance)
    found: dict[TopicPartition, list[Any]] = dict(await consumer.getmany(timeout_ms=timeout_ms, max_records=1))
    if found and max_records > 1:
        share_allowance(consumer, allowance)
        for tp, records in (await consumer.getmany(timeout_ms=0, max_records=max_records - 1)).items():
            found.setdefault(tp, []).extend(records)
    return found


def is_unreadable(error: Exception) -> bool:
    """True when what lies in the log is to blame, and not the way to it."""
    return isinstance(error, _UNREADABLE) or not isinstance(error, KafkaError)


async def find_unreadable(
    consumer: AIOKafkaConsumer, positions: dict[TopicPartition, int]
) -> dict[TopicPartition, Exception]:
    """Poll each partition alone for one record at its position; those that raise instead, with what they raised.

    What is readable in front of an unreadable batch is handed out by the next poll, which is why one record is enough.
    Positions of the consumer are anywhere afterwards: seek before the next poll.
    """
    found: dict[TopicPartition, Exception] = {}
    for tp, position in sorted(positions.items()):
        # The high watermark comes with each fetch, so an unreadable partition has one beyond its position.
        if position >= (consumer.highwater(tp) or 0):
            continue
        consumer.seek(tp, position)
        try:
            await consumer.getmany(tp, timeout_ms=PROBE_MS, max_records=1)
        except Exception as error:
            if not is_unreadable(error):
                raise
            found[tp] = error
    return found


async def find_unreadable_batches(
    consumer: AIOKafkaConsumer, spans: Mapping[TopicPartition, tuple[int, int]]
) -> dict[TopicPartition, UnreadableBatch]:
    """Look at what stands at the beginning of each span of offsets, by a client of no group: batches that no poll can
    read. The offsets that they take are within the spans."""
    consumer.assign(list(spans))
    found: dict[TopicPartition, UnreadableBatch] = {}
    for tp, (begin, end) in sorted(spans.items()):
        consumer.seek(tp, begin)
        try:
            await consumer.getmany(tp, timeout_ms=PROBE_MS, max_records=1)
        except UnreadableBatch as error:
            first, following = max(error.first, begin), min(max(error.next, begin + 1), end)
            found[tp] = UnreadableBatch(error.reason, error.detail, first, following)
    return found
