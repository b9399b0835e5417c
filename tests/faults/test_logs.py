"""What becomes of a log under a worker: aborted transactions, cut off, expired, recreated, its broker killed.

One topic is concerned; the others go on. Nothing is skipped in silence: what cannot be charged is named, from where
to where.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime

import pytest
from aiokafka import AIOKafkaProducer

from shared.contracts.topics import orders_topic
from shared.domain.calendar import SHANGHAI
from tests.faults.order_stream import (
    ENTERPRISES,
    FETCHED_TOO_EARLY,
    asleep,
    assert_exact,
    metric,
    pouring,
    small_batches,
)
from tests.integration.charging.charging_harness import NOON, OTHER_RIDES, RIDES, House, Sent, accepted
from tests.integration.charging.charging_service import Field, Process, open_field
from tests.support.apache_kafka import ApacheKafka
from tests.support.brokers import NO_CONFIGURED_TIMES, NO_RETENTION, NO_TRANSACTIONS, NOTHING_ON_DISK, differs
from tests.support.kafka_admin import bounds, delete_records, make_topic, set_topic
from tests.support.servers import Broker, client_settings
from tests.support.waiting import eventually_async

pytestmark = pytest.mark.exhaustive

TOPIC = orders_topic(RIDES)
NOON_MS = round(NOON.timestamp() * 1000)


@pytest.fixture
async def field(house: House, fresh_broker: Broker) -> AsyncIterator[Field]:
    async with open_field(house, client_settings(fresh_broker)) as opened:
        await opened.make_topics(RIDES, OTHER_RIDES)
        yield opened


def orders(first: int, last: int, uscc: str = RIDES) -> list[Sent]:
    return [accepted(f"o{n}", uscc=uscc, sequence=n + 1) for n in range(first, last)]


@asynccontextmanager
async def open_transactions(field: Field) -> AsyncIterator[AIOKafkaProducer]:
    producer = AIOKafkaProducer(**field.client, transactional_id="an enterprise")
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


async def transact(producer: AIOKafkaProducer, sent: list[Sent], commits: bool) -> None:
    """One transaction over partition 0 of the enterprises' topics."""
    await producer.begin_transaction()
    for event in sent:
        await producer.send_and_wait(orders_topic(event.uscc), event.value, timestamp_ms=NOON_MS, partition=0)
    await (producer.commit_transaction() if commits else producer.abort_transaction())


def all_of(field: Field, sql: str, wanted: int) -> Callable[[], Awaitable[bool]]:
    async def is_so() -> bool:
        return bool(await field.house.value(sql) == wanted)

    return is_so


@differs(NO_TRANSACTIONS)
async def test_what_a_producer_aborted_is_not_charged(field: Field) -> None:
    """Aborted events and the markers of transactions take offsets: a position is no count of events."""
    async with field.worker(BATCH_EVENTS="7") as worker, open_transactions(field) as producer:
        for n in range(0, 60, 10):
            both = orders(n, n + 10) + orders(n, n + 10, OTHER_RIDES)
            await transact(producer, both, commits=n % 20 == 0)
        await field.has_counted(60)
        charged = {int(name[1:]) for (name,) in await field.house.fetch("select order_id from charging.entry")}
        assert charged == {n for n in range(60) if n % 20 < 10}
        assert await field.house.value("select sum(events) from charging.position") == 60
        assert await bounds(field.client, TOPIC) == (0, 66)
        assert await metric(worker, 'danbao_charging_batches_dropped_total{why="Stale"}') <= FETCHED_TOO_EARLY
        await field.send(*orders(60, 70))
        await field.has_counted(70)


@differs(NO_TRANSACTIONS)
async def test_a_marker_at_the_end_of_a_log_is_nothing_that_waits(field: Field) -> None:
    """Nor is it a loss when it expires with all that came before it."""
    async with field.worker(READY_COMMIT_AGE_SECONDS="1") as worker, open_transactions(field) as producer:
        await transact(producer, orders(0, 10), commits=True)
        await transact(producer, orders(10, 20), commits=False)
        await field.has_counted(10)
        position = f"select next_offset from charging.position where topic = '{TOPIC}'"
        await eventually_async(all_of(field, position, 22), "the position behind what was aborted")

        async def nothing_waits() -> bool:
            return await metric(worker, "danbao_charging_lag_events") == 0

        await eventually_async(nothing_waits, "no lag")
        await eventually_async(worker.is_ready, "readiness")
        await delete_records(field.client, TOPIC, 22)
        await transact(producer, orders(20, 30), commits=True)
        await field.has_counted(20)
        assert (await worker.get("/v1/status"))["paused"] == {}


async def cut_off(field: Field) -> None:
    await delete_records(field.client, TOPIC, 80)


async def expire(field: Field) -> None:
    """Everything that is there now: its record times are long ago."""
    await set_topic(field.client, TOPIC, {"retention.ms": "1000"})

    async def is_empty() -> bool:
        return await bounds(field.client, TOPIC) == (80, 80)

    await eventually_async(is_empty, "retention")
    await set_topic(field.client, TOPIC, {"retention.ms": "-1"})


async def is_reported(worker: Process, words: str) -> bool:
    return words in (await worker.get("/v1/status"))["paused"].get(TOPIC, "")


