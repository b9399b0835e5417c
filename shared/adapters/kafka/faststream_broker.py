"""FastStream's broker and batch subscriber as this project uses them; the one module that depends on their insides.

FastStream loses events in two cases. It decodes every header as UTF-8 before a handler is called: with a header without
a value, or with other bytes in it, the whole batch is logged and left behind. And when a poll raises, what the poll had
taken of other partitions is lost. So records are handed on undecoded here, and the holder of the positions learns of a
failed poll. What this depends on (tests: tests/integration/adapters/test_kafka_batches.py, test_start_broker.py):

- `{...}` in a subscriber's pattern is a path parameter: braces are doubled;
- a batch subscriber polls with its attribute `get_msg`, which is replaced;
- `subscriber.consumer` is aiokafka's consumer once the subscriber is started;
- a parser may return a `KafkaMessage` with any `raw_message`, over `FAKE_CONSUMER`; a decoder may return None;
- `subscriber.start()` works before `broker.start()` once the broker is connected, and `broker.running` may be set;
- `subscriber.running` and `subscriber.tasks` say whether it is still polling.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final, Protocol, Self

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener
from aiokafka.errors import ConsumerStoppedError, MessageSizeTooLargeError, RecordListTooLargeError
from faststream import AckPolicy
from faststream.kafka import KafkaBroker
from faststream.kafka.annotations import KafkaMessage
from faststream.kafka.message import FAKE_CONSUMER

from shared.adapters.crypto.signing import AuthorSigner
from shared.adapters.kafka.batch_polling import Polled, poll_records
from shared.adapters.kafka.bounded_fetch import bound_batches
from shared.adapters.kafka.clients import LARGEST_REQUEST_BYTES, check_codecs
from shared.adapters.kafka.security import broker_options
from shared.contracts.topics import SIGNATURE_HEADER
from shared.domain.errors import Refused
from shared.runtime.settings import Settings

TOO_LARGE: Final = (MessageSizeTooLargeError, RecordListTooLargeError)
"""Raised by `publish` for a message that the producer or the broker does not take for its size."""
POLL_MS: Final = 50


def open_broker(settings: Settings, client_id: str = "danbao") -> KafkaBroker:
    """FastStream's broker, not yet started; its producer waits for all replicas, its consumers unpack within limits.

    `client_id` is what the broker shows of this process to anybody who lists the members of a group.
    """
    bound_batches()
    return KafkaBroker(
        **broker_options(settings),
        client_id=client_id,
        acks="all",
        compression_type="gzip",
        max_request_size=LARGEST_REQUEST_BYTES,
        enable_idempotence=settings.kafka_idempotent,
        metadata_max_age_ms=settings.kafka_metadata_max_age_ms,
        graceful_timeout=10.0,
        logger=None,
    )


async def start_broker(broker: KafkaBroker) -> None:
    """Connect, and have all subscribers join their groups at the same time.

    `broker.start()` has one join after the other, in an order that changes from start to start; each takes a second on
    the embedded broker, three on Apache Kafka.
    """
    await broker.connect()
    await asyncio.gather(*(subscriber.start() for subscriber in broker.subscribers))
    broker.running = True


async def is_answering(broker: KafkaBroker, seconds: float) -> bool:
    """Whether Kafka answers a started broker within this time."""
    return await broker.ping(seconds)


def is_consuming(broker: KafkaBroker) -> bool:
    """Whether every subscriber of a started broker is still polling."""
    for subscriber in broker.subscribers:
        tasks = getattr(subscriber, "tasks", [])
        if not subscriber.running or not tasks or any(task.done() for task in tasks):
            return False
    return True


async def publish_signed(broker: KafkaBroker, author: AuthorSigner, topic: str, key: str, value: bytes) -> None:
    """Publish a message with its author's signature in a header; returns when the broker has it.

    Raises Refused for a message that is larger than the producer or the broker takes.
    """
    headers = {SIGNATURE_HEADER: author.sign_message(topic, value).decode()}
    try:
        await broker.publish(value, topic, key=key.encode(), headers=headers)
    except TOO_LARGE as error:
        raise Refused(f"too_large: {topic} {key}: {len(value)} bytes are more than the broker takes") from error


class BatchHandler(Protocol):
    """The handler that a batch subscriber calls, one call after the other."""

    async def polled(self, records: Polled) -> None:
        """A poll brought these records, or none; called before `take`, when all that came before was handled."""

    async def take(self, records: Polled) -> None:
        """Handle what a poll brought."""

    async def poll_failed(self, error: Exception) -> None:
        """A poll failed, and what it had taken is lost: seek back before the next poll."""


@dataclass(frozen=True, slots=True)
class FetchLimits:
    """Most records of a poll, most bytes of a broker's answer, and how long a broker that has none may wait."""

    records: int
    bytes: int
    wait_ms: int


class FlatRecords(list[Any]):
    """The records of a poll as one list, as FastStream hands them on; `by_partition` has them by their partitions."""

    by_partition: Polled

    @classmethod
    def of(cls, polled: Polled) -> Self:
        """The records of a poll."""
        flat = cls(chain.from_iterable(polled.values()))
        flat.by_partition = polled
        return flat


def subscribe_batches(
    broker: KafkaBroker,
    settings: Settings,
    limits: FetchLimits,
    *,
    pattern: str,
    group: str,
    listener: ConsumerRebalanceListener,
    handler: BatchHandler,
) -> Any:
    """A subscriber over all topics of a pattern, manual in everything; its `consumer` is aiokafka's once it is started.

    Raises Stop where this machine cannot unpack what a topic may hold.
    """
    check_codecs()
    subscriber: Any = broker.subscriber(
        pattern=pattern.replace("{", "{{").replace("}", "}}"),
        batch=True,
        group_id=group,
        listener=listener,
        max_records=limits.records,
        batch_timeout_ms=POLL_MS,
        parser=as_read,
        decoder=_leave_raw,
        ack_policy=AckPolicy.MANUAL,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        session_timeout_ms=settings.kafka_session_timeout_ms,
        heartbeat_interval_ms=settings.kafka_heartbeat_ms,
        max_partition_fetch_bytes=limits.bytes // 3,  # one long queue must not fill the answer
        fetch_max_bytes=limits.bytes,
        fetch_max_wait_ms=limits.wait_ms,
    )
    poll_with(subscriber, POLL_MS, limits.records, handler)

    @subscriber  # type: ignore[untyped-decorator]  # FastStream leaves it untyped
    async def take(message: KafkaMessage) -> None:
        records: Any = message.raw_message
        await handler.take(records.by_partition)

    return subscriber


def poll_with(subscriber: Any, timeout_ms: int, max_records: int, handler: BatchHandler) -> None:
    """Have a batch subscriber poll with `poll_records`, and its handler learn of every poll."""
    bound_batches()

    async def poll(consumer: AIOKafkaConsumer) -> Sequence[Any]:
        try:
            polled = await poll_records(consumer, timeout_ms, max_records)
            await handler.polled(polled)
        except ConsumerStoppedError:
            raise
        except Exception as error:  # noqa: BLE001 - an error that nobody foresaw must not end the polling
            await handler.poll_failed(error)
            return ()
        return FlatRecords.of(polled)

    subscriber.get_msg = poll


async def as_read(records: Any) -> KafkaMessage:
    """A parser that parses nothing: the records as they are, acknowledged by nobody."""
    return KafkaMessage(raw_message=records, body=b"", correlation_id="-", message_id="-", consumer=FAKE_CONSUMER)


async def _leave_raw(message: object) -> None:
    """A decoder that does not decode: handlers read the records themselves."""
