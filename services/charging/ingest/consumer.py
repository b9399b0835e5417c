"""Consumer of the orders topics: polls, charges and commits batches, and recovers from a batch that failed.

`docs/architecture.md` says what remains if the process dies at each step.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Final

import structlog
from aiokafka import ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import IllegalStateError, KafkaError
from faststream.kafka import KafkaBroker

from services.charging.ingest.batch_charger import BatchCharger
from services.charging.ingest.fetch_tracker import StaleBatch
from services.charging.ingest.held_positions import HeldPositions
from services.charging.ingest.lag_watch import Progress
from services.charging.metrics import Metrics
from services.charging.settings import ChargingSettings
from services.charging.store.positions import Fenced
from shared.adapters.kafka.batch_polling import Polled, find_unreadable, is_unreadable
from shared.adapters.kafka.faststream_broker import FetchLimits, subscribe_batches
from shared.adapters.postgres.pool import BadData, BrokenConstraint
from shared.contracts.topics import ORDERS_PATTERN
from shared.domain.errors import Stop
from shared.runtime.periodic import until_done

log = structlog.get_logger(__name__)
GROUP: Final = "charging"
RETRY_SECONDS: Final = 0.2
"""A fault that stays must not become a busy loop."""


class Consumer(ConsumerRebalanceListener):
    """Charges what a poll brings, one transaction a batch.

    Calls `on_commit` after each batch, and `fail` to end the process.
    """

    def __init__(
        self,
        positions: HeldPositions,
        charger: BatchCharger,
        progress: Progress,
        metrics: Metrics,
        fail: Callable[[BaseException], None],
        on_commit: Callable[[], None],
    ) -> None:
        self._positions = positions
        self._charger = charger
        self._progress = progress
        self._metrics = metrics
        self._fail, self._on_commit = fail, on_commit
        self._is_stopping = False

    def subscribe(
        self, broker: KafkaBroker, settings: ChargingSettings, group: str, topics: str = ORDERS_PATTERN
    ) -> None:
        """Subscribe to the topics of every enterprise of this deployment."""
        subscriber = subscribe_batches(
            broker,
            settings,
            FetchLimits(settings.batch_events, settings.fetch_bytes, settings.fetch_wait_ms),
            pattern=topics,
            group=group,
            listener=self,
            handler=self,
        )
        self._positions.attach(subscriber)

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:  # noqa: ARG002 - aiokafka's name
        """Wait for the open transaction, then hold nothing."""
        async with self._positions.lock:
            self._positions.release()

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Read the cluster's id, then seek every partition to its stored position; tried until both worked."""
        partitions, positions = list(assigned), self._positions
        async with positions.lock:
            # The client has forgotten what was paused; what was wrong is checked again.
            positions.pauses.remove(positions.pauses.reasons)
            positions.release()
            try:
                await until_done("assignment", lambda: positions.begin(partitions))
            except Stop as error:
                self._stop(error)
                return
            self._progress.note()

    async def polled(self, records: Polled) -> None:
        """Note what was fetched; after a poll without records, move positions over offsets without an event."""
        positions = self._positions
        positions.fetched.note(records)
        if not records and positions.fetched.behind:
            async with positions.lock:
                await positions.pass_markers()

    async def take(self, records: Polled) -> None:
        """Charge a batch; one that fails leaves nothing held, and its positions are read and sought again."""
        if self._is_stopping:
            return
        with self._progress.batch_under_way():
            ends = await self._take(records)
            if ends is not None:
                self._on_commit()
                await self._commit_kafka_offsets(ends)

    async def _take(self, records: Polled) -> dict[TopicPartition, int] | None:
        """The new positions; None when the batch failed."""
        async with self._positions.lock:
            held = self._positions.take_out(records)
            try:
                ends = await self._charge(records, held)
            except Stop as error:
                self._stop(error)
            except (BadData, BrokenConstraint) as error:
                self._stop(Stop(f"the database refuses a batch: {error!r}"))
            except Exception as error:  # noqa: BLE001 - asyncpg raises plain ones when the server goes away
                await self._recover(list(records), error)
            else:
                self._positions.put_back(ends)
                return ends
        return None

    async def _charge(self, records: Polled, held: dict[TopicPartition, int | None]) -> dict[TopicPartition, int]:
        positions = self._positions
        moves = await positions.fetched.moves_of(positions.consumer, records, held)
        assert positions.cluster_id is not None
        in_order = [record for tp in sorted(records) for record in records[tp]]
        await self._charger.charge(positions.cluster_id, in_order, moves)
        self._progress.last_error = None
        self._progress.note()
        return {TopicPartition(move.topic, move.partition): move.next for move in moves}

    async def _recover(self, partitions: Sequence[TopicPartition], error: Exception) -> None:
        """A batch failed: nothing was written, or all was and the answer was lost. Both are read from the database."""
        is_expected = isinstance(error, StaleBatch | Fenced)
        log.log(20 if is_expected else 30, "batch dropped", why=repr(error))
        self._metrics.dropped.labels(why=type(error).__name__).inc()
        self._progress.last_error = None if is_expected else f"batches fail: {error!r}"

        async def read_again() -> None:
            await self._positions.seek(partitions)
            await self._charger.recover_number()

        if not is_expected:
            await asyncio.sleep(RETRY_SECONDS)
        await until_done("positions", read_again)

    async def poll_failed(self, error: Exception) -> None:
        """Hold nothing and read all again: when one partition raises, records polled of the others are lost."""
        log.warning("poll failed", error=repr(error))
        self._progress.last_error = f"polls fail: {error!r}"
        positions = self._positions
        async with positions.lock:
            released = positions.release()
        await asyncio.sleep(RETRY_SECONDS)
        # Not under the lock: a poll waits for a rebalance, and a rebalance waits for the lock.
        unreadable: dict[TopicPartition, Exception] = {}
        if is_unreadable(error):
            with suppress(KafkaError, IllegalStateError):
                unreadable = await find_unreadable(positions.consumer, released)
        async with positions.lock:
            for tp, why in unreadable.items():
                positions.pause(tp, f"the log cannot be read from {released[tp]} on: {why!r}")
            await until_done("positions", positions.seek_all)
            self._progress.last_error = None

    async def _commit_kafka_offsets(self, ends: dict[TopicPartition, int]) -> None:
        """Commit Kafka's own group offsets. Best effort; used only by lag monitoring."""
        consumer = self._positions.consumer
        with suppress(KafkaError, IllegalStateError, AttributeError):
            await consumer.commit({tp: end for tp, end in ends.items() if tp in consumer.assignment()})

    def _stop(self, error: BaseException) -> None:
        """Charge nothing more, even if records are still delivered: what is held may mean other events now."""
        self._is_stopping = True
        self._positions.release()
        self._fail(error)
