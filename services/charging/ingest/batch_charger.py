"""Batch charger: reads the records of a poll and writes them as one batch, in one transaction."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

import structlog

from services.charging.ingest.batch_reader import EventReader
from services.charging.ingest.topic_pauses import TopicPauses
from services.charging.metrics import Metrics
from services.charging.rows.batch import Batch, Record
from services.charging.store.batch_writer import try_batch, write_batch
from services.charging.store.day_partitions import DayPartitions
from services.charging.store.first_arrivals import find_first_arrivals
from services.charging.store.manifests import Run, read_last_number
from services.charging.store.positions import Move
from services.charging.store.refused_events import find_refused
from shared.adapters.postgres.pool import BadData, BrokenConstraint, Pool

log = structlog.get_logger(__name__)
INSERT_BATCHES_AFTER_COLLISION: Final = 16
"""Batches written with INSERT after an unexpected duplicate, because duplicates arrive in bursts."""


class BatchCharger:
    """Charges batches of one writer run."""

    def __init__(
        self,
        pool: Pool,
        reader: EventReader,
        run: Run,
        partitions: DayPartitions,
        pauses: TopicPauses,
        metrics: Metrics,
    ) -> None:
        self._pool = pool
        self._reader = reader
        self._run = run
        self._partitions = partitions
        self._pauses = pauses
        self._metrics = metrics
        self._insert_batches_left = 0

    async def charge(self, cluster_id: str, records: Sequence[Record], moves: Sequence[Move]) -> None:
        """Write the batch and move its positions. Nothing of it is certain before this returns.

        Events that the database refuses are parked; where it refuses the batch and none of its events, this raises.
        """
        try:
            await self._charge(cluster_id, records, moves, {})
            return
        except (BadData, BrokenConstraint) as error:
            refusal = error
        refused = await find_refused(records, self._try)
        if not refused:
            raise refusal
        log.error("the database refuses events", events=len(refused), first=next(iter(refused.values())))
        await self._charge(cluster_id, records, moves, refused)

    async def _charge(
        self, cluster_id: str, records: Sequence[Record], moves: Sequence[Move], refused: Mapping[int, str]
    ) -> None:
        batch = await self._read(records, refused)
        await self._partitions.ensure(batch.days)
        overruns = self._pauses.overruns(moves, batch)
        use_copy = self._insert_batches_left == 0
        async with self._pool.acquire() as connection:
            written = await write_batch(
                connection, cluster_id, self._run, batch, moves, use_copy=use_copy, overruns=overruns
            )
        self._pauses.note(moves, batch, overruns)
        left = max(0, self._insert_batches_left - 1)
        self._insert_batches_left = INSERT_BATCHES_AFTER_COLLISION if written.has_collision else left
        self._metrics.note_batch(written.manifest)
        self._metrics.unlisted.inc(len(batch.unlisted_regions))

    async def recover_number(self) -> None:
        """Read whether the last batch was committed, after an answer that did not come."""
        async with self._pool.acquire() as connection:
            await read_last_number(connection, self._run)

    async def _try(self, records: Sequence[Record]) -> BadData | BrokenConstraint | None:
        """Whether the database would take these records as a batch."""
        batch = await self._read(records, {})
        await self._partitions.ensure(batch.days)
        async with self._pool.acquire() as connection:
            return await try_batch(connection, self._run, batch)

    async def _read(self, records: Sequence[Record], refused: Mapping[int, str]) -> Batch:
        """Read a batch, with other work of the process between its steps."""
        arrivals = await find_first_arrivals(self._pool, records)
        reader = self._reader.open(records, self._run.next_batch(), refused, arrivals)
        for _ in reader.steps():
            await asyncio.sleep(0)
        return reader.batch
