"""Measure unpacking and handing out a full batch within limits against aiokafka's own code, in pairs.

`python -m benchmarks.unpacking`. Real order events, in batches as a producer writes them, in every codec; no broker.
CPU microseconds an order, the median of the pairs' differences with the medians of both.
"""

import time
from collections.abc import Callable
from itertools import chain, islice
from statistics import median
from typing import Any, Final, NamedTuple

from aiokafka import TopicPartition
from aiokafka.consumer import fetcher
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords

from benchmarks.orders import acceptances
from shared.adapters.kafka.bounded_batches import BoundedRecords
from shared.adapters.kafka.bounded_fetch import Allowance, Arrived, BoundedPartitionRecords

EVENTS: Final = 16_000
A_BATCH: Final = 2_000
"""Events that a producer's batch holds: half a megabyte before compression."""
SLICE: Final = 100
"""Events that a poll took out of the client at once before batches were bounded."""
ROUNDS: Final = 40
CODECS: Final = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
TP: Final = TopicPartition("orders.v1.91000000FAKE00001F", 0)


class Cost(NamedTuple):
    """CPU microseconds an order."""

    before: float
    bounded: float
    difference: float


def measure() -> dict[str, Cost]:
    """By codec."""
    return {name: _compare(_answer(codec)) for name, codec in CODECS.items()}


def _answer(codec: int) -> bytes:
    events, raw = iter(acceptances(EVENTS)), bytearray()
    for number in range(EVENTS // A_BATCH):
        builder = DefaultRecordBatchBuilder(2, codec, 0, -1, -1, -1, 1 << 30)
        for offset, (_, key, value, at_ms) in enumerate(islice(events, A_BATCH)):
            builder.append(offset, at_ms, key, value, [])
        built = builder.build()
        built[:8] = (number * A_BATCH).to_bytes(8, "big")
        raw += built
    return bytes(raw)


def _compare(raw: bytes) -> Cost:
    pairs = [(_seconds(_take_as_before, raw), _seconds(_take_bounded, raw)) for _ in range(ROUNDS)]
    scaled = [(before / EVENTS * 1e6, after / EVENTS * 1e6) for before, after in pairs]
    return Cost(
        median(before for before, _ in scaled),
        median(after for _, after in scaled),
        median(after - before for before, after in scaled),
    )


def _seconds(take: Callable[[bytes], list[Any]], raw: bytes) -> float:
    began = time.process_time()
    taken = take(raw)
    spent = time.process_time() - began
    assert len(taken) == EVENTS
    return spent


def _take_bounded(raw: bytes) -> list[Any]:
    records = BoundedPartitionRecords(TP, BoundedRecords(raw), None, 0, None, None, True, 1)
    allowance, taken = Allowance(1 << 40), list[Any]()
    is_more = True
    while is_more:
        some, is_more = records.take(EVENTS, allowance)
        taken += some
    return taken


def _take_as_before(raw: bytes) -> list[Any]:
    """Unpack as aiokafka does, with lighter records and a size check after every slice."""
    records: Any = _PLAIN(TP, MemoryRecords(raw), None, 0, None, None, True, 1)
    records._consumer_record = _arrived
    slices, size = list[list[Any]](), 0
    while True:
        part = list[Any]()
        for record in records:
            part.append(record)
            if SLICE is not None and len(part) >= SLICE:
                break
        if not part:
            return list(chain.from_iterable(slices))
        slices.append(part)
        size += sum([len(record.value or b"") for record in part])


def _arrived(tp: TopicPartition, record: Any) -> Arrived:
    return Arrived(tp.topic, tp.partition, record.offset, record.timestamp, record.key, record.value, record.headers)


_PLAIN: Final = BoundedPartitionRecords.__mro__[1]
assert _PLAIN.__module__ == fetcher.__name__


if __name__ == "__main__":
    for name, cost in measure().items():
        print(f"{name:8} before {cost.before:5.2f}   bounded {cost.bounded:5.2f}   difference {cost.difference:+5.2f}")
