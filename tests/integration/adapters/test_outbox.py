"""The outbox: a row is deleted only after the broker has its message, also when a process dies in between."""

from collections.abc import AsyncIterator

import pytest

from shared.adapters.postgres.outbox import BATCH, Outbox
from shared.adapters.postgres.pool import Pool, open_pool
from shared.domain.errors import Refused

TABLE = """create table sample.outbox (
    id bigint generated always as identity primary key, topic text, key text, payload bytea,
    refusal text, refused_at timestamptz)"""

TOO_LARGE = b"too large for the broker"


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Pool]:
    """A schema with an outbox."""
    async with open_pool(database, size=3) as pool:
        await pool.execute("create schema sample")
        await pool.execute(TABLE)
        yield pool


async def write(pool: Pool, *payloads: bytes) -> None:
    sql = "insert into sample.outbox (topic, key, payload) values ('t', 'k', $1)"
    await pool.executemany(sql, [(payload,) for payload in payloads])


async def left(pool: Pool) -> list[bytes]:
    return [row["payload"] for row in await pool.fetch("select payload from sample.outbox order by id")]


class Broker:
    """Takes messages, and refuses from a given one on."""

    def __init__(self, refuses_from: int | None = None) -> None:
        self.taken: list[bytes] = []
        self._refuses_from = refuses_from

    async def publish(self, topic: str, key: str, payload: bytes) -> None:
        assert (topic, key) == ("t", "k")
        if payload == TOO_LARGE:
            raise Refused("too_large")
        if self._refuses_from is not None and len(self.taken) >= self._refuses_from:
            raise ConnectionError("the broker is away")
        self.taken.append(payload)


async def test_messages_leave_in_the_order_they_were_written(pool: Pool) -> None:
    payloads = [b"%d" % number for number in range(BATCH + 5)]
    await write(pool, *payloads)
    broker = Broker()
    outbox = Outbox(pool, "sample", broker.publish)
    assert [await outbox.publish_once() for _ in range(3)] == [BATCH, 5, 0]
    assert broker.taken == payloads
    assert await left(pool) == []


async def test_a_message_that_the_broker_refuses_stays_with_the_refusal_and_the_next_is_published(pool: Pool) -> None:
    """Kind A: one message too large for the broker kept back all behind it, for ever."""
    await write(pool, b"a", TOO_LARGE, b"c")
    broker = Broker()
    outbox = Outbox(pool, "sample", broker.publish)
    assert [await outbox.publish_once() for _ in range(2)] == [3, 0]
    assert (broker.taken, await left(pool)) == ([b"a", b"c"], [TOO_LARGE])
    assert await pool.fetchval("select refusal from sample.outbox") == "too_large"
    await pool.execute("update sample.outbox set refused_at = refused_at - interval '2 min'")
    assert await outbox.publish_once() == 1, "it is tried again"


async def test_what_the_broker_did_not_take_stays(pool: Pool) -> None:
    await write(pool, b"a", b"b", b"c")
    with pytest.raises(ConnectionError):
        await Outbox(pool, "sample", Broker(refuses_from=1).publish).publish_once()
    assert await left(pool) == [b"a", b"b", b"c"]
    broker = Broker()
    await Outbox(pool, "sample", broker.publish).publish_once()
    assert broker.taken == [b"a", b"b", b"c"]
    assert await left(pool) == []


async def test_two_processes_share_the_work_and_tell_nothing_twice(pool: Pool) -> None:
    await write(pool, b"a", b"b")
    second = Broker()
    inner: list[int] = []

    async def publish(topic: str, key: str, payload: bytes) -> None:
        inner.append(await Outbox(pool, "sample", second.publish).publish_once())

    assert await Outbox(pool, "sample", publish).publish_once() == 2
    assert inner == [0, 0]
    assert second.taken == []
