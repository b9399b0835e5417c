"""Poll records within an allowance of bytes, and find the partition whose records make a poll raise.

A record that cannot be unpacked (an unknown codec, a header name that is not UTF-8) makes the poll raise: what the same
poll had taken of other partitions is lost with it, and every later poll raises again. The holder of the positions seeks
back, and leaves that one partition out.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import (
    CorruptRecordException,
    KafkaError,
    RecordTooLargeError,
    UnsupportedCodecError,
)

from shared.adapters.kafka.bounded_batches import UnreadableBatch
from shared.adapters.kafka.bounded_fetch import Allowance, share_allowance

_UNREADABLE: Final = (CorruptRecordException, RecordTooLargeError, UnsupportedCodecError)
PROBE_MS: Final = 1_000
"""How long a partition may take to bring its next records while the unreadable one is searched for."""


Polled = Mapping[TopicPartition, Sequence[Any]]
"""Records of a poll by their partition."""


async def poll_records(consumer: AIOKafkaConsumer, timeout_ms: int, max_records: int) -> Polled:
    """Wait for one record, then take what is there, up to `max_records` and `POLL_BYTES` (`bounded_fetch`).

    What comes while a poll waits does not know its allowance, so it is taken by a second call.
    """
    allowance = Allowance()
    share_allowance(consumer, allowance)
    polled: dict[TopicPartition, list[Any]] = dict(await consumer.getmany(timeout_ms=timeout_ms, max_records=1))
    if polled and max_records > 1:
        share_allowance(consumer, allowance)
        for tp, records in (await consumer.getmany(timeout_ms=0, max_records=max_records - 1)).items():
            polled.setdefault(tp, []).extend(records)
    return polled


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
    unreadable: dict[TopicPartition, Exception] = {}
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
            unreadable[tp] = error
    return unreadable


async def find_unreadable_batches(
    consumer: AIOKafkaConsumer, spans: Mapping[TopicPartition, tuple[int, int]]
) -> dict[TopicPartition, UnreadableBatch]:
    """Read what is at the beginning of each span of offsets, with a client of no group: batches that no poll can
    read. The offsets that they take are within the spans."""
    consumer.assign(list(spans))
    unreadable: dict[TopicPartition, UnreadableBatch] = {}
    for tp, (begin, end) in sorted(spans.items()):
        consumer.seek(tp, begin)
        try:
            await consumer.getmany(tp, timeout_ms=PROBE_MS, max_records=1)
        except UnreadableBatch as error:
            first, following = max(error.first, begin), min(max(error.next, begin + 1), end)
            unreadable[tp] = UnreadableBatch(error.reason, error.detail, first, following)
    return unreadable
