"""An enterprise sends batches that unpack to gigabytes, or lie about what they hold: its own topic is paused.

The worker's memory stays under 300 MB throughout, and every other enterprise is charged. A few kilobytes ended charging
for all of them once, at every start.
"""

import asyncio
import struct
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Final

import aiokafka
import cramjam
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.consumer import fetcher

from shared.adapters.kafka.batch_polling import find_unreadable
from shared.adapters.kafka.bounded_batches import (
    INTERNAL_LIMITS,
    ORDER_LIMITS,
    BoundedRecords,
    Unreadable,
    UnreadableBatch,
    limits_of,
)
from shared.adapters.kafka.bounded_fetch import BOUND_FOR, POLL_BYTES, BoundedFetchResult, bound_batches
from shared.adapters.kafka.clients import LARGEST_REQUEST_BYTES
from shared.contracts.topics import MANIFESTS, orders_topic
from tests.attacks.kafka.raw_batches import CODECS, MIB, batch, bomb, headers, pack, record, send, varint, zeros
from tests.integration.charging.charging_harness import NOON, OTHER_RIDES, RIDES, House, Sent, accepted
from tests.integration.charging.charging_service import Field, Process, open_field
from tests.support.kafka_admin import make_topic
from tests.support.servers import Broker, client_of, client_settings
from tests.support.waiting import eventually_async

pytestmark = pytest.mark.exhaustive

MOST_MEMORY: Final = 300_000_000
NOON_MS: Final = round(NOON.timestamp() * 1000)
ENEMIES: Final = [f"91000000FAKE0009{n}X" for n in range(4)]
"""Enterprises whose topics need no enrolment: any client with the right to write one can send this."""
BOMB_BYTES: Final = {"gzip": 192 * MIB, "lz4": 192 * MIB, "zstd": 400 * MIB, "snappy": 20 * MIB}
"""What each codec brings out of less than the megabyte that a broker takes."""


def read(raw: bytes, topic: str = orders_topic(RIDES)) -> list[Any]:
    records = BoundedRecords(raw)
    records.limits, values = limits_of(topic), list[Any]()
    while records.has_next():
        values += records.next_batch().parsed
    return values


def refusal(raw: bytes, topic: str = orders_topic(RIDES)) -> UnreadableBatch:
    with pytest.raises(UnreadableBatch) as refused:
        read(raw, topic)
    return refused.value


@pytest.mark.parametrize("codec", [None, *CODECS])
def test_what_fits_is_unpacked_as_it_was_packed(codec: str | None) -> None:
    values = [b"order %d" % n * (n + 1) for n in range(200)] + [b"x" * (2 * MIB)]
    pieces = [record(value, n) for n, value in enumerate(values)]
    for records in (read(batch(pack(codec, pieces), codec=codec, count=len(values))),):
        assert [read_record.value for read_record in records] == values
        assert [read_record.offset for read_record in records] == list(range(len(values)))


def test_java_and_others_frame_snappy_in_two_ways() -> None:
    packed = bytes(cramjam.snappy.compress_raw(record(b"one block")))
    assert [read_record.value for read_record in read(batch(packed, codec="snappy"))] == [b"one block"]
    lie = b"\xff\xff\xff\xff\x0f" + packed[1:]  # a block that says it holds four gigabytes
    assert refusal(batch(lie, codec="snappy")).reason == Unreadable.TOO_LARGE
    block = pack("snappy", [b""]) + struct.pack(">i", -5) + b"aaaa"
    assert refusal(batch(block, codec="snappy")).reason == Unreadable.DAMAGED


@pytest.mark.parametrize("codec", CODECS)
def test_a_bomb_is_refused_with_the_offsets_that_it_takes(codec: str) -> None:
    raw = bomb(codec, BOMB_BYTES[codec])
    assert len(raw) < MIB
    refused = refusal(raw)
    assert (refused.reason, refused.first, refused.next) == (Unreadable.TOO_LARGE, 0, 1)
    assert refusal(raw, MANIFESTS).reason == Unreadable.TOO_LARGE if codec != "snappy" else read(raw, MANIFESTS)


def test_a_frame_that_lies_about_its_size_is_refused() -> None:
    honest = bytearray(pack("zstd", [record(b"x" * 1000)]))
    whole = bytearray(cramjam.zstd.compress(record(b"x" * 1000)))
    assert whole[4] & 0xC0 == 0x40, "a frame with its size in two bytes"
    whole[6 if not whole[4] & 0x20 else 5] ^= 0x70
    assert refusal(batch(bytes(whole), codec="zstd")).reason == Unreadable.DAMAGED
    assert refusal(batch(bytes(honest[:-3]), codec="zstd")).reason == Unreadable.DAMAGED


