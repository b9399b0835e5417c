"""Fetch tracker: tracks fetched ranges of offsets, to distinguish harmless gaps between offsets from lost events.

Markers of transactions and aborted records take offsets and are never delivered. A batch that begins above the held
position is complete if the client had read from that position on, and the log was not cut off above it.
"""

from collections.abc import Mapping

from aiokafka import AIOKafkaConsumer, TopicPartition

from services.charging.store.positions import Move
from shared.adapters.kafka.batch_polling import Polled


class StaleBatch(Exception):  # noqa: N818 - an expected outcome: the batch is dropped and sought again
    """A batch came for a partition whose position is not held."""


class FetchTracker:
    """Used by the one task that polls; after a seek it is called with the new positions."""

    def __init__(self) -> None:
        self._end: dict[TopicPartition, int] = {}
        self._since: dict[TopicPartition, int | None] = {}
        self.behind: set[TopicPartition] = set()
        """Partitions whose logs end above their positions: there are events, or only markers."""

    def resume_from(self, positions: Mapping[TopicPartition, int]) -> None:
        """The client reads on from these positions."""
        self._end.update(positions)

    def note(self, polled: Polled) -> None:
        """A poll brought these records; they are handled before the next one."""
        self._since = {tp: self._end.get(tp) for tp in polled}
        self._end.update({tp: records[-1].offset + 1 for tp, records in polled.items() if records})

    async def moves_of(
        self, consumer: AIOKafkaConsumer, batch: Polled, held: Mapping[TopicPartition, int | None]
    ) -> list[Move]:
        """The moves of held positions by this batch; raises StaleBatch when it does not begin where they are."""
        moves, gaps = [], {}
        for tp, position in held.items():
            mine = batch[tp]
            if position is None or mine[0].offset < position:
                raise StaleBatch(f"{tp.topic}/{tp.partition}: not held")
            if mine[0].offset > position:
                if self._since.get(tp) != position:
                    raise StaleBatch(f"{tp.topic}/{tp.partition}: nothing between {position} and {mine[0].offset}")
                gaps[tp] = position
            moves.append(Move(tp.topic, tp.partition, position, mine[-1].offset + 1, len(mine)))
        await _check_gaps(consumer, gaps)
        return moves

    async def find_passed(
        self, consumer: AIOKafkaConsumer, held: Mapping[TopicPartition, int]
    ) -> tuple[list[TopicPartition], list[Move]]:
        """Called after a poll without records, when all that came before was handled; clears `behind`.

        Returns the partitions of which something came and was never handled, and the moves over offsets without events.
        """
        behind, self.behind = self.behind & held.keys(), set()
        lost = [tp for tp in behind if self._end.get(tp) != held[tp]]
        reached = {tp: await consumer.position(tp) for tp in sorted(behind.difference(lost))}
        # Read after the positions: a log that is cut off, too, lets the client go on at another place.
        first = await consumer.beginning_offsets(list(reached)) if reached else {}
        passed = {tp: position for tp, position in reached.items() if first[tp] <= held[tp] < position}
        return lost, [Move(tp.topic, tp.partition, held[tp], position, 0) for tp, position in passed.items()]


async def _check_gaps(consumer: AIOKafkaConsumer, gaps: Mapping[TopicPartition, int]) -> None:
    """Nothing came from these positions: markers, compaction; or the log was cut off above them."""
    if not gaps:
        return
    first = await consumer.beginning_offsets(list(gaps))
    for tp, position in gaps.items():
        if first[tp] > position:
            raise StaleBatch(f"{tp.topic}/{tp.partition}: the log begins at {first[tp]}")
