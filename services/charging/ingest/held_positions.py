"""Held positions: from where this worker may charge each of its partitions, and which of them it reads at all.

A batch takes the held positions out before its first await, and only its commit puts them back. Any failure in between
leaves them out, so the next batch of that partition is dropped, its position read again and sought.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Protocol
from uuid import UUID

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import IllegalStateError

from services.charging.ingest.fetch_tracker import FetchTracker
from services.charging.ingest.partition_logs import PartitionLogs, confirm_cluster, describe_log_fault
from services.charging.ingest.topic_pauses import TopicPauses
from services.charging.store.positions import PartitionLog, StoredPosition, pass_over, read_positions
from shared.adapters.kafka.security import Client
from shared.adapters.postgres.pool import Pool

FindUnfit = Callable[[Collection[str]], Awaitable[Mapping[str, str]]]
"""Which of these topics are set so that they must not be read, and why."""


async def find_none_unfit(topics: Collection[str]) -> Mapping[str, str]:  # noqa: ARG001 - as FindUnfit has it
    """Every topic may be read."""
    return {}


class HasConsumer(Protocol):
    """A subscriber of FastStream's; `consumer` is there once it is started."""

    consumer: AIOKafkaConsumer


class HeldPositions:
    """Holds positions of the assigned partitions; every method is called by the holder of `lock`, unless it says so."""

    def __init__(
        self, pool: Pool, client: Client, pauses: TopicPauses, find_unfit: FindUnfit = find_none_unfit
    ) -> None:
        self.lock = asyncio.Lock()
        self.fetched = FetchTracker()
        self.pauses = pauses
        self.cluster_id: str | None = None
        """The Kafka cluster whose positions are held; None before the first assignment."""
        self._pool = pool
        self._client = client
        self._find_unfit = find_unfit
        self._logs = PartitionLogs(client)
        self._held: dict[TopicPartition, int] = {}
        self._topic_ids: dict[str, UUID | None] = {}
        self._subscriber: HasConsumer | None = None

    def attach(self, subscriber: HasConsumer) -> None:
        """Seek and pause with the consumer of this subscriber."""
        self._subscriber = subscriber

    @property
    def consumer(self) -> AIOKafkaConsumer:
        """aiokafka's consumer, once the subscriber is started."""
        assert self._subscriber is not None
        return self._subscriber.consumer

    def held(self) -> dict[TopicPartition, int]:
        """A copy of the held positions; may be called without the lock."""
        return dict(self._held)

    def take_out(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int | None]:
        """Hold these no longer; returns what was held of each."""
        return {tp: self._held.pop(tp, None) for tp in partitions}

    def put_back(self, positions: Mapping[TopicPartition, int]) -> None:
        """Hold what a commit has stored."""
        self._held.update(positions)
        self._stop_reading_paused()

    def release(self) -> dict[TopicPartition, int]:
        """Hold nothing; returns what was held."""
        released = dict(self._held)
        self._held.clear()
        return released

    async def begin(self, partitions: Sequence[TopicPartition]) -> None:
        """Read the cluster's id, the pauses and the topics' settings, then seek these assigned partitions."""
        self.cluster_id = await confirm_cluster(self._client, self.cluster_id)
        await self.pauses.follow()
        self.pauses.add_unfit(await self._find_unfit({tp.topic for tp in partitions}))
        self._stop_reading_paused()
        await self.seek(partitions)

    async def seek(self, partitions: Iterable[TopicPartition]) -> None:
        """Hold what is stored for these partitions, and go there; those of a paused topic stay as they are."""
        wanted_partitions = list(partitions)
        self.take_out(wanted_partitions)
        assigned, paused = self.consumer.assignment(), self.pauses.reasons
        wanted = sorted(tp for tp in wanted_partitions if tp in assigned and tp.topic not in paused)
        if not wanted:
            return
        logs = await self._logs.read(self.consumer, wanted)
        stored = await read_positions(self._pool, self.cluster_id, logs)
        logs = await self._logs.confirm(logs, {tp: position.position for tp, position in stored.items()})
        for tp, position in stored.items():
            self._topic_ids[tp.topic] = position.topic_id
            if fault := describe_log_fault(position, position.position, logs[tp]):
                self.pause(tp, fault)
        sought = {tp: position.position for tp, position in stored.items() if tp.topic not in self.pauses.reasons}
        for tp, offset in sought.items():
            self.consumer.seek(tp, offset)
        self._hold(sought)

    async def seek_all(self) -> None:
        """Read and seek the positions of all assigned partitions."""
        await self.seek(self.consumer.assignment())

    def pause(self, tp: TopicPartition, fault: str) -> None:
        """Stop reading the topic of this partition and record why; the others are still read."""
        self.pauses.add(tp.topic, f"partition {tp.partition}: {fault}")
        self._stop_reading_paused()

    async def follow_pauses(self) -> None:
        """Stop and resume reading topics as any worker has stored their pauses by now."""
        if self.cluster_id is None:
            return
        await self.pauses.follow()
        self._stop_reading_paused()
        # The client is queried, not what was resumed: the next round repeats what fails here.
        waiting = [tp for tp in self.consumer.paused() if tp.topic not in self.pauses.reasons]
        if waiting:
            await self.seek(waiting)
            self.consumer.resume(*(tp for tp in waiting if tp.topic not in self.pauses.reasons))

    async def resume(self, topic: str, who: str) -> bool:
        """Read a topic again that the limit had paused; False when it was not. Other workers notice within seconds.

        Takes the lock.
        """
        async with self.lock:
            was_paused = await self.pauses.resume(topic, f"resumed by {who}")
            await self.follow_pauses()
        return was_paused

    async def set_unfit(self, reasons: Mapping[str, str]) -> None:
        """Do not read these topics; those that were unfit before and are not any more are read on. Takes the lock."""
        async with self.lock:
            self.pauses.set_unfit(reasons)
            self._stop_reading_paused()

    async def pass_markers(self) -> None:
        """Move positions over markers and aborted records: they are no events, and no loss when they expire."""
        with suppress(IllegalStateError):
            lost, moves = await self.fetched.find_passed(self.consumer, self._held)
            await self.seek(lost)
            if moves and self.cluster_id is not None:
                await pass_over(self._pool, self.cluster_id, moves)
                self._hold({TopicPartition(move.topic, move.partition): move.next for move in moves})

    async def read_logs(self, positions: Mapping[TopicPartition, int]) -> dict[TopicPartition, PartitionLog]:
        """Read the logs of these partitions from the broker, with true ends; may be called without the lock."""
        return await self._logs.confirm(await self._logs.read(self.consumer, positions), positions)

    def check_logs(self, before: Mapping[TopicPartition, int], logs: Mapping[TopicPartition, PartitionLog]) -> int:
        """Pause topics whose log does not fit any more; returns how many offsets wait.

        `before` was held when `logs` were read. What is held now may differ: a batch may have moved it, a rebalance may
        have taken it away.
        """
        for tp in sorted(before.keys() & self._held.keys()):
            if tp not in self._held:  # its topic was paused for another partition
                continue
            charged = StoredPosition(before[tp], self._topic_ids.get(tp.topic))
            if fault := describe_log_fault(charged, self._held[tp], logs[tp]):
                self.pause(tp, fault)
        waiting = {
            tp: logs[tp].end - position for tp, position in self._held.items() if tp in logs and logs[tp].end > position
        }
        self.fetched.behind = set(waiting)
        return sum(waiting.values())

    def _hold(self, positions: Mapping[TopicPartition, int]) -> None:
        self._held.update(positions)
        self.fetched.resume_from(positions)

    def _stop_reading_paused(self) -> None:
        if not self.pauses.reasons:
            return
        paused = [tp for tp in self.consumer.assignment() if tp.topic in self.pauses.reasons]
        self.take_out(paused)
        with suppress(IllegalStateError):
            self.consumer.pause(*paused)
