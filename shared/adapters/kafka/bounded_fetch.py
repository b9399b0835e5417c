"""Have aiokafka hand out records by bytes as well as by number, from batches that were unpacked within limits.

aiokafka has no hook for either, so three of its classes are replaced in the module that fetches. This is what it leans
on; `bound_batches` refuses to run where it is gone, and a test fails when another version is installed:

- `aiokafka.consumer.fetcher` resolves `MemoryRecords`, `PartitionRecords` and `FetchResult` as globals of its module,
  and calls them with the arguments below;
- of `MemoryRecords` it uses `has_next`, `size_in_bytes` and, in `PartitionRecords` only, `next_batch`;
- of `FetchResult` it uses `getone`, `getall`, `has_more`, `check_assignment`, `calculate_backoff`;
- `PartitionRecords` has `_consume_aborted_up_to`, `_contains_abort_marker`, `_aborted_producers`, `_consumer_record`
  and `next_fetch_offset`, the position of the client once its records were handed out;
- `DefaultRecordBatch` takes any buffer, and does not decompress where a batch's attributes name no codec.
"""

import inspect
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, Final

import aiokafka
import msgspec
from aiokafka import TopicPartition
from aiokafka.consumer import fetcher

from shared.adapters.kafka.bounded_batches import (
    HEAVY_RECORD_BYTES,
    MOST_HEADERS,
    Batch,
    BoundedRecords,
    Unreadable,
    UnreadableBatch,
    is_orders,
    limits_of,
)
from shared.domain.errors import Stop

BOUND_FOR: Final = "0.14."
"""The versions of aiokafka that this was written against."""
POLL_BYTES: Final = 8 * 1024 * 1024
"""Unpacked bytes that one poll takes. Records are counted with the average of their batch, so what is taken may go
beyond it by one batch at most."""
CHUNK_EVENTS: Final = 100
"""Records taken between two checks of what is left of `POLL_BYTES`."""
HEAVY_TIMES: Final = 4
"""As how many bytes one of a batch of heavy records is counted: they are parked, for which they are copied."""
HEADER_BYTES: Final = 100
"""What a header is counted as: a pair, its name and its value, as Python keeps them."""


class Allowance:
    """Bytes that may still be taken, shared by the partitions of one poll."""

    __slots__ = ("left",)

    def __init__(self, left: int = POLL_BYTES) -> None:
        self.left = left


