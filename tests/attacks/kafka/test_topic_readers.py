"""Strangers at the internal topics: in the old consumer groups, in open transactions, with the logs themselves."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha256

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic, RecordsToDelete

from services.demo.running.system import settings_of
from shared.adapters.kafka.clients import read_cluster_id
from shared.adapters.kafka.internal.internal_topics import InternalTopics
from shared.adapters.kafka.internal.topic_reader import TopicReader
from shared.adapters.postgres.pool import Pool, open_pool
from shared.adapters.postgres.topic_store import Place, TopicStore
from shared.contracts.quarantine import Message, Quarantined, QuarantineReason
from shared.contracts.topics import REMITTANCES
from shared.domain.errors import Retry
from shared.runtime.settings import Settings
from tests.integration.ledger.ledger_harness import open_ledger
from tests.support.brokers import NO_RETENTION, NO_TRANSACTIONS, differs
from tests.support.servers import Broker, client_of, client_settings
from tests.support.waiting import eventually_async

pytestmark = pytest.mark.exhaustive

OLD_GROUP = f"ledger-{REMITTANCES}"


@dataclass
class Bench:
    """A topic, a database, and readers that remember what they handled."""

    broker: Broker
    pool: Pool
    settings: Settings
    handled: list[bytes] = field(default_factory=list)

    @property
    def store(self) -> TopicStore:
        return TopicStore(self.pool, "ledger")

    @asynccontextmanager
    async def reading(
        self, handle: Callable[[Message], None] = lambda _: None, *, is_sole: bool = False
    ) -> AsyncIterator[TopicReader]:
        """A reader as a service runs it; cancelled at the end."""

        async def take(message: Message) -> None:
            handle(message)
            self.handled.append(message.body)

        reader = InternalTopics(self.store, self.settings, lambda _: None).add(REMITTANCES, take, is_sole=is_sole)
        task = asyncio.create_task(reader.run())
        try:
            yield reader
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def send(self, *bodies: bytes, partition: int = 0) -> None:
        async with AIOKafkaProducer(**client_of(self.broker)) as producer:
            for body in bodies:
                await producer.send_and_wait(REMITTANCES, body, partition=partition)

    async def has_handled(self, *bodies: bytes) -> None:
        async def is_so() -> bool:
            return len(self.handled) >= len(bodies)

        await eventually_async(is_so, f"{bodies}, and not {self.handled}")
        assert sorted(self.handled) == sorted(bodies)

    async def position(self, partition: int = 0) -> int:
        place = Place(await read_cluster_id(client_of(self.broker)), REMITTANCES, partition)
        return (await self.store.read_position(place, 0, None)).next_offset

    async def is_at(self, offset: int, partition: int = 0) -> None:
        async def is_so() -> bool:
            return await self.position(partition) == offset

        await eventually_async(is_so, f"position {offset}")

    async def admin(self, verb: str, what: object) -> None:
        admin = AIOKafkaAdminClient(**client_of(self.broker))
        await admin.start()
        try:
            await getattr(admin, verb)(what)
        finally:
            await admin.close()

    async def make(self, partitions: int = 1) -> None:
        await self.admin("create_topics", [NewTopic(REMITTANCES, partitions, 1)])


async def has_reason(reader: TopicReader, *words: str) -> None:
    async def is_so() -> bool:
        reason = await reader.readiness() or ""
        return all(word in reason for word in words)

    await eventually_async(is_so, f"a reason with {words}, and not {await reader.readiness()}")


async def is_ready(reader: TopicReader) -> None:
    async def is_so() -> bool:
        return await reader.readiness() is None

    await eventually_async(is_so, f"readiness, and not {await reader.readiness()}")


@pytest.fixture
async def bench(fresh_broker: Broker, database: str) -> AsyncIterator[Bench]:
    async with open_ledger(database) as ledger, open_pool(ledger.url, size=4) as pool:
        own = {"ready_commit_age_seconds": 1.0, "message_wait_seconds": 0.3, "message_attempts": 2}
        yield Bench(fresh_broker, pool, settings_of(client_settings(fresh_broker)).model_copy(update=own))


async def test_nobody_in_a_group_swallows_messages_or_moves_positions(bench: Bench) -> None:
    await bench.make()
    await bench.send(b"one")
    stranger = AIOKafkaConsumer(
        REMITTANCES, **client_of(bench.broker), group_id=OLD_GROUP, auto_offset_reset="earliest"
    )
    await stranger.start()
    try:
        assert (await stranger.getone()).value == b"one"
        await bench.send(b"two")
        assert (await stranger.getone()).value == b"two"
        await stranger.commit()
        async with bench.reading() as reader:
            await bench.has_handled(b"one", b"two")
            await is_ready(reader)
            await bench.send(b"three")
            await bench.has_handled(b"one", b"two", b"three")
            await bench.is_at(3)
    finally:
        await stranger.stop()
    async with bench.reading() as reader:
        await is_ready(reader)
    assert len(bench.handled) == 3


async def test_final_unknown_and_missing_end_in_quarantine_and_the_next_is_handled(bench: Bench) -> None:
    def handle(message: Message) -> None:
        if message.body == b"refused":
            raise Quarantined(QuarantineReason.UNEXPECTED, "no such request")
        if message.body == b"a bug":
            raise KeyError("a bug")
        if message.body == b"waits":
            raise Retry("an earlier number is missing")

    await bench.make()
    await bench.send(b"refused", b"a bug", b"waits", b"sound")
    async with bench.reading(handle) as reader:
        await bench.has_handled(b"sound")
        await bench.is_at(4)
        await is_ready(reader)
    kept = [
        (message["offset"], message["reason"], message["sha256"]) for message in await bench.store.list_messages(0, 10)
    ]
    reasons = [(b"refused", "unexpected"), (b"a bug", "unprocessable"), (b"waits", "expired")]
    assert kept == [(n, reason, sha256(body).hexdigest()) for n, (body, reason) in enumerate(reasons)]


async def test_more_partitions_are_read_and_a_second_reader_waits_its_turn(bench: Bench) -> None:
    await bench.make(partitions=2)
    await bench.send(b"one")
    await bench.send(b"two", partition=1)
    async with bench.reading(is_sole=True) as first:
        await bench.has_handled(b"one", b"two")
        async with bench.reading(is_sole=True) as second:
            await is_ready(second)
            await bench.send(b"three", partition=1)
            await bench.has_handled(b"one", b"two", b"three")
            await is_ready(first)


async def test_a_topic_that_comes_late_goes_and_comes_again_is_an_alarm_and_read_from_its_start(bench: Bench) -> None:
    async with bench.reading() as reader:
        await has_reason(reader, "not read yet")
        await bench.make()
        await bench.send(b"one", b"two")
        await bench.has_handled(b"one", b"two")
        await bench.admin("delete_topics", [REMITTANCES])
        await has_reason(reader, "gone")
        await bench.make()
        await bench.send(b"three")
        await bench.has_handled(b"one", b"two", b"three")
        await is_ready(reader)
    assert await bench.position() == 1
    (kept,) = await bench.store.list_messages(0, 10)
    assert kept["reason"] == "lost"
    assert "recreated" in kept["detail"]


@differs(NO_RETENTION)
async def test_offsets_that_are_gone_are_an_alarm(bench: Bench) -> None:
    await bench.make()
    await bench.send(b"one", b"two")
    async with bench.reading():
        await bench.is_at(2)
    await bench.send(b"three", b"four")
    await bench.admin("delete_records", {TopicPartition(REMITTANCES, 0): RecordsToDelete(before_offset=3)})
    async with bench.reading():
        await bench.has_handled(b"one", b"two", b"four")
    (kept,) = await bench.store.list_messages(0, 10)
    assert (kept["reason"], "offsets 2 to 2 are gone" in kept["detail"]) == ("lost", True)


@differs(NO_TRANSACTIONS)
async def test_waiting_behind_an_open_transaction_is_an_alarm_and_ends_with_it(bench: Bench) -> None:
    await bench.make()
    stranger = AIOKafkaProducer(**client_of(bench.broker), transactional_id="a-stranger", transaction_timeout_ms=60_000)
    try:
        await stranger.start()
        async with bench.reading() as reader:
            await stranger.begin_transaction()
            await stranger.send_and_wait(REMITTANCES, b"held back", partition=0)
            await bench.send(b"one")
            await has_reason(reader, "2 records", "open transaction")
            assert reader.lag == 2
            await stranger.abort_transaction()
            await bench.has_handled(b"one")
            await is_ready(reader)
            await bench.is_at(3)  # behind the marker of the transaction
    finally:
        await stranger.stop()
