"""A service's subscribers join their groups at once, because each join takes seconds."""

import asyncio
from typing import cast

import pytest
from faststream.kafka import KafkaBroker

from shared.adapters.kafka.faststream_broker import start_broker

TOGETHER = 3


class Subscriber:
    """Has joined when all others are joining, too."""

    def __init__(self, all_join: asyncio.Barrier) -> None:
        self._all_join = all_join

    async def start(self) -> None:
        await self._all_join.wait()


class Broker:
    """Connects; one of its subscribers may be refused."""

    def __init__(self, *subscribers: object) -> None:
        self.subscribers = subscribers
        self.running = self.is_connected = False

    async def connect(self) -> None:
        self.is_connected = True


class RefusedSubscriber:
    async def start(self) -> None:
        raise ConnectionError("refused")


async def test_subscribers_join_at_the_same_time() -> None:
    barrier = asyncio.Barrier(TOGETHER)
    broker = Broker(*(Subscriber(barrier) for _ in range(TOGETHER)))
    async with asyncio.timeout(5):
        await start_broker(cast("KafkaBroker", broker))
    assert broker.is_connected
    assert broker.running


async def test_one_that_is_refused_is_told() -> None:
    broker = Broker(Subscriber(asyncio.Barrier(1)), RefusedSubscriber())
    with pytest.raises(ConnectionError):
        await start_broker(cast("KafkaBroker", broker))
    assert not broker.running
