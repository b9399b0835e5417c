"""An enterprise's producer, for replays: sends records with their own time and remembers how far they went.

Batches are large and acknowledged by all replicas; order within a key is kept. The producer never repeats a record:
a second call sends it again, and charging counts it as a repeat.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from aiokafka import AIOKafkaProducer
from aiokafka.structs import RecordMetadata

from shared.adapters.kafka.login import check_login
from shared.adapters.kafka.security import client_options
from shared.runtime.settings import Settings

LINGER_MS: Final = 5
BATCH_BYTES: Final = 512 * 1024
MOST_WAITING: Final = 20_000
"""Records that may wait for their acknowledgement; then sending waits."""
LARGEST_REQUEST_BYTES: Final = 32 * 1024 * 1024


class RecordSender:
    """Sends records; those not acknowledged yet are waited for by `flush`."""

    def __init__(self, producer: AIOKafkaProducer) -> None:
        self._producer = producer
        self._waiting: list[asyncio.Future[RecordMetadata]] = []
        self.ends: dict[tuple[str, int], int] = {}
        """(topic, partition) to the offset behind the last acknowledged record, as the broker reported it."""

    async def send(
        self, topic: str, key: bytes, value: bytes, time_ms: int, headers: Sequence[tuple[str, bytes]] = ()
    ) -> None:
        """Queue one record; the key decides the partition, as every Kafka client does it."""
        sent = await self._producer.send(topic, value, key, timestamp_ms=time_ms, headers=list(headers))
        self._waiting.append(sent)
        if len(self._waiting) >= MOST_WAITING:
            await self.flush()

    async def flush(self) -> None:
        """Wait until the broker has everything; raises the client's error for what it did not take."""
        waiting, self._waiting = self._waiting, []
        await self._producer.flush()
        for acknowledgement in waiting:
            where = acknowledgement.result() if acknowledgement.done() else await acknowledgement
            place = where.topic, where.partition
            self.ends[place] = max(self.ends.get(place, 0), where.offset + 1)


@asynccontextmanager
async def open_sender(settings: Settings) -> AsyncIterator[RecordSender]:
    """A started sender."""
    await check_login(settings)
    producer = AIOKafkaProducer(
        **client_options(settings),
        acks="all",
        enable_idempotence=settings.kafka_idempotent,
        linger_ms=LINGER_MS,
        max_batch_size=BATCH_BYTES,
        max_request_size=LARGEST_REQUEST_BYTES,
        metadata_max_age_ms=settings.kafka_metadata_max_age_ms,
    )
    await producer.start()
    try:
        yield RecordSender(producer)
    finally:
        await producer.stop()
