"""Reads from the broker where the logs of positions begin and end, and which topic they are of."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from aiokafka import AIOKafkaConsumer, TopicPartition

from services.charging.store.positions import PartitionLog, StoredPosition
from shared.adapters.kafka.admin.log_ends import LogEnds
from shared.adapters.kafka.admin.topic_ids import read_topic_ids
from shared.adapters.kafka.clients import read_cluster_id
from shared.adapters.kafka.security import Client
from shared.domain.errors import Stop


class PartitionLogs:
    """Reads the state of partitions' logs from the broker."""

    def __init__(self, client: Client) -> None:
        self._client, self._ends = client, LogEnds(client)

    async def read(
        self, consumer: AIOKafkaConsumer, partitions: Iterable[TopicPartition]
    ) -> dict[TopicPartition, PartitionLog]:
        """Read the logs as the broker lists them; an end may lag, see `confirm`."""
        wanted = list(partitions)
        first, end = await consumer.beginning_offsets(wanted), await consumer.end_offsets(wanted)
        ids = await read_topic_ids(self._client, {tp.topic for tp in wanted})
        return {tp: PartitionLog(first[tp], end[tp], ids.get(tp.topic)) for tp in wanted}

    async def confirm(
        self, logs: Mapping[TopicPartition, PartitionLog], positions: Mapping[TopicPartition, int]
    ) -> dict[TopicPartition, PartitionLog]:
        """The logs with true ends where one was below a position."""
        first, end = {tp: log.first for tp, log in logs.items()}, {tp: log.end for tp, log in logs.items()}
        true = await self._ends.true_ends(positions, first, end)
        return {tp: replace(log, end=true[tp]) for tp, log in logs.items()}


async def confirm_cluster(client: Client, known: str | None) -> str:
    """The id of the cluster that answers; raises Stop where it is another one than before."""
    cluster_id = await read_cluster_id(client)
    if known not in (None, cluster_id):
        raise Stop(f"the Kafka cluster is {cluster_id} now and was {known}: its offsets mean other events")
    return cluster_id


def describe_log_fault(charged: StoredPosition, held: int, log: PartitionLog) -> str | None:
    """Why a log does not fit what was charged of it: events that were not are gone, or replaced by others; else None.

    `charged` is no newer than the log that was read, `held` no older.
    """
    if charged.topic_id is not None and log.topic_id not in {None, charged.topic_id}:
        return f"recreated: {charged.topic_id} was charged up to {charged.position}, {log.topic_id} is there now"
    if held < log.first:
        return f"offsets {held} to {log.first - 1} are gone from the log"
    if log.end < charged.position:
        return f"the log ends at {log.end}, {charged.position} was charged: recreated?"
    return None
