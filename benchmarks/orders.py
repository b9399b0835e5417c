"""Generate events to charge, every order a different one, and preload them into the topics before a measurement.

Acceptances are spread over some 500 regions of the provinces that have joined, 16 series, three enterprises and
200,000 workers, because a worker keeps what orders have in common.
"""

import asyncio
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from itertools import count, islice
from typing import Any, Final
from zlib import crc32

from aiokafka import AIOKafkaProducer

from services.demo.generator import wire
from shared.adapters.files.regions import known_regions
from shared.adapters.files.scheme import load_scheme
from shared.adapters.kafka.clients import ensure_topics
from shared.adapters.kafka.security import client_options
from shared.contracts.topics import orders_topic
from shared.domain.calendar import SHANGHAI, since_epoch_us
from shared.runtime.settings import HOUSE, Settings

SCHEME: Final = (HOUSE / "deploy" / "tariffs", HOUSE / "deploy" / "demo")
ENTERPRISES: Final = 3
BEGIN: Final = datetime(2026, 10, 9, 11, 0, tzinfo=SHANGHAI)
SPAN: Final = timedelta(hours=2)
WORKERS: Final = 200_000
REGIONS: Final = 500
SERIES: Final = 16
PARTITIONS: Final = 4
PACE_SECONDS: Final = 0.01
SENT_TOGETHER: Final = 1_000
"""Records in one batch of the log."""

LASTING: Final = timedelta(minutes=5)
CALLED_OFF: Final = timedelta(seconds=40)
CANCELLED: Final = 12
LATE: Final = 100
LATE_BY: Final = timedelta(days=1)
REPEATED: Final = 50
REPEATED_LATER: Final = 10_000
"""Events between one and its repeat; of every other one that is repeated, none."""

Event = tuple[str, bytes, bytes, int]
"""Topic, key, value (423 bytes of an acceptance), and record time in milliseconds since 1970."""


def ride_hailing_enterprises() -> list[str]:
    """The demo's first enterprises: ride-hailing, enrolled everywhere."""
    return sorted(load_scheme(SCHEME).enterprises)[:ENTERPRISES]