LIES: Final = {
    "more records than there are": batch(record(b"v"), count=2_000_000_000, last=0),
    "fewer records than there are": batch(record(b"v") + record(b"w", 1), count=1),
    "less than none": batch(record(b"v"), count=-1, last=0),
    "nothing": batch(b""),
    "a length beyond the end": batch(varint(1 << 40)),
    "a length without an end": batch(b"\xff" * 20),
    "a key beyond all memory": batch(varint(12) + b"\0\0\0" + varint((1 << 63) - 1) + b"aaaa"),
    "a value beyond the end": batch(varint(12) + b"\0\0\0\1" + varint(1 << 62) + b"aaaa"),
    "headers beyond the end": batch(record(b"v", headers=varint(1 << 40))),
    "a header's name that is no text": batch(record(b"v", headers=varint(1) + varint(1) + b"\xff" + varint(-1))),
}


@pytest.mark.parametrize("raw", LIES.values(), ids=LIES.keys())
def test_counts_and_lengths_that_lie_are_refused(raw: bytes) -> None:
    with pytest.raises(Exception) as refused:  # noqa: PT011 - the fetch makes an UnreadableBatch of any error
        read(raw)
    assert not isinstance(refused.value, MemoryError)


def test_what_is_too_large_or_too_old_is_refused_before_it_is_parsed() -> None:
    crowd = record(b"v", headers=headers(600_000))
    assert refusal(batch(pack("zstd", [crowd]), codec="zstd")).reason == Unreadable.TOO_MANY_HEADERS
    assert refusal(batch(crowd)).reason == Unreadable.TOO_MANY_HEADERS
    assert refusal(batch(pack("zstd", zeros(9 * MIB)), codec="zstd")).reason == Unreadable.RECORD_TOO_LARGE
    assert refusal(batch(record(b"x" * (17 * MIB)))).reason == Unreadable.TOO_LARGE
    assert refusal(batch(record(b"v"), magic=1)).reason == Unreadable.OLD_FORMAT
    assert refusal(batch(record(b"v"))[:-1] + b"?").reason == Unreadable.DAMAGED


def test_the_limits_let_through_what_our_own_producers_may_send() -> None:
    assert INTERNAL_LIMITS.batch_bytes >= LARGEST_REQUEST_BYTES
    assert ORDER_LIMITS.batch_bytes >= ORDER_LIMITS.record_bytes >= 64 * 1024


def test_this_version_of_the_client_is_the_one_that_is_bounded() -> None:
    """A new aiokafka: read the list in `bounded_fetch`, then change BOUND_FOR."""
    assert aiokafka.__version__.startswith(BOUND_FOR)
    bound_batches()
    module: Any = fetcher
    assert module.MemoryRecords is BoundedRecords
    assert module.FetchResult is BoundedFetchResult


@pytest.fixture
async def field(house: House, fresh_broker: Broker) -> AsyncIterator[Field]:
    async with open_field(house, client_settings(fresh_broker)) as opened:
        await opened.make_topics(RIDES, OTHER_RIDES, *ENEMIES)
        yield opened


