"""Periodic background work: runs a step, pauses, runs it again; retries with growing pauses after a failure."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

import structlog

from shared.domain.errors import Stop

log = structlog.get_logger(__name__)
Step = Callable[[], Awaitable[int | None]]
"""Does what is due now; returns how many items that were. After some the next step follows at once."""
MOST_PAUSE_SECONDS: Final = 5.0
"""The longest pause after steps that failed, unless the ordinary pause is longer."""
CANCEL_AGAIN_SECONDS: Final = 1.0
RETRY_FIRST_SECONDS: Final = 0.2
RETRY_MOST_SECONDS: Final = 5.0


class Periodic:
    """Runs one step until cancelled. A failed step is logged and run again; only `Stop` ends the work.

    A step works out what is due from the tables each time, so nothing is lost by a failure.
    """

    def __init__(
        self,
        name: str,
        step: Step,
        pause_seconds: float,
        *,
        most_pause_seconds: float = MOST_PAUSE_SECONDS,
        pauses_first: bool = False,
        describe: Callable[[BaseException], str] = repr,
    ) -> None:
        """`pauses_first` puts a pause before the first step; `describe` makes one line for the log of an error."""
        self.name, self._step = name, step
        self._pause_seconds, self._most_pause_seconds = pause_seconds, max(pause_seconds, most_pause_seconds)
        self._pauses_first, self._describe = pauses_first, describe
        self._wake = asyncio.Event()
        self._moved_at = time.monotonic()
        self._failure: str | None = None

    def wake(self) -> None:
        """End the pause between two steps now, because there is news."""
        self._wake.set()

    def beat(self) -> None:
        """Report progress inside a long step."""
        self._moved_at = time.monotonic()

    async def run(self) -> None:
        """Run steps until cancelled."""
        if self._pauses_first:
            await self._rest()
        failure_pause = self._pause_seconds
        while True:
            self._wake.clear()
            try:
                count = await self._step()
            except Stop:
                raise
            except Exception as error:  # noqa: BLE001  # any failure: it shows in /readyz, and the step is due again
                self._failure = self._describe(error)
                log.warning(
                    "step failed, trying again", step=self.name, error=self._failure, pause_seconds=failure_pause
                )
                await asyncio.sleep(failure_pause)
                failure_pause = min(2 * failure_pause, self._most_pause_seconds)
                continue
            self._failure, failure_pause = None, self._pause_seconds
            self.beat()
            if not count:
                await self._rest()

    async def _rest(self) -> None:
        try:
            async with asyncio.timeout(self._pause_seconds):  # wait_for loses a cancellation that comes with the event
                await self._wake.wait()
        except TimeoutError:
            return

    def stuck(self, most_seconds: float) -> str | None:
        """Why this work makes no progress; None when a step ended well lately, were it with nothing due."""
        idle_seconds = time.monotonic() - self._moved_at
        if idle_seconds > most_seconds:
            return f"{self.name}: no progress for {idle_seconds:.0f} s, last failure {self._failure}"
        return None


async def end_tasks(tasks: Iterable[asyncio.Task[object]]) -> None:
    """Cancel tasks until all have ended: a library may lose a cancellation, and the work would go on for ever."""
    waiting = set(tasks)
    while waiting:
        for task in waiting:
            task.cancel()
        ended, waiting = await asyncio.wait(waiting, timeout=CANCEL_AGAIN_SECONDS)
        for task in ended:
            _ = task.cancelled() or task.exception()  # retrieved, or asyncio logs it
        if waiting:
            log.warning("a cancellation was lost, cancelling again", tasks=sorted(task.get_name() for task in waiting))


async def until_done(what: str, attempt: Callable[[], Awaitable[None]]) -> None:
    """Try until it works, pausing longer each time; only Stop and a cancel get out."""
    pause = RETRY_FIRST_SECONDS
    while True:
        try:
            return await attempt()
        except Stop:
            raise
        except Exception as error:  # noqa: BLE001 - any failure is logged and tried again
            log.warning("attempt failed, trying again", what=what, error=repr(error), pause_seconds=pause)
        await asyncio.sleep(pause)
        pause = min(pause * 2, RETRY_MOST_SECONDS)
