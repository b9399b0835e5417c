"""Reads one internal topic of a service: positions in its own database, no consumer group.

A group would let a stranger take part, swallow messages and commit offsets, and would make a start wait for a join.
Partitions are assigned by hand, each topic has its own client, so none is held up by another, and a position is
moved by compare-and-set after its message was handled or quarantined. Handlers are idempotent: a message is handled
again after a crash, and the whole log at the first start on an installation that had groups.
"""

import asyncio
from dataclasses import dataclass, field
from datetime import UTC
from typing import Any, Final
from uuid import UUID

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition

from shared.adapters.kafka.admin.log_ends import LogEnds
from shared.adapters.kafka.admin.topic_ids import read_topic_ids
from shared.adapters.kafka.batch_polling import is_unreadable
from shared.adapters.kafka.bounded_fetch import bound_batches
from shared.adapters.kafka.clients import read_cluster_id
from shared.adapters.kafka.internal.message_handling import MessageHandler
from shared.adapters.kafka.internal.record_clock import RecordClock
from shared.adapters.kafka.security import client_options
from shared.adapters.postgres.topic_store import Place, PositionMoved, StoredPosition, TopicStore
from shared.contracts.quarantine import Message, QuarantineReason
from shared.domain.calendar import instant_of
from shared.domain.errors import Stop
from shared.runtime.clock import now
from shared.runtime.settings import Settings

log = structlog.get_logger(__name__)
POLL_MS: Final = 500
MOST_RECORDS: Final = 100
"""Taken from the client at once."""
CHECK_SECONDS: Final = 5.0
"""Pause between two checks of the broker's metadata of the topic: does it exist, was it recreated, has it grown."""
RESTART_SECONDS: Final = 1.0
"""Pause after an error, before a client is opened again; also between two tries to become the sole reader."""
MOST_UNREADABLE: Final = 10_000
"""Offsets passed over at once while the next record that can be unpacked is searched for."""
LATEST_MS: Final = 4_102_444_800_000
"""2100-01-01T00:00Z: a record may name a later time, which no column or calendar has to take."""


@dataclass
class _Partition:
    """A partition that is read. `since` is when its position last moved, or was level with the log's end.

    `level_at` is when it was level last; None while records wait.
    """

    place: Place
    tp: TopicPartition
    next_offset: int
    since: float
    behind: int = 0
    is_held_back: bool = False
    level_at: float | None = None


@dataclass
class _State:
    """State from which readiness is computed; times are the loop's."""

    partitions: list[_Partition] = field(default_factory=list)
    under_way_since: float | None = None
    seen_at: float | None = None
    is_gone: bool = False
    is_standby: bool = False