@differs(NO_RETENTION)
@pytest.mark.parametrize("lose", [cut_off, expire])
async def test_events_dropped_unread_are_named_and_the_other_topics_go_on(
    field: Field, lose: Callable[[Field], Awaitable[None]]
) -> None:
    async with field.worker():
        await field.send(*orders(0, 50), *orders(0, 50, OTHER_RIDES))
        await field.has_counted(100)
    await field.send(*orders(50, 80), *orders(50, 80, OTHER_RIDES))
    await lose(field)
    await field.send(*orders(80, 90))
    async with field.worker(wait=False) as worker:
        await eventually_async(worker.is_listening, "an answer")
        await eventually_async(lambda: is_reported(worker, "offsets 50 to 79 are gone"), "the alarm")
        await field.has_counted(130)
        await worker.wait_for_reason("offsets 50 to 79 are gone")
        assert await metric(worker, f'danbao_charging_topic_paused{{topic="{TOPIC}"}}') == 1
        await field.send(*orders(80, 100, OTHER_RIDES))
        await field.has_counted(150)
        assert await field.house.value(f"select next_offset from charging.position where topic = '{TOPIC}'") == 50


@differs(NO_RETENTION)
async def test_an_offset_out_of_range_is_no_leave_to_skip(field: Field) -> None:
    """The log is cut off while the worker sleeps: its client then begins at the new start, without a word."""
    async with field.worker() as worker:
        await field.send(*orders(0, 50))
        await field.has_counted(50)
        async with asleep(worker):
            await field.send(*orders(50, 80))
            await delete_records(field.client, TOPIC, 80)
            await field.send(*orders(80, 90))
        await eventually_async(lambda: is_reported(worker, "offsets 50 to 79 are gone"), "the alarm")
        await field.send(*orders(0, 20, OTHER_RIDES))
        await field.has_counted(70)


async def test_a_log_made_anew_and_grown_beyond_the_position_is_not_read_on(field: Field) -> None:
    """Events of the new log up to the position were never charged; only the topic's id shows that it was recreated."""
    async with field.worker():
        await field.send(*orders(0, 50))
        await field.has_counted(50)
    await field.delete_topics(RIDES)
    await field.make_topics(RIDES)
    await field.send(*orders(100, 180))
    async with field.worker(wait=False) as worker:
        await eventually_async(worker.is_listening, "an answer")
        await is_not_read_on(field, worker)


async def is_not_read_on(field: Field, worker: Process) -> None:
    """Its topic is paused, and the other is read."""
    counted = await field.counted()
    await eventually_async(lambda: is_reported(worker, "recreated"), "the alarm")
    await field.send(*orders(counted, counted + 20, OTHER_RIDES))
    await field.has_counted(counted + 20)


@differs(NOTHING_ON_DISK)
async def test_the_broker_is_killed_under_load_and_started_again(field: Field, fresh_broker: Broker) -> None:
    """Every event in the logs is counted once.

    An idempotent producer may write a batch twice here: started again, Kafka forgets the producers whose last record
    is a day old, and these records carry the times of a month long past.
    """
    await field.make_topics(ENTERPRISES[2])
    async with small_batches(field) as one, small_batches(field) as two, pouring(field) as load:
        for _ in range(2):
            await load.goes_on()
            kafka = kill(fresh_broker)
            await eventually_async(lambda: is_unready(one), "a worker without a broker says so")
            kafka.restart()
            await load.goes_on()
        await load.stops()
        written = sum([(await bounds(field.client, orders_topic(uscc)))[1] for uscc in ENTERPRISES])
        await assert_exact(field, load.sent, written - load.sent)
        for worker in (one, two):
            assert worker.child.poll() is None
            await eventually_async(worker.is_ready, "readiness")

        async def is_published() -> bool:
            return bool((await one.get("/v1/status"))["unpublished"] == 0)

        await eventually_async(is_published, "an empty outbox")


def kill(broker: Broker) -> ApacheKafka:
    """SIGKILL; it can be started again on its log. The embedded broker has none."""
    if not isinstance(broker, ApacheKafka):
        pytest.fail("killed, it would have lost everything")
    broker.kill()
    return broker


async def is_unready(worker: Process) -> bool:
    return not await worker.is_ready()


@pytest.mark.parametrize(
    ("times", "outcome"),
    [("CreateTime", "parked"), pytest.param("LogAppendTime", "charged", marks=differs(NO_CONFIGURED_TIMES))],
)
async def test_the_time_of_an_event_is_what_the_topic_says(
    house: House, fresh_broker: Broker, times: str, outcome: str
) -> None:
    """A producer whose clock is decades behind: its own word, or the broker's."""
    async with open_field(house, client_settings(fresh_broker)) as field:
        await make_topic(field.client, TOPIC, message_timestamp_type=times)
        await make_topic(field.client, "clock", message_timestamp_type="LogAppendTime")
        async with AIOKafkaProducer(**field.client) as producer:
            moment = (await producer.send_and_wait("clock", b"what is the time?", timestamp_ms=1)).timestamp
        at = datetime.fromtimestamp(moment // 1000, SHANGHAI)
        async with field.worker():
            await field.send(Sent(accepted("o1", at).value, time_ms=946_684_800_000))
            await field.has_counted(1)
            ended = {"charged": "select count(*) from charging.entry", "parked": "select count(*) from charging.parked"}
            assert {name: await house.value(sql) for name, sql in ended.items()} == dict.fromkeys(ended, 0) | {
                outcome: 1
            }
