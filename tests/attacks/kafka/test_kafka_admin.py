"""Somebody reaches Kafka's admin protocol: groups, transactions, settings, deletion. Each is an alarm of every worker.

He starved charging while each service said "ready" and the lag was 0: it was counted over what a worker held itself.
"""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any, Final

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from services.charging.ingest.consumer import GROUP
from shared.adapters.kafka.admin.topic_survey import TopicSurvey
from shared.contracts.topics import ORDERS_PATTERN, orders_topic
from shared.domain.calendar import SHANGHAI
from tests.integration.charging.charging_harness import NOON, OTHER_RIDES, RIDES, House, Sent, accepted
from tests.integration.charging.charging_service import Field, Process, open_field
from tests.support.brokers import NO_SETTINGS, NO_TRANSACTIONS, differs
from tests.support.kafka_admin import make_topic, set_topic
from tests.support.servers import Broker, client_settings
from tests.support.waiting import eventually_async

pytestmark = pytest.mark.exhaustive

TOPIC: Final = orders_topic(RIDES)
QUICK: Final[dict[str, Any]] = {"TOPIC_LOOK_SECONDS": "0.3", "READY_COMMIT_AGE_SECONDS": "2"}


@pytest.fixture
async def field(house: House, fresh_broker: Broker) -> AsyncIterator[Field]:
    async with open_field(house, client_settings(fresh_broker)) as opened:
        yield opened


def orders(begin: int, end: int, uscc: str = RIDES, at: datetime = NOON) -> list[Sent]:
    return [accepted(f"o{n}", at, uscc=uscc, sequence=n + 1) for n in range(begin, end)]


async def lag(worker: Process) -> float:
    lines = (await worker.api.get("/metrics")).text.splitlines()
    return next(float(line.split()[-1]) for line in lines if line.startswith("danbao_charging_lag_events "))


async def test_a_stranger_in_the_group_starves_charging_and_every_worker_says_so(
    field: Field, broker_kind: str
) -> None:
    await field.make_topics(RIDES, OTHER_RIDES, partitions=4)
    async with field.worker(**QUICK) as worker:
        stranger = AIOKafkaConsumer(**field.client, group_id=GROUP, client_id="danbao-charging-" + "0" * 32)
        stranger.subscribe(pattern=ORDERS_PATTERN)
        await stranger.start()
        try:

            async def holds_some() -> bool:
                return bool(stranger.assignment())

            await eventually_async(holds_some, "the stranger's partitions")
            for tp in sorted(stranger.assignment())[:2]:
                await field.send(*orders(0, 5, tp.topic[-18:]), partition=tp.partition)
            # The embedded broker does not say who the members of a group are; what he starves is seen there, too.
            expected = ["not_charged"] if broker_kind == "embedded" else ["not_charged", "foreign_member", "unheld"]
            await worker.wait_for_reason(*expected, part="order topics")
            assert await lag(worker) >= 2, "the embedded broker names the base of a log's last batch as its end"
        finally:
            await stranger.stop()
        await field.has_counted(10)
        await eventually_async(worker.is_ready, "readiness")
        assert await lag(worker) == 0


@differs(NO_TRANSACTIONS)
async def test_a_transaction_left_open_is_an_alarm_and_holds_up_its_topic_alone(field: Field) -> None:
    await field.make_topics(RIDES, OTHER_RIDES)
    async with AIOKafkaProducer(**field.client, transactional_id="t", transaction_timeout_ms=60_000) as producer:
        async with field.worker(**QUICK) as worker:
            await producer.begin_transaction()
            await producer.send_and_wait(TOPIC, b"open", b"k", timestamp_ms=round(NOON.timestamp() * 1000))
            await field.send(*orders(0, 10), *orders(0, 10, OTHER_RIDES))
            await field.has_counted(10)
            await worker.wait_for_reason(
                "open_transaction",
                f"{TOPIC}/0: 11 events from 0 on wait behind an open transaction",
                part="order topics",
            )
            assert await lag(worker) == 11
            await producer.abort_transaction()
            await field.has_counted(20)
            await eventually_async(worker.is_ready, "readiness")


@differs(NO_SETTINGS)
async def test_a_topic_that_takes_its_senders_times_is_paused_and_nothing_back_dated_is_charged(field: Field) -> None:
    other = orders_topic(OTHER_RIDES)
    stamped = {"message.timestamp.type": "LogAppendTime"}
    await make_topic(field.client, TOPIC, message_timestamp_type="LogAppendTime")
    await make_topic(field.client, other, message_timestamp_type="LogAppendTime")
    assert await TopicSurvey(field.client, GROUP).read_settings([TOPIC]) != {}
    rules = {**QUICK, "ORDER_TIMESTAMPS": "LogAppendTime"}
    async with field.worker(wait=False, **rules) as worker:
        now = datetime.now(SHANGHAI)
        await field.send(*orders(0, 10, at=now))
        await field.has_counted(10)
        await set_topic(field.client, TOPIC, {"message.timestamp.type": "CreateTime"})

        async def is_paused(words: str) -> bool:
            return words in (await worker.get("/v1/status"))["paused"].get(TOPIC, "")

        await eventually_async(lambda: is_paused("timestamp.type is CreateTime"), "the pause")
        await worker.wait_for_reason("topic_altered", "message.timestamp.type is CreateTime", part="order topics")
        earlier = now - timedelta(days=20)
        await field.send(*orders(10, 15, at=earlier))
        await field.send(*orders(0, 10, OTHER_RIDES, at=now))
        await field.has_counted(20)
        await set_topic(field.client, TOPIC, stamped)
        await field.send(*orders(20, 25, at=now))
        await eventually_async(lambda: is_paused("senders_time"), "the pause for what was written meanwhile")
        assert await field.counted() == 20
        path = f"/v1/topics/{TOPIC}"
        (loss,) = (await worker.get(f"{path}/losses"))["losses"]
        loss.pop("reason")
        await worker.post(f"{path}/move-on", losses=[loss], why="written while anybody could")
        await field.has_counted(25)
        late = "select count(*) from charging.entry where accepted_at < $1"
        assert await field.house.value(late, now - timedelta(days=1)) == 0


@differs(NO_SETTINGS)
@pytest.mark.parametrize(
    ("name", "value"), [("max.message.bytes", "200"), ("retention.ms", "1000"), ("cleanup.policy", "compact")]
)
async def test_a_topic_that_was_set_otherwise_is_an_alarm(field: Field, name: str, value: str) -> None:
    await field.make_topics(RIDES)
    rules = {**QUICK, "ORDER_RETENTION_HOURS": "720", "ORDER_MESSAGE_BYTES": "33554432"}
    assert await TopicSurvey(field.client, GROUP).read_settings([TOPIC]) != {}
    async with field.worker(**rules) as worker:
        await set_topic(field.client, TOPIC, {name: value})
        await worker.wait_for_reason("topic_altered", f"{TOPIC}: {name} is {value}", part="order topics")
        await set_topic(field.client, TOPIC, {})
        await eventually_async(worker.is_ready, "readiness")


async def test_a_deleted_topic_is_an_alarm_and_the_others_are_charged(field: Field) -> None:
    await field.make_topics(RIDES, OTHER_RIDES)
    async with field.worker(**QUICK) as worker:
        await field.send(*orders(0, 5))
        await field.has_counted(5)
        await field.delete_topics(RIDES)
        await field.send(*orders(0, 5, OTHER_RIDES))
        await worker.wait_for_reason(f"topic_gone: {TOPIC}", part="order topics")
        await field.has_counted(10)
