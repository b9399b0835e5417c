"""The Kafka side of charging: which position is held for each partition, and what happens when one is not.

A batch takes the held positions out before its first await, and only its commit puts them back. Whatever fails in
between leaves nothing held, so the next batch of that partition is dropped, its position read again and sought
(docs/decisions/0003). `services/charging/README.md` says what remains if the process dies at each step.
"""

import asyncio
import gc
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final
from uuid import UUID

import structlog
from aiokafka import ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import IllegalStateError, KafkaError
from faststream.kafka import KafkaBroker
from faststream.kafka.annotations import KafkaMessage

from services.charging.ingest.batch_reader import EventReader
from services.charging.ingest.fetch_tracker import FetchTracker, StaleBatch
from services.charging.ingest.partition_logs import Logs, confirm_cluster, describe_log_fault
from services.charging.ingest.topic_pauses import ParkRateLimit, Pauses
from services.charging.metrics import Metrics
from services.charging.settings import ChargingSettings
from services.charging.store.batch_writer import write_batch
from services.charging.store.day_partitions import DayPartitions
from services.charging.store.deployment import own_group
from services.charging.store.manifests import Run, read_last_number
from services.charging.store.positions import Fenced, StoredPosition, pass_over, read_positions
from shared.adapters.kafka.batch_polling import Flat, Polled, as_read, find_unreadable, is_unreadable, poll_with
from shared.adapters.kafka.clients import check_codecs, consumer_options, fetch_options
from shared.adapters.kafka.security import client_options
from shared.adapters.postgres.pool import BadData, BrokenConstraint, Pool
from shared.contracts.manifests import PremiumsCharged
from shared.contracts.topics import ORDERS_PATTERN
from shared.domain.errors import Stop
from shared.runtime.periodic import Periodic, until_done

log = structlog.get_logger(__name__)
GROUP: Final = "charging"
INSERT_BATCHES_AFTER_COLLISION: Final = 16
"""Batches that stay on the general way after one met a repeat that nobody had looked for: they come in crowds."""
COLLECT_EVERY: Final = 200
"""Batches between two garbage collections; the collector is off otherwise."""
WATCH_SECONDS: Final = 2.0
POLL_MS: Final = 50
RETRY_SECONDS: Final = 0.2
"""A fault that stays must not become a busy loop."""