class TopicReader:
    """One topic: `run` is a task of the service, `readiness` a condition of its /readyz."""

    def __init__(
        self, handler: MessageHandler, store: TopicStore, settings: Settings, *, is_sole: bool, limit_seconds: float
    ) -> None:
        self.topic = handler.topic
        self._handler = handler
        self._store = store
        self._is_sole = is_sole
        self._client = client_options(settings)
        self._age_seconds = settings.ready_commit_age_seconds
        self._limit_seconds = max(self._age_seconds, limit_seconds)
        self._ends = LogEnds(self._client)
        self._state = _State()
        self.record_clock = RecordClock()

    async def run(self) -> None:
        """Read until cancelled; only Stop is raised."""
        while True:
            try:
                if self._is_sole:
                    async with self._store.sole_reader(self.topic) as is_mine:
                        self._state.is_standby = not is_mine
                        if is_mine:
                            await self._read()
                else:
                    await self._read()
            except Stop:
                raise
            except PositionMoved as error:
                log.info("position moved by another reader", topic=self.topic, detail=str(error))
            except Exception as error:  # noqa: BLE001 - any error is logged and tried again
                log.warning("topic cannot be read, trying again", topic=self.topic, error=repr(error))
            self._state.partitions = []
            await asyncio.sleep(RESTART_SECONDS)

    @property
    def lag(self) -> int:
        """Records between the stored positions and the high watermarks, committed or not."""
        return sum(partition.behind for partition in self._state.partitions)

    async def readiness(self) -> str | None:
        """None when every record that may be read is handled in time, else what is the matter."""
        state, at = self._state, asyncio.get_running_loop().time()
        if state.is_standby:
            return None
        if state.is_gone:
            return f"the topic {self.topic} is gone"
        if not state.partitions:
            return f"{self.topic} is not read yet"
        if state.under_way_since is not None:
            age = at - state.under_way_since
            return (
                f"a message of {self.topic} has been under way for {age:.0f} s" if age > self._limit_seconds else None
            )
        if state.seen_at is not None and at - state.seen_at > CHECK_SECONDS + self._age_seconds:
            return f"the broker has not answered about {self.topic} for {at - state.seen_at:.0f} s"
        for partition in state.partitions:
            if partition.behind and at - partition.since > self._age_seconds:
                why = "wait behind an open transaction" if partition.is_held_back else "are not delivered"
                return f"{partition.behind} records of {self.topic} {why}, for {at - partition.since:.0f} s"
        return None

    async def _read(self) -> None:
        bound_batches()
        consumer = AIOKafkaConsumer(
            **self._client, enable_auto_commit=False, isolation_level="read_committed",
            auto_offset_reset="none", fetch_max_wait_ms=POLL_MS,
        )  # fmt: skip
        await consumer.start()
        try:
            topic = await self._read_topic(consumer)
            if topic is None:
                return
            await self._begin(consumer, topic)
            while await self._look_is_same(consumer, topic):
                look_at = asyncio.get_running_loop().time() + CHECK_SECONDS
                while asyncio.get_running_loop().time() < look_at:
                    await self._poll(consumer)
        finally:
            await consumer.stop()

    async def _read_topic(self, consumer: AIOKafkaConsumer) -> "_Topic | None":
        """Read the topic's metadata from the broker; None while it does not exist."""
        loop = asyncio.get_running_loop()
        kafka: Any = consumer._client  # the public calls list topics, or the partitions of those that are read
        partitions = (await kafka.fetch_all_metadata()).partitions_for_topic(self.topic)
        ids = await read_topic_ids(self._client, [self.topic])
        self._state.seen_at = loop.time()
        if not partitions:
            return None
        return _Topic(frozenset(partitions), ids.get(self.topic))

    async def _look_is_same(self, consumer: AIOKafkaConsumer, topic: "_Topic") -> bool:
        topic_now = await self._read_topic(consumer)
        self._state.is_gone = topic_now is None
        return topic_now == topic

    async def _begin(self, consumer: AIOKafkaConsumer, topic: "_Topic") -> None:
        """Assign all partitions, and seek each to its stored position; to the log's start where that does not fit."""
        cluster_id = await read_cluster_id(self._client)
        tps = [TopicPartition(self.topic, number) for number in sorted(topic.partitions)]
        consumer.assign(tps)
        first, end = await consumer.beginning_offsets(tps), await consumer.end_offsets(tps)
        started, partitions = asyncio.get_running_loop().time(), []
        for tp in tps:
            place = Place(cluster_id, self.topic, tp.partition)
            stored = await self._store.read_position(place, first[tp], topic.topic_id)
            true_end = (await self._ends.true_ends({tp: stored.next_offset}, first, end))[tp]
            start = await self._fit(place, stored, first[tp], true_end, topic.topic_id)
            consumer.seek(tp, start)
            partitions.append(_Partition(place, tp, start, started))
        self._state.partitions, self._state.is_gone = partitions, False

    async def _fit(self, place: Place, stored: StoredPosition, first: int, end: int, topic_id: UUID | None) -> int:
        """The offset to continue at; what is skipped, or read again from a new log, is an entry of the quarantine."""
        held = stored.next_offset
        if stored.topic_id is not None and topic_id not in {None, stored.topic_id}:
            why = f"recreated: the topic was {stored.topic_id} up to {held}, it is {topic_id} now"
        elif held < first:
            why = f"offsets {held} to {first - 1} are gone from the log"
        elif end < held:
            why = f"the log ends at {end}, {held} was the position: recreated?"
        else:
            return held
        to = StoredPosition(first, topic_id)
        await self._store.pass_over(place, held, to, QuarantineReason.LOST, why, now())
        return first

    async def _poll(self, consumer: AIOKafkaConsumer) -> None:
        """Handle what one poll brings, record by record."""
        try:
            polled = await consumer.getmany(timeout_ms=POLL_MS, max_records=MOST_RECORDS)
        except Exception as error:
            if not is_unreadable(error):
                raise
            await self._pass_over_unreadable(consumer, error)
            return
        polled_at = asyncio.get_running_loop().time()
        for partition in self._state.partitions:
            records = polled.get(partition.tp, ())
            if records and partition.level_at is not None:
                waited_seconds = polled_at - partition.level_at
                self.record_clock.note(message_of(records[-1]).recorded_at, polled_at, waited_seconds)
            for record in records:
                await self._take(partition, record)
            if partition.tp not in polled:
                await self._note_place(consumer, partition)
            self._note_lag(consumer, partition)

    async def _take(self, partition: _Partition, record: Any) -> None:
        loop, state = asyncio.get_running_loop(), self._state
        if record.offset > partition.next_offset:  # markers of transactions, and what a compacted log has left out
            await self._store.move(partition.place, partition.next_offset, record.offset)
            partition.next_offset = record.offset
        state.under_way_since = loop.time()
        try:
            message = message_of(record)
            fault = await self._handler.take(message)
            if fault is None:
                await self._store.move(partition.place, record.offset, record.offset + 1)
            else:
                await self._store.quarantine(message, fault.reason, fault.detail, partition.place)
        finally:
            state.under_way_since = None
        partition.next_offset, partition.since = record.offset + 1, loop.time()

    async def _note_place(self, consumer: AIOKafkaConsumer, partition: _Partition) -> None:
        """Move over offsets without a message: the client has passed them."""
        passed = await consumer.position(partition.tp)
        if passed > partition.next_offset:
            await self._store.move(partition.place, partition.next_offset, passed)
            partition.next_offset, partition.since = passed, asyncio.get_running_loop().time()

    def _note_lag(self, consumer: AIOKafkaConsumer, partition: _Partition) -> None:
        high = consumer.highwater(partition.tp) or 0
        stable = consumer.last_stable_offset(partition.tp)
        partition.behind = max(0, high - partition.next_offset)
        partition.is_held_back = stable is not None and stable < high
        partition.level_at = None if partition.behind else asyncio.get_running_loop().time()
        if partition.level_at is not None:
            partition.since = partition.level_at

    async def _pass_over_unreadable(self, consumer: AIOKafkaConsumer, error: Exception) -> None:
        """Find the partition that cannot be unpacked, and the next offset of it that can."""
        for partition in self._state.partitions:
            start, tried = partition.next_offset, partition.next_offset
            while tried - start < MOST_UNREADABLE and await self._is_unreadable_at(consumer, partition.tp, tried):
                tried += 1
            if tried > start:
                detail = f"offsets {start} to {tried - 1} cannot be unpacked: {error!r}"
                to = StoredPosition(tried, None)
                reason = QuarantineReason.UNREADABLE
                await self._store.pass_over(partition.place, start, to, reason, detail, now())
                partition.next_offset = tried
            consumer.seek(partition.tp, partition.next_offset)

    async def _is_unreadable_at(self, consumer: AIOKafkaConsumer, tp: TopicPartition, offset: int) -> bool:
        consumer.seek(tp, offset)
        try:
            await consumer.getmany(tp, timeout_ms=POLL_MS, max_records=1)
        except Exception as error:
            if not is_unreadable(error):
                raise
            return True
        return False


@dataclass(frozen=True, slots=True)
class _Topic:
    partitions: frozenset[int]
    topic_id: UUID | None


def message_of(record: Any) -> Message:
    """The message of a Kafka record."""
    recorded_at = instant_of(min(max(0, record.timestamp), LATEST_MS) * 1000).astimezone(UTC)
    headers = tuple((name, value or b"") for name, value in record.headers)
    return Message(record.topic, record.partition, record.offset, record.value or b"", recorded_at, headers)