def insured_regions() -> list[str]:
    """Places all over the provinces that have joined."""
    joined = load_scheme(SCHEME).joined_at
    regions = sorted(region for region in known_regions() if region[:2] in joined)
    return regions[:: max(1, len(regions) // REGIONS)]


class Writer:
    """Writes events as bytes; an order is known by its number."""

    def __init__(self) -> None:
        self._enterprises = ride_hailing_enterprises()
        self._topics = list(map(orders_topic, self._enterprises))
        self._regions = insured_regions()
        self._tokens = [sha256(f"worker {number}".encode()).hexdigest() for number in range(WORKERS)]

    def accepted(self, number: int, at: datetime, sent_at: datetime | None = None) -> Event:
        """`order.accepted.v1`, sent at once if not said otherwise."""
        order = self._order(number, at)
        return _event(order, wire.accepted(order), sent_at or at)

    def ended(self, number: int, at: datetime, sent_at: datetime) -> Event:
        """`order.completed.v1`; of each CANCELLED-th order `order.cancelled.v1`, early enough to be reversed."""
        order = self._order(number, at)
        if number % CANCELLED == 0:
            value = wire.cancelled(order, since_epoch_us(at + CALLED_OFF), "customer", departed=False)
        else:
            value = wire.completed(order, since_epoch_us(at + LASTING))
        return _event(order, value, sent_at)

    def _order(self, number: int, at: datetime) -> wire.Acceptance:
        place = number % ENTERPRISES
        return wire.Acceptance(
            accepted=since_epoch_us(at),
            topic=self._topics[place],
            uscc=self._enterprises[place],
            order_id=f"B{number:019}",
            worker=self.token(number),
            industry="ride_hailing",
            region=self.region(number),
            series=f"s{number % SERIES}",
            sequence=number + 1,
        )

    def region(self, number: int) -> str:
        """Where the order was accepted."""
        return self._regions[number * 31 % len(self._regions)]

    def token(self, number: int) -> str:
        """Who accepted the order."""
        return self._tokens[number * 7919 % WORKERS]

    def uscc(self, number: int) -> str:
        """Whose order it is."""
        return self._enterprises[number % ENTERPRISES]


def _event(order: wire.Acceptance, value: bytes, sent_at: datetime) -> Event:
    return order.topic, order.order_id.encode(), value, int(sent_at.timestamp() * 1000)


def acceptances(orders: int, begin: datetime = BEGIN, span: timedelta = SPAN, first: int = 0) -> Iterator[Event]:
    """`orders` acceptances, evenly over the span, in the order of acceptance, numbered from `first`."""
    writer, step = Writer(), span / orders
    for number in range(orders):
        yield writer.accepted(first + number, begin + number * step)


def day_mix(events: int, begin: datetime = BEGIN, span: timedelta = SPAN) -> Iterator[Event]:
    """`events` of a day, with the share of each kind as over a whole day all the time.

    Each order is accepted and ends; every twelfth is cancelled. One in a hundred is late by a day. One event in fifty
    comes twice: at once, or 10,000 events later.
    """
    return islice(_with_repeats(_orders_of_a_day(span / (events * REPEATED / (REPEATED + 1) / 2), begin)), events)


def _orders_of_a_day(step: timedelta, begin: datetime) -> Iterator[Event]:
    writer, lasting = Writer(), LASTING // step
    for number in count():
        sent_at = begin + number * step
        yield writer.accepted(number, _accepted_at(number, begin + number * step), sent_at)
        if number >= lasting:
            ended = number - lasting
            yield writer.ended(ended, _accepted_at(ended, begin + ended * step), sent_at + step)


def _accepted_at(number: int, due: datetime) -> datetime:
    return due - LATE_BY if number % LATE == LATE // 2 else due


def _with_repeats(events: Iterator[Event]) -> Iterator[Event]:
    waiting: deque[tuple[int, Event]] = deque()
    for place, event in enumerate(events):
        yield event
        if place % (2 * REPEATED) == 0:
            yield event
        elif place % REPEATED == 0:
            waiting.append((place + REPEATED_LATER, event))
        if waiting and waiting[0][0] <= place:
            yield waiting.popleft()[1]


async def preload(bootstrap: str, events: Iterable[Event]) -> None:
    """Send events, each to the partition of its key; returns when the broker has them all."""
    settings = Settings(kafka=bootstrap, kafka_idempotent=False)
    topics = [orders_topic(uscc) for uscc in ride_hailing_enterprises()]
    await ensure_topics(settings, dict.fromkeys(topics, PARTITIONS))
    async with Sender(bootstrap) as sender:
        for event in events:
            await sender.add(event)


class Sender:
    """Sends batches of records encoded here, which costs a tenth of handing them to the client one by one."""

    def __init__(self, bootstrap: str) -> None:
        self._producer = _producer(bootstrap)
        self._filling: dict[tuple[str, int], Any] = {}
        self._under_way: list[asyncio.Future[Any]] = []

    async def __aenter__(self) -> "Sender":
        await self._producer.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.flush()
        await self._producer.stop()

    async def add(self, event: Event) -> tuple[str, int]:
        """Send it with the next batch of its partition, which is returned."""
        _, key, value, at_ms = event
        place = place_of(event)
        batch = self._filling.get(place)
        if batch is None:
            batch = self._filling[place] = self._producer.create_batch()
        if batch.append(timestamp=at_ms, key=key, value=value) is None:
            await self._send(place)
            batch = self._filling[place] = self._producer.create_batch()
            assert batch.append(timestamp=at_ms, key=key, value=value) is not None
        if batch.record_count() >= SENT_TOGETHER:
            await self._send(place)
        return place

    async def flush(self) -> None:
        """Send what is left, and wait until the broker has it all."""
        for place in list(self._filling):
            await self._send(place)
        await asyncio.gather(*self._under_way)
        self._under_way.clear()

    async def _send(self, place: tuple[str, int]) -> None:
        topic, partition = place
        future = await self._producer.send_batch(self._filling.pop(place), topic, partition=partition)
        self._under_way.append(future)


def place_of(event: Event) -> tuple[str, int]:
    """The topic and partition that an event is sent to."""
    return event[0], crc32(event[1]) % PARTITIONS


async def send_evenly(bootstrap: str, events: Sequence[Event], rate: int, began: float) -> float:
    """Send the n-th event n / rate seconds after `began` (`time.monotonic`), what is due every PACE_SECONDS together.

    Returns by how many seconds the latest one left too late. One request is under way at a time, as with a client that
    lingers, so one that is slow makes the next larger.
    """
    producer, sent, latest = _producer(bootstrap), 0, 0.0
    await producer.start()
    try:
        while sent < len(events):
            await asyncio.sleep(max(PACE_SECONDS, began + sent / rate - time.monotonic()))
            now = time.monotonic() - began
            latest = max(latest, now - sent / rate)
            sent += await _send_together(producer, events[sent : sent + _most_together(now, rate, sent)])
    finally:
        await producer.stop()
    return latest


def _most_together(now: float, rate: int, sent: int) -> int:
    return min(int(now * rate) + 1 - sent, SENT_TOGETHER * PARTITIONS)


async def _send_together(producer: AIOKafkaProducer, events: Sequence[Event]) -> int:
    batches: dict[tuple[str, int], Any] = {}
    for event in events:
        place = place_of(event)
        if place not in batches:
            batches[place] = producer.create_batch()
        assert batches[place].append(timestamp=event[3], key=event[1], value=event[2]) is not None
    sending = [
        await producer.send_batch(batch, topic, partition=partition) for (topic, partition), batch in batches.items()
    ]
    await asyncio.gather(*sending)
    return len(events)


def _producer(bootstrap: str) -> AIOKafkaProducer:
    return AIOKafkaProducer(
        **client_options(Settings(kafka=bootstrap)), max_batch_size=1024 * 1024, max_request_size=16 * 1024 * 1024,
        acks="all", enable_idempotence=False,
    )  # fmt: skip
