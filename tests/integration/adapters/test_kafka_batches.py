"""Polling by slices, on a real broker."""

from types import SimpleNamespace
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from shared.adapters.kafka.batch_polling import Polled
from shared.adapters.kafka.bounded_fetch import CHUNK_EVENTS, Arrived
from shared.adapters.kafka.faststream_broker import FlatRecords, poll_with
from tests.support.kafka_admin import make_topic
from tests.support.servers import Broker, client_of

TOPIC = "polled-by-slices"
EVENTS = 5 * CHUNK_EVENTS


async def test_records_come_whole_and_light(broker: Broker) -> None:
    """What aiokafka fetched is handed out as `Arrived`: else polling would be slow, and nobody would see it."""
    await make_topic(client_of(broker), TOPIC, partitions=2)
    sent = [
        (n % 2, n // 2, 1_700_000_000_000 + n, f"k{n}".encode(), f"v{n}".encode(), [("h", b"%d" % n)])
        for n in range(EVENTS)
    ]
    async with AIOKafkaProducer(**client_of(broker)) as producer:
        for partition, _, timestamp, key, value, headers in sent:
            await producer.send(TOPIC, value, key, partition, timestamp, headers)
    records = await polled(broker, EVENTS)
    got = [(r.partition, r.offset, r.timestamp, r.key, r.value, list(r.headers)) for r in records]
    assert sorted(got, key=lambda record: record[2]) == sent
    assert {record.topic for record in records} == {TOPIC}
    assert {type(record) for record in records} == {Arrived}


async def polled(broker: Broker, count: int) -> list[Any]:
    subscriber, failures = SimpleNamespace(), list[Exception]()
    polled_records: list[Any] = []

    class Handler:
        async def polled(self, records: Polled) -> None: ...

        async def take(self, records: Polled) -> None: ...

        async def poll_failed(self, error: Exception) -> None:
            failures.append(error)

    poll_with(subscriber, 200, count, Handler())
    async with AIOKafkaConsumer(**client_of(broker), auto_offset_reset="earliest") as consumer:
        consumer.assign([TopicPartition(TOPIC, 0), TopicPartition(TOPIC, 1)])
        for _ in range(100):
            batch: FlatRecords = await subscriber.get_msg(consumer)
            if batch:
                assert list(batch) == [record for records in batch.by_partition.values() for record in records]
            polled_records += batch
            if len(polled_records) >= count:
                break
    assert failures == []
    return polled_records
