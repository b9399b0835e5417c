"""Finds where a log really ends.

A broker's list of end offsets may lag behind it: the embedded one names the base of the last batch. Behind a held
position that would indicate a recreated log, so a suspicion is confirmed by a fetch, whose high watermark is right on
every broker tried.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import CorruptRecordException, KafkaError

from shared.adapters.kafka.bounded_fetch import bound_batches
from shared.adapters.kafka.security import Client
from shared.domain.errors import Refused

CONFIRM_SECONDS: Final = 5.0


@asynccontextmanager
async def open_onlooker(client: Client) -> AsyncIterator[AIOKafkaConsumer]:
    """A client of no group that only reads about logs; Refused when the broker does not answer."""
    bound_batches()
    onlooker = AIOKafkaConsumer(**client, enable_auto_commit=False, request_timeout_ms=5_000)
    try:
        await onlooker.start()
        yield onlooker
    except KafkaError as error:
        raise Refused(f"the broker does not answer: {error!r}") from error
    finally:
        await onlooker.stop()


class LogEnds:
    """Remembers what a reported end turned out to mean, so that a quiet log is queried once."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._known: dict[TopicPartition, tuple[int, int]] = {}

    async def true_ends(
        self, held: Mapping[TopicPartition, int], first: Mapping[TopicPartition, int], end: Mapping[TopicPartition, int]
    ) -> dict[TopicPartition, int]:
        """The end of each partition's log; ends reported below the held position are checked by a fetch."""
        ends = {tp: end[tp] for tp in held}
        for tp, (reported, true) in self._known.items():
            if ends.get(tp) == reported:
                ends[tp] = true
        suspects = {tp: max(first[tp], end[tp] - 1) for tp, position in held.items() if ends[tp] < position}
        if suspects:
            for tp, true in (await self._fetch_ends(suspects)).items():
                self._known[tp] = (end[tp], true)
                ends[tp] = max(true, end[tp])
        return ends

    async def _fetch_ends(self, starts: Mapping[TopicPartition, int]) -> dict[TopicPartition, int]:
        bound_batches()
        consumer = AIOKafkaConsumer(**self._client, enable_auto_commit=False, max_partition_fetch_bytes=1)
        await consumer.start()
        try:
            consumer.assign(list(starts))
            for tp, start in starts.items():
                consumer.seek(tp, start)
            ends: dict[TopicPartition, int] = {}
            deadline = asyncio.get_running_loop().time() + CONFIRM_SECONDS
            while len(ends) < len(starts) and asyncio.get_running_loop().time() < deadline:
                with suppress(CorruptRecordException):  # the answer says the end, with any records
                    await consumer.getmany(timeout_ms=200, max_records=1)
                ends |= {tp: mark for tp in starts if (mark := consumer.highwater(tp)) is not None}
            return ends
        finally:
            await consumer.stop()