class Consumer(ConsumerRebalanceListener):
    """Charges what a poll brings, one transaction a batch."""

    def __init__(
        self,
        settings: ChargingSettings,
        pool: Pool,
        reader: EventReader,
        run: Run,
        metrics: Metrics,
        fail: Callable[[BaseException], None],
        on_commit: Callable[[], None],
    ) -> None:
        self._settings, self._pool, self._reader, self._run = settings, pool, reader, run
        self._metrics, self._fail, self._on_commit = metrics, fail, on_commit
        self.partitions = DayPartitions(pool, settings.days_ahead)
        self._client = client_options(settings)
        self._logs = Logs(self._client)
        self._topic_ids: dict[str, UUID | None] = {}
        self._lock = asyncio.Lock()
        self._held: dict[TopicPartition, int] = {}
        self._fetched = FetchTracker()
        self._is_stopping = False
        self._cluster_id: str | None = None
        self._insert_batches_left, self._batches, self._progress_at = 0, 0, 0.0
        self._subscriber: Any = None
        self._pauses = Pauses(pool, ParkRateLimit.of(settings), metrics)
        self.paused: Mapping[str, str] = self._pauses.reasons
        self.last_error: str | None = None
        self.lag = 0
        """Of the partitions that this worker holds; `TopicsWatch` looks at all."""
        self.find_unfit: Callable[[Collection[str]], Awaitable[Mapping[str, str]]] | None = None
        """Which of these topics are set so that they must not be read, and why."""
        self._busy_since: float | None = None

    @property
    def cluster_id(self) -> str | None:
        """The Kafka cluster whose positions are held; None before the first assignment."""
        return self._cluster_id

    def subscribe(self, broker: KafkaBroker, topics: str = ORDERS_PATTERN) -> None:
        """Make the batch subscriber over the topics of every enterprise of this deployment."""
        check_codecs()
        # FastStream reads {…} in a pattern as a path parameter unless the braces are doubled.
        pattern = topics.replace("{", "{{").replace("}", "}}")
        self._subscriber = broker.subscriber(
            pattern=pattern,
            batch=True,
            group_id=own_group(GROUP, self._run.author.author.identity),
            listener=self,
            max_records=self._settings.batch_events,
            batch_timeout_ms=POLL_MS,
            parser=as_read,
            **fetch_options(self._settings.fetch_bytes, self._settings.fetch_wait_ms),
            **consumer_options(self._settings),
        )
        poll_with(self._subscriber, POLL_MS, self._settings.batch_events, self._polled, self._poll_failed)

        @self._subscriber  # type: ignore[untyped-decorator]  # FastStream leaves it untyped
        async def take(message: KafkaMessage) -> None:
            self._busy_since = asyncio.get_running_loop().time()
            try:
                await self._take(message.raw_message)  # type: ignore[arg-type]
            finally:
                self._busy_since = None

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:  # noqa: ARG002 - aiokafka's name
        """Wait for the open transaction, then hold nothing."""
        async with self._lock:
            self._held.clear()

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Read the cluster's id, then seek every partition to its stored position; tried until both worked."""
        partitions = list(assigned)
        async with self._lock:
            # The client has forgotten what was paused; what was wrong is looked at again.
            self._pauses.remove(self.paused)
            self._held.clear()
            try:
                await until_done("assignment", lambda: self._begin(partitions))
            except Stop as error:
                self._stop(error)

    async def _begin(self, partitions: Sequence[TopicPartition]) -> None:
        self._cluster_id = await confirm_cluster(self._client, self._cluster_id)
        await self._pauses.follow()
        if self.find_unfit is not None:
            self._pauses.add_unfit(await self.find_unfit({tp.topic for tp in partitions}))
        self._stop_reading_paused()
        await self._seek(partitions)
        self._progress_at = asyncio.get_running_loop().time()

    def _stop(self, error: BaseException) -> None:
        """Charge nothing more, whatever is still delivered: what is held may mean other events now."""
        self._is_stopping = True
        self._held.clear()
        self._fail(error)

    async def _seek(self, partitions: Sequence[TopicPartition]) -> None:
        """Hold what is stored for these partitions, and go there; those of a paused topic stay as they are."""
        consumer = self._subscriber.consumer
        for tp in partitions:
            self._held.pop(tp, None)
        wanted = sorted(tp for tp in partitions if tp in consumer.assignment() and tp.topic not in self.paused)
        if not wanted:
            return
        logs = await self._logs.read(consumer, wanted)
        places = await read_positions(self._pool, self._cluster_id, logs)
        logs = await self._logs.confirm(logs, {tp: place.position for tp, place in places.items()})
        for tp, place in places.items():
            self._topic_ids[tp.topic] = place.topic_id
            if fault := describe_log_fault(place, place.position, logs[tp]):
                self._pause(tp, fault)
        sought = {tp: place.position for tp, place in places.items() if tp.topic not in self.paused}
        for tp, position in sought.items():
            consumer.seek(tp, position)
        self._hold(sought)

    def _pause(self, tp: TopicPartition, fault: str) -> None:
        """Stop reading one topic and say why; the others go on."""
        self._pauses.add(tp.topic, f"partition {tp.partition}: {fault}")
        self._stop_reading_paused()

    def _stop_reading_paused(self) -> None:
        if not self.paused:
            return
        consumer = self._subscriber.consumer
        mine = [tp for tp in consumer.assignment() if tp.topic in self.paused]
        for tp in mine:
            self._held.pop(tp, None)
        with suppress(IllegalStateError):
            consumer.pause(*mine)

    async def set_unfit(self, reasons: Mapping[str, str]) -> None:
        """Do not read these topics; those that were unfit before and are not any more are read on."""
        async with self._lock:
            self._pauses.set_unfit(reasons)
            self._stop_reading_paused()

    async def resume(self, topic: str, who: str) -> bool:
        """Read a topic again that the limit had paused; False when it was not. Other workers notice within seconds."""
        async with self._lock:
            was_paused = await self._pauses.resume(topic, f"resumed by {who}")
            await self._follow_pauses()
        return was_paused

    async def _follow_pauses(self) -> None:
        """Do as is stored, whichever worker paused a topic; the caller holds the lock."""
        if self._cluster_id is None:
            return
        await self._pauses.follow()
        self._stop_reading_paused()
        # Asked of the client, not of what was resumed: whatever failed on the way is made up for by the next look.
        consumer = self._subscriber.consumer
        waiting = [tp for tp in consumer.paused() if tp.topic not in self.paused]
        if waiting:
            await self._seek(waiting)
            consumer.resume(*(tp for tp in waiting if tp.topic not in self.paused))

    async def _take(self, records: Flat) -> None:
        if self._is_stopping:
            return
        by_partition = records.by_partition
        async with self._lock:
            held = {tp: self._held.pop(tp, None) for tp in by_partition}
            try:
                ends = await self._charge(by_partition, held)
            except Stop as error:
                self._stop(error)
                return
            except (BadData, BrokenConstraint) as error:
                self._stop(Stop(f"the database refuses a batch: {error!r}"))
                return
            except Exception as error:  # noqa: BLE001 - asyncpg raises plain ones when the server goes away
                await self._recover(list(by_partition), error)
                return
            self._held.update(ends)
            self._stop_reading_paused()
        self._on_commit()
        await self._commit_kafka_offsets(ends)

    async def _charge(self, by_partition: Polled, held: dict[TopicPartition, int | None]) -> dict[TopicPartition, int]:
        """Write the batch; returns the new positions. Nothing of it holds before this returns."""
        moves = await self._fetched.moves_of(self._subscriber.consumer, by_partition, held)
        records = [record for tp in sorted(by_partition) for record in by_partition[tp]]
        reader = self._reader.open(records, self._run.next_batch())
        for _ in reader.steps():
            await asyncio.sleep(0)
        batch = reader.batch
        await self.partitions.ensure(batch.days)
        overruns = self._pauses.overruns(moves, batch.parked)
        left = self._insert_batches_left
        assert self._cluster_id is not None
        async with self._pool.acquire() as connection:
            written = await write_batch(
                connection, self._cluster_id, self._run, batch, moves, use_copy=not left, overruns=overruns
            )
        self._pauses.note(moves, batch.parked, overruns)
        self.last_error = None
        self._insert_batches_left = INSERT_BATCHES_AFTER_COLLISION if written.has_collision else max(0, left - 1)
        self._record_commit(written.manifest)
        return {TopicPartition(move.topic, move.partition): move.next for move in moves}

    def _record_commit(self, manifest: PremiumsCharged) -> None:
        self._progress_at = asyncio.get_running_loop().time()
        self._metrics.note_batch(manifest)
        self._batches += 1
        if self._batches % COLLECT_EVERY == 0:
            gc.collect()

    async def _recover(self, partitions: Sequence[TopicPartition], error: Exception) -> None:
        """A batch failed: nothing was written, or all was and the answer was lost. Both are read from the database."""
        expected = isinstance(error, StaleBatch | Fenced)
        log.log(20 if expected else 30, "batch dropped", why=repr(error))
        self._metrics.dropped.labels(why=type(error).__name__).inc()
        self.last_error = None if expected else f"batches fail: {error!r}"

        async def again() -> None:
            await self._seek(partitions)
            async with self._pool.acquire() as connection:
                await read_last_number(connection, self._run)

        if not expected:
            await asyncio.sleep(RETRY_SECONDS)
        await until_done("positions", again)

    async def _polled(self, found: Polled) -> None:
        self._fetched.note(found)
        if not found and self._fetched.behind:
            async with self._lock:
                with suppress(IllegalStateError):
                    await self._pass_over()

    async def _pass_over(self) -> None:
        """Move positions over markers and what was aborted: it is nothing that waits, and no loss when it expires."""
        lost, moves = await self._fetched.find_passed(self._subscriber.consumer, self._held)
        await self._seek(lost)
        if moves and self._cluster_id is not None:
            await pass_over(self._pool, self._cluster_id, moves)
            self._hold({TopicPartition(move.topic, move.partition): move.next for move in moves})

    def _hold(self, positions: Mapping[TopicPartition, int]) -> None:
        self._held.update(positions)
        self._fetched.resume_from(positions)

    async def _poll_failed(self, error: Exception) -> None:
        """What a poll had taken of other partitions is lost when one of them raises: hold nothing, read all again."""
        log.warning("poll failed", error=repr(error))
        self.last_error = f"polls fail: {error!r}"
        async with self._lock:
            positions = dict(self._held)
            self._held.clear()
        await asyncio.sleep(RETRY_SECONDS)
        # Not under the lock: a poll waits for a rebalance, and a rebalance waits for the lock.
        unreadable: dict[TopicPartition, Exception] = {}
        if is_unreadable(error):
            with suppress(KafkaError, IllegalStateError):
                unreadable = await find_unreadable(self._subscriber.consumer, positions)
        async with self._lock:
            for tp, why in unreadable.items():
                self._pause(tp, f"the log cannot be read from {positions[tp]} on: {why!r}")
            await until_done("positions", lambda: self._seek(list(self._subscriber.consumer.assignment())))
            self.last_error = None

    async def _commit_kafka_offsets(self, ends: dict[TopicPartition, int]) -> None:
        """Kafka's own group offsets, for lag tools only: whatever fails here is no matter."""
        consumer = self._subscriber.consumer
        with suppress(KafkaError, IllegalStateError, AttributeError):
            await consumer.commit({tp: end for tp, end in ends.items() if tp in consumer.assignment()})

    def periodic(self) -> Periodic:
        """The work to run beside the server."""
        return Periodic("watch", self._watch, WATCH_SECONDS, pauses_first=True)

    async def _watch(self) -> None:
        """Measure the lag, notice a log that was trimmed or recreated under a held position, read the pauses."""
        with suppress(KafkaError, IllegalStateError, AttributeError):
            await self._look()
        async with self._lock:
            await self._follow_pauses()

    async def _look(self) -> None:
        consumer = self._subscriber.consumer
        before = {tp: position for tp, position in self._held.items() if tp in consumer.assignment()}
        if not before:
            if not consumer.assignment():
                self.lag, self.last_error = 0, None  # others have it now, and what was wrong with it
            return
        logs = await self._logs.confirm(await self._logs.read(consumer, before), before)
        async with self._lock:
            # Held once more under the lock: a batch may have moved it, a rebalance may have taken it away.
            for tp in before.keys() & self._held.keys():
                charged = StoredPosition(before[tp], self._topic_ids.get(tp.topic))
                if fault := describe_log_fault(charged, self._held[tp], logs[tp]):
                    self._pause(tp, fault)
            ends = {tp: log.end for tp, log in logs.items()}
            waiting = {tp: ends[tp] - position for tp, position in self._held.items() if ends.get(tp, 0) > position}
            self._fetched.behind = set(waiting)
            self.lag = sum(waiting.values())
        if not self.lag:
            self._progress_at, self.last_error = asyncio.get_running_loop().time(), None

    async def readiness(self) -> str | None:
        """Ready means progress: nothing paused or failing, and where events wait, a young commit."""
        if self.paused:
            return self._pauses.words()
        now = asyncio.get_running_loop().time()
        if self._busy_since is not None and now - self._busy_since > self._settings.ready_commit_age_seconds:
            # The look at the lag waits for the batch, so the lag says nothing now.
            return f"a batch has been under way for {now - self._busy_since:.0f} s"
        age = now - self._progress_at
        if self.lag and age > self._settings.ready_commit_age_seconds:
            return f"{self.lag} events wait and nothing was charged for {age:.0f} s"
        return self.last_error
