"""The outbox: a row is gone only after the broker has its message, whoever dies in between."""

from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.adapters.outbox import BATCH, Outbox
from shared.adapters.postgres import open_engine

TABLE = """create table told.outbox (
    id bigint generated always as identity primary key, topic text, key text, payload bytea)"""


@pytest.fixture
async def engine(database: str) -> AsyncIterator[AsyncEngine]:
    """A schema with an outbox."""
    async with open_engine(database, size=3) as engine:
        async with engine.begin() as connection:
            await connection.execute(text("create schema told"))
            await connection.execute(text(TABLE))
        yield engine


async def write(engine: AsyncEngine, *payloads: bytes) -> None:
    async with engine.begin() as connection:
        for payload in payloads:
            values = {"payload": payload}
            await connection.execute(
                text("insert into told.outbox (topic, key, payload) values ('t', 'k', :payload)"), values
            )


async def left(engine: AsyncEngine) -> list[bytes]:
    async with engine.connect() as connection:
        return list((await connection.execute(text("select payload from told.outbox order by id"))).scalars())


class Broker:
    """Takes messages, and refuses from a given one on."""

    def __init__(self, refuses_from: int | None = None) -> None:
        self.taken: list[bytes] = []
        self._refuses_from = refuses_from

    async def publish(self, topic: str, key: str, payload: bytes) -> None:
        assert (topic, key) == ("t", "k")
        if self._refuses_from is not None and len(self.taken) >= self._refuses_from:
            raise ConnectionError("the broker is away")
        self.taken.append(payload)


async def test_messages_leave_in_the_order_they_were_written(engine: AsyncEngine) -> None:
    payloads = [b"%d" % number for number in range(BATCH + 5)]
    await write(engine, *payloads)
    broker = Broker()
    outbox = Outbox(engine, "told", broker.publish)
    assert [await outbox.publish_once() for _ in range(3)] == [BATCH, 5, 0]
    assert broker.taken == payloads
    assert await left(engine) == []


async def test_what_the_broker_did_not_take_stays(engine: AsyncEngine) -> None:
    await write(engine, b"a", b"b", b"c")
    with pytest.raises(ConnectionError):
        await Outbox(engine, "told", Broker(refuses_from=1).publish).publish_once()
    assert await left(engine) == [b"a", b"b", b"c"]
    broker = Broker()
    await Outbox(engine, "told", broker.publish).publish_once()
    assert broker.taken == [b"a", b"b", b"c"]
    assert await left(engine) == []


async def test_two_processes_share_the_work_and_tell_nothing_twice(engine: AsyncEngine) -> None:
    await write(engine, b"a", b"b")
    second = Broker()
    inner: list[int] = []

    async def publish(topic: str, key: str, payload: bytes) -> None:
        inner.append(await Outbox(engine, "told", second.publish).publish_once())

    assert await Outbox(engine, "told", publish).publish_once() == 2
    assert inner == [0, 0]
    assert second.taken == []
