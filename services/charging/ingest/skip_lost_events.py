"""Skip lost events: moves a position over offsets that cannot be read any more, by an operator's decision.

The enterprise sends lost events again, or they stay uncharged. The operator is shown the lost ranges first. A position
is moved by compare-and-set to where its log begins now, and its old value is kept with who decided so and why; workers
follow by themselves.
"""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from aiokafka import TopicPartition

from services.charging.ingest.partition_logs import PartitionLogs, describe_log_fault
from services.charging.store.positions import PartitionLog, StoredPosition
from shared.adapters.kafka.admin.log_ends import open_onlooker
from shared.adapters.kafka.batch_polling import find_unreadable_batches
from shared.adapters.kafka.security import Client
from shared.adapters.postgres.pool import Pool
from shared.domain.errors import Refused

OffsetSpan = tuple[int, int, int]
"""A partition, the offset it was charged up to, and the one it is read on from."""


@dataclass(frozen=True, slots=True)
class LostRange:
    """One partition that cannot be read on: where it was charged up to, where it would be read on from."""

    partition: int
    from_offset: int
    to_offset: int
    reason: str


class LostEventSkipper:
    """Reads logs with a separate client: any worker can do it, also one that does not hold the topic."""

    def __init__(
        self, pool: Pool, client: Client, cluster_id: Callable[[], str | None], paused: Collection[str]
    ) -> None:
        self._pool, self._client = pool, client
        self._cluster_id, self._paused = cluster_id, paused
        self._logs = PartitionLogs(client)

    async def find(self, topic: str) -> list[LostRange]:
        """Find the losses; raises Refused when the topic does not exist, or the cluster is not known yet."""
        return [loss for loss, _ in await self._read_losses(topic)]

    async def move(self, topic: str, shown: Iterable[OffsetSpan], why: str, who: str) -> int:
        """Move the positions that were shown, all or none; raises Refused when something is otherwise by now."""
        lost = await self._read_losses(topic)
        if sorted(shown) != [(loss.partition, loss.from_offset, loss.to_offset) for loss, _ in lost]:
            raise Refused(f"{topic} is not as it was shown; read the losses again")
        async with self._pool.acquire() as connection, connection.transaction():
            for loss, log in lost:
                moved = await connection.fetchval(
                    "select charging.move_on($1, $2, $3, $4, $5, $6, $7, $8, $9)",
                    self._cluster_id(), topic, loss.partition, loss.from_offset, loss.to_offset, log.topic_id,
                    loss.reason, who, why,
                )  # fmt: skip
                if not moved:
                    raise Refused(f"{topic}/{loss.partition} is no more at {loss.from_offset}; read the losses again")
        return len(lost)

    async def _read_losses(self, topic: str) -> list[tuple[LostRange, PartitionLog]]:
        rows = await self._pool.fetch(
            "select partition, next_offset, topic_id from charging.position where (cluster_id, topic) = ($1, $2)",
            self._cluster_id(),
            topic,
        )
        places = {
            TopicPartition(topic, row["partition"]): StoredPosition(row["next_offset"], row["topic_id"]) for row in rows
        }
        async with open_onlooker(self._client) as client:
            logs = await self._logs.read(client, places)
            logs = await self._logs.confirm(logs, {tp: place.position for tp, place in places.items()})
            faults = {tp: describe_log_fault(place, place.position, logs[tp]) for tp, place in places.items()}
            spans = {
                tp: (place.position, logs[tp].end)
                for tp, place in places.items()
                if faults[tp] is None and place.position < logs[tp].end and topic in self._paused
            }
            unreadable = await find_unreadable_batches(client, spans)
        losses = [
            (LostRange(tp.partition, places[tp].position, logs[tp].first, fault), logs[tp])
            for tp, fault in faults.items()
            if fault is not None
        ]
        losses += [
            (LostRange(tp.partition, places[tp].position, batch.next, f"unreadable: {batch}"), logs[tp])
            for tp, batch in unreadable.items()
        ]
        return sorted(losses, key=lambda loss: loss[0].partition)
