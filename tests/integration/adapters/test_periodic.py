"""Periodic work: steps repeat, outlive failures, end by `Stop`, and stop when cancelled even as news arrives."""

import asyncio
from collections.abc import Generator

import pytest

from shared.domain.errors import Stop
from shared.runtime.periodic import Periodic, end_tasks

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

    loop = Periodic("loop", step, 0.5)
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


async def run_script(results: list[int | Exception], pause_seconds: float = 0.0) -> tuple[Periodic, int]:
    """Run a step that returns or raises these one by one and then ends the work; returns the number of steps, too."""
    count = 0

    async def step() -> int:
        nonlocal count
        count += 1
        if not results:
            raise Stop("the end")
        result = results.pop(0)
        if isinstance(result, Exception):
            raise result
        return result

    periodic = Periodic("work", step, pause_seconds)
    with pytest.raises(Stop):
        await periodic.run()
    return periodic, count


async def test_a_failed_step_is_run_again() -> None:
    assert (await run_script([ValueError("one"), 0, ConnectionError("two")]))[1] == 4


async def test_the_next_step_follows_work_at_once() -> None:
    async with asyncio.timeout(30):  # an ordinary pause would take an hour
        assert (await run_script([3, 1, 2], pause_seconds=3_600))[1] == 4


async def test_work_without_progress_names_its_last_failure() -> None:
    periodic, _ = await run_script([1])
    assert periodic.stuck(60) is None
    periodic, _ = await run_script([ValueError("one")])
    assert "ValueError('one')" in str(periodic.stuck(-1))


async def test_a_pause_may_come_first_and_news_ends_it() -> None:
    stepped = asyncio.Event()

    async def step() -> None:
        stepped.set()

    periodic = Periodic("work", step, 3_600, pauses_first=True)
    task = asyncio.create_task(periodic.run())
    for _ in range(5):
        await OneTurn()
    assert not stepped.is_set()
    periodic.wake()
    async with asyncio.timeout(30):
        await stepped.wait()
    task.cancel()


async def test_work_that_lost_a_cancellation_is_cancelled_again() -> None:
    """A driver that turns a cancellation into another error leaves the work going."""
    stepped, lost = asyncio.Event(), list[str]()

    async def step() -> int:
        stepped.set()
        if lost:
            await asyncio.Event().wait()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError as cancelled:
            lost.append("once")
            raise ConnectionError("closed") from cancelled
        return 0

    task = asyncio.create_task(Periodic("loop", step, 0.01).run())
    await stepped.wait()
    async with asyncio.timeout(30):
        await end_tasks([task])
    assert (task.cancelled(), lost) == (True, ["once"])
