"""A background step that works out what is due from the tables, again and again, and is woken when there is news."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from shared.adapters.postgres.faults import describe

log = structlog.get_logger(__name__)
POLL_SECONDS: Final = 0.5
"""How long news may go unnoticed when nobody wakes the loop."""
MOST_PAUSE_SECONDS: Final = 5.0
"""The longest pause after steps that failed."""


class Loop:
    """Runs one step for ever. A step that fails is logged and run again after a growing pause; it loses nothing."""

    def __init__(self, name: str, step: Callable[[], Awaitable[int]]) -> None:
        self.name, self._step = name, step
        self._wake = asyncio.Event()
        self._moved_at = time.monotonic()
        self._failure: str | None = None

    def wake(self) -> None:
        """Say that there is something new."""
        self._wake.set()

    def beat(self) -> None:
        """Say, within a long step, that it gets on."""
        self._moved_at = time.monotonic()

    async def run(self) -> None:
        """Run steps until cancelled; a step says how much it did, and after some work the next follows at once."""
        pause = POLL_SECONDS
        while True:
            self._wake.clear()
            try:
                is_busy = await self._step() > 0
                self._failure, pause = None, POLL_SECONDS
                self.beat()
            except Exception as error:  # noqa: BLE001  # whatever it is: it shows in /readyz, and the step is due again
                said = describe(error)
                log.warning("step failed, trying again", step=self.name, error=said, pause_seconds=pause)
                self._failure, is_busy = said, False
                await asyncio.sleep(pause)
                pause = min(pause * 2, MOST_PAUSE_SECONDS)
            if not is_busy:
                await self._rest()

    async def _rest(self) -> None:
        try:
            async with asyncio.timeout(POLL_SECONDS):  # wait_for loses a cancellation that comes with the event
                await self._wake.wait()
        except TimeoutError:
            return

    def stuck(self, most_seconds: float) -> str | None:
        """Why this loop makes no progress; None where a step has ended well lately, were it with nothing due."""
        idle_seconds = time.monotonic() - self._moved_at
        if idle_seconds > most_seconds:
            return f"{self.name}: no progress for {idle_seconds:.0f} s, last failure {self._failure}"
        return None