class Arrived(msgspec.Struct, frozen=True, gc=False):
    """Fields read of a Kafka record. aiokafka's own, with four fields more, takes three times as long to make."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


class BoundedPartitionRecords(fetcher.PartitionRecords):
    """The records of one partition in an answer, batch by batch."""

    def __init__(self, tp: TopicPartition, records: BoundedRecords, *rest: Any) -> None:
        records.limits = limits_of(tp.topic)
        super().__init__(tp, records, *rest)
        self._allowance = Allowance()
        self._open: Iterator[Any] | None = None
        self._offsets = self.next_fetch_offset, self.next_fetch_offset + 1
        self._event_bytes = 1.0
        self._unreadable: UnreadableBatch | None = None
        self._is_over = False

    def take(self, most: int, allowance: Allowance) -> tuple[list[Any], bool]:
        """Up to `most` records while the allowance lasts, and whether there are more.

        An unreadable batch is raised only when nothing was taken before it: else what was is handed out first.
        """
        self._allowance, taken = allowance, list[Any]()
        while len(taken) < most and allowance.left > 0 and not self._is_over:
            if self._open is not None or self._open_next():
                fitting = int(allowance.left / self._event_bytes) + 1
                self._take_chunk(taken, min(CHUNK_EVENTS, fitting, most - len(taken)))
        if self._unreadable is not None and not taken:
            error, self._unreadable = self._unreadable, None
            raise error
        return taken, not self._is_over or self._unreadable is not None

    def _take_chunk(self, taken: list[Any], most: int) -> None:
        before = len(taken)
        assert self._open is not None
        try:
            taken.extend(islice(self._open, most))  # those before an error stay in the list
        except Exception as error:  # noqa: BLE001 - on any error of a parser, these bytes are to blame
            self._end_at(error)
        new = len(taken) - before
        if new:
            self._allowance.left -= int(new * self._event_bytes) + 1
            self.next_fetch_offset = taken[-1].offset + 1
        if new < most and not self._is_over:
            self._open, self.next_fetch_offset = None, self._offsets[1]

    def _open_next(self) -> bool:
        """Go to the next batch whose records are to be read; False at the end, or at one that is unreadable."""
        try:
            while self._records.has_next():
                batch: Batch = self._records.next_batch()
                self._offsets = batch.first, batch.next
                if not self._is_passed_over(batch.parsed):
                    if _broker_times.required and not batch.parsed.timestamp_type and is_orders(self._tp.topic):
                        words = "its records carry times that their sender wrote"
                        raise UnreadableBatch(Unreadable.SENDERS_TIME, words, *self._offsets)
                    average = batch.bytes / max(batch.count, 1)
                    times = HEAVY_TIMES if average > HEAVY_RECORD_BYTES else 1
                    self._open, self._event_bytes = self._records_of(batch), average * times
                    return True
                self.next_fetch_offset = batch.next
            self._is_over = True
        except Exception as error:  # noqa: BLE001 - as above
            self._end_at(error)
        return False

    def _is_passed_over(self, batch: Any) -> bool:
        """True for markers of transactions, and for what was written in one that was aborted."""
        if self._isolation_level == fetcher.READ_COMMITTED and batch.producer_id is not None:
            self._consume_aborted_up_to(batch.base_offset)
            if batch.is_control_batch and self._contains_abort_marker(batch):
                self._aborted_producers.discard(batch.producer_id)
            if batch.is_transactional and batch.producer_id in self._aborted_producers:
                return True
        return bool(batch.is_control_batch)

    def _records_of(self, batch: Batch) -> Iterator[Any]:
        position = self.next_fetch_offset
        records = iter(batch.parsed)
        if batch.first < position:  # read on in the middle of a batch
            records = (record for record in records if record.offset >= position)
        is_plain = self._key_deserializer is None and self._value_deserializer is None
        return map(self._arrived if is_plain else self._deserialized, records)

    def _arrived(self, record: Any) -> Arrived:
        if headers := record.headers:
            self._count_headers(headers)
        tp = self._tp
        return Arrived(tp.topic, tp.partition, record.offset, record.timestamp, record.key, record.value, headers)

    def _deserialized(self, record: Any) -> Any:
        self._count_headers(record.headers)
        return self._consumer_record(self._tp, record)

    def _count_headers(self, headers: Sequence[object]) -> None:
        if len(headers) > MOST_HEADERS:
            raise UnreadableBatch(Unreadable.TOO_MANY_HEADERS, f"a record with {len(headers)} headers", *self._offsets)
        self._allowance.left -= HEADER_BYTES * len(headers)

    def _end_at(self, error: Exception) -> None:
        self._open, self._is_over = None, True
        if not isinstance(error, UnreadableBatch):
            error = UnreadableBatch(Unreadable.DAMAGED, repr(error), *self._offsets)
        self._unreadable = error


class _BrokerTimes:
    required = False


_broker_times: Final = _BrokerTimes()


def require_broker_times() -> None:
    """From now on read no batch of an orders topic whose records carry the times of their sender, in this process.

    A topic that stamps records itself may have been set otherwise for a while; records of that time carry any arrival
    time that their sender chose.
    """
    _broker_times.required = True


class BoundedFetchResult(fetcher.FetchResult):
    """The fetched records of one partition; the polling code sets the allowance of its poll."""

    allowance: Allowance | None = None

    def getone(self) -> Any:
        """The next record; None when there is none."""
        taken = self.getall(1)
        return taken[0] if taken else None

    def getall(self, max_records: int | None = None) -> list[Any]:
        """The next records, at most as many as wanted and as the allowance lets through; raises UnreadableBatch."""
        if not self.check_assignment(self._topic_partition) or not self.has_more():
            return []
        allowance = self.allowance or Allowance()
        taken: list[Any]
        taken, is_more = self._partition_records.take(max_records or _ALL, allowance)
        self._update_position()
        if not is_more:
            self._partition_records = None
        return taken


_ALL: Final = 1_000_000
"""Records that are taken at once where nobody says how many: the allowance ends it long before."""


def bound_batches() -> None:
    """Bound what every consumer of this process unpacks; called by all that opens one. Raises Stop where it cannot."""
    module: Any = fetcher
    if module.FetchResult is BoundedFetchResult:
        return
    wanted = {
        "MemoryRecords": None,
        "PartitionRecords": (
            "tp", "records", "aborted_transactions", "fetch_offset", "key_deserializer", "value_deserializer",
            "check_crcs", "isolation_level",
        ),
        "FetchResult": ("tp", "assignment", "partition_records", "backoff"),
    }  # fmt: skip
    for name, arguments in wanted.items():
        old = getattr(module, name, None)
        if old is None or (arguments and tuple(inspect.signature(old).parameters) != arguments):
            raise Stop(f"aiokafka {aiokafka.__version__}: {name} is not as it was, and batches cannot be bounded")
    module.MemoryRecords = BoundedRecords
    module.PartitionRecords = BoundedPartitionRecords
    module.FetchResult = BoundedFetchResult


def share_allowance(consumer: Any, allowance: Allowance) -> None:
    """Have all that is fetched and not yet handed out count against one allowance."""
    for result in consumer._fetcher._records.values():
        if isinstance(result, BoundedFetchResult):
            result.allowance = allowance