def peak(process: Process) -> int:
    """The most bytes that it ever held; the kernel keeps it."""
    lines = Path(f"/proc/{process.child.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


async def paused(worker: Process) -> dict[str, str]:
    reasons: dict[str, str] = (await worker.get("/v1/status"))["paused"]
    return reasons


def honest(uscc: str, count: int = 20) -> Iterator[Sent]:
    return (accepted(f"{uscc[-6:]}-{n}", uscc=uscc, sequence=n + 1) for n in range(count))


async def test_bombs_in_every_codec_on_many_topics_at_once_pause_these_alone(field: Field) -> None:
    codecs = dict(zip(ENEMIES, BOMB_BYTES, strict=True))
    for enemy, codec in codecs.items():
        await field.send(*honest(enemy))
        await send(field.client, orders_topic(enemy), bomb(codec, BOMB_BYTES[codec], time_ms=NOON_MS))
        await field.send(*honest(enemy, 5))
    await field.send(*honest(OTHER_RIDES, 200))
    async with field.worker(wait=False) as worker:
        await field.has_counted(200 + 20 * len(ENEMIES))

        async def are_paused() -> bool:
            return set(await paused(worker)) == set(map(orders_topic, ENEMIES))

        await eventually_async(are_paused, "the pauses")
        for why in (await paused(worker)).values():
            assert "cannot be read from 20 on: batch_too_large" in why
        await worker.wait_for_reason("batch_too_large")
        await field.send(*honest(RIDES, 50))
        await field.has_counted(250 + 20 * len(ENEMIES))
        assert peak(worker) < MOST_MEMORY


async def test_batches_that_just_fit_and_junk_do_not_add_up(field: Field) -> None:
    """Many of the largest that are read at all, on all topics at once: parked, and never all in memory."""
    size = 400 * 1024
    junk = [record(b"{" * size, n) for n in range(30)]
    fits = batch(pack("zstd", junk), codec="zstd", count=len(junk), time_ms=NOON_MS)
    crowd = [record(b"v", n, headers=headers(500)) for n in range(8_000)]
    crowded = batch(pack("zstd", crowd), codec="zstd", count=len(crowd), time_ms=NOON_MS)
    assert max(len(fits), len(crowded)) < MIB
    for enemy in ENEMIES:
        await asyncio.gather(*(send(field.client, orders_topic(enemy), fits) for _ in range(4)))
    await send(field.client, orders_topic(RIDES), crowded)
    plain = batch(record(b"[" * 900_000), time_ms=NOON_MS)
    for _ in range(12):
        await send(field.client, orders_topic(ENEMIES[0]), plain)
    await field.send(*honest(OTHER_RIDES, 200))
    async with field.worker(wait=False) as worker:
        charged = "select count(*) from charging.entry"

        async def are_charged() -> bool:
            return bool(await field.house.value(charged) == 200)

        async def are_paused() -> bool:
            return {orders_topic(RIDES), *map(orders_topic, ENEMIES)} <= set(await paused(worker))

        await eventually_async(are_charged, "the honest enterprise's orders")
        await eventually_async(are_paused, "the pauses")
        assert "were parked" in (await paused(worker))[orders_topic(ENEMIES[1])]
        assert peak(worker) < MOST_MEMORY


async def test_the_search_for_an_unreadable_batch_keeps_nothing(broker: Broker) -> None:
    """A poll ends by bytes, and what is readable in front of such a batch is not thrown away with it."""
    topic = orders_topic("91000000FAKE00077X")
    await make_topic(client_of(broker), topic)
    full = batch(pack("zstd", [record(bytes(MIB), n) for n in range(12)]), codec="zstd", count=12)
    await send(client_of(broker), topic, full)
    await send(client_of(broker), topic, bomb("zstd", 100 * MIB))
    bound_batches()
    async with AIOKafkaConsumer(**client_of(broker), auto_offset_reset="earliest") as consumer:
        tp = TopicPartition(topic, 0)
        consumer.assign([tp])
        first = (await consumer.getmany(tp, timeout_ms=10_000))[tp]
        assert sum(len(message.value) for message in first) <= POLL_BYTES + ORDER_LIMITS.batch_bytes
        assert await find_unreadable(consumer, {tp: 0}) == {}
        unreadable = (await find_unreadable(consumer, {tp: 12}))[tp]
        assert isinstance(unreadable, UnreadableBatch)
        assert (unreadable.reason, unreadable.first, unreadable.next) == (Unreadable.TOO_LARGE, 12, 13)


async def test_an_operator_moves_on_past_a_bomb_and_what_follows_is_charged(field: Field) -> None:
    await field.send(*honest(RIDES))
    await send(field.client, orders_topic(RIDES), bomb("zstd", 100 * MIB, time_ms=NOON_MS))
    await field.send(*(accepted(f"after-{n}", sequence=100 + n) for n in range(5)))
    async with field.worker(wait=False) as worker:
        await field.has_counted(20)

        async def is_paused() -> bool:
            return orders_topic(RIDES) in await paused(worker)

        await eventually_async(is_paused, "the pause")
        path = f"/v1/topics/{orders_topic(RIDES)}"
        (loss,) = (await worker.get(f"{path}/losses"))["losses"]
        assert (loss["from_offset"], loss["to_offset"]) == (20, 21)
        assert loss.pop("reason").startswith("unreadable: batch_too_large at offset 20")
        await worker.post(f"{path}/move-on", losses=[loss], why="the enterprise sends them again")
        await field.has_counted(25)
        await eventually_async(worker.is_ready, "readiness")
