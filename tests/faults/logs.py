"""Logs in memory instead of a broker: they outlive every process, and keep what is published until it is acknowledged.

Order events are polled from them through the methods of Kafka's client that charging uses.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from aiokafka import TopicPartition

from shared.adapters.kafka.faststream_broker import FlatRecords
from tests.faults.steps import Process
from tests.integration.charging.charging_harness import Record


@dataclass
class Logs:
    """What a broker keeps: order events up to `end`, messages, and how far each reader has acknowledged."""

    records: dict[TopicPartition, list[Record]] = field(default_factory=dict)
    messages: dict[str, list[bytes]] = field(default_factory=dict)
    acknowledged: dict[tuple[str, str], int] = field(default_factory=dict)

    def copy(self) -> "Logs":
        return Logs(
            {tp: list(records) for tp, records in self.records.items()},
            {topic: list(messages) for topic, messages in self.messages.items()},
            dict(self.acknowledged),
        )

    async def publish(self, topic: str, payload: bytes) -> None:
        self.messages.setdefault(topic, []).append(payload)


class LogConsumer:
    """The methods of Kafka's client that charging uses, over logs in memory; every partition is assigned."""

    def __init__(self, process: Process, logs: Logs) -> None:
        self._process, self._logs = process, logs
        self._positions: dict[TopicPartition, int] = {}

    def assignment(self) -> set[TopicPartition]:
        return set(self._logs.records)

    async def beginning_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(partitions, 0)

    async def end_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        return {tp: len(self._logs.records[tp]) for tp in partitions}

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self._positions[partition] = offset

    async def commit(self, offsets: dict[TopicPartition, int]) -> None:
        await self._process.step("commit offsets", partial(self._take_commit, offsets))

    async def _take_commit(self, offsets: dict[TopicPartition, int]) -> None:
        """A hint, and nothing here needs hints."""

    def poll(self) -> FlatRecords:
        polled = {}
        for tp, records in self._logs.records.items():
            if new := records[self._positions[tp] :]:
                polled[tp] = new
            self._positions[tp] = len(records)
        return FlatRecords.of(polled)


class LogSubscriber:
    """What FastStream makes of a handler and its options."""

    def __init__(self, consumer: LogConsumer) -> None:
        self.consumer = consumer
        self.handle: Callable[[Any], Awaitable[None]] | None = None
        self.get_msg: object = None

    def __call__(self, handle: Callable[[Any], Awaitable[None]]) -> Callable[[Any], Awaitable[None]]:
        self.handle = handle
        return handle


class LogBroker:
    """A broker as far as a batch subscriber is made with it."""

    def __init__(self, subscriber: LogSubscriber) -> None:
        self._subscriber = subscriber

    def subscriber(self, **_: Any) -> LogSubscriber:
        return self._subscriber
