"""Whoever waits for news stops when it is told to, also when news comes at that very moment."""

import asyncio
from collections.abc import Generator

import pytest

from services.reporting.loop import Loop

TURNS = range(6)
"""Turns of the event loop between the news and the word to stop: one of them is where it could get lost."""


class OneTurn:
    """Awaited, lets everything else that is ready run once."""

    def __await__(self) -> Generator[None, None, None]:
        yield


@pytest.mark.parametrize("turns", TURNS)
async def test_no_news_keeps_it_from_stopping(turns: int) -> None:
    stepped = asyncio.Event()

    async def step() -> int:
        stepped.set()
        return 0

    loop = Loop("loop", step)
    task = asyncio.create_task(loop.run())
    await stepped.wait()
    for _ in range(5):
        await OneTurn()  # it rests now
    loop.wake()
    for _ in range(turns):
        await OneTurn()
    task.cancel()
    done, _ = await asyncio.wait([task], timeout=5)
    task.cancel()
    assert done
