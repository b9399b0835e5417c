"""Lag watch: measures what waits, notices a log that was trimmed or recreated, and says whether a worker progresses."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from aiokafka.errors import IllegalStateError, KafkaError

from services.charging.ingest.held_positions import HeldPositions
from shared.runtime.periodic import Periodic

WATCH_SECONDS: Final = 2.0


class Progress:
    """A worker's report on itself; times are the event loop's."""

    def __init__(self) -> None:
        self.lag = 0
        """Offsets that wait in the partitions that this worker holds; `TopicsWatch` measures all."""
        self.last_error: str | None = None
        self._moved_at = 0.0
        self._busy_since: float | None = None

    def note(self) -> None:
        """Something was charged, or nothing waits."""
        self._moved_at = asyncio.get_running_loop().time()

    @contextmanager
    def batch_under_way(self) -> Iterator[None]:
        """While a batch is read and written: the watch waits for it, so the lag says nothing then."""
        self._busy_since = asyncio.get_running_loop().time()
        try:
            yield
        finally:
            self._busy_since = None

    def describe_fault(self, max_age_seconds: float) -> str | None:
        """Why the work makes no progress; None when nothing fails, and where events wait, the last commit is young."""
        now = asyncio.get_running_loop().time()
        if self._busy_since is not None and now - self._busy_since > max_age_seconds:
            return f"a batch has been under way for {now - self._busy_since:.0f} s"
        if self.lag and now - self._moved_at > max_age_seconds:
            return f"{self.lag} events wait and nothing was charged for {now - self._moved_at:.0f} s"
        return self.last_error


class LagWatch:
    """Watches the held positions of one worker."""

    def __init__(self, positions: HeldPositions, progress: Progress, max_age_seconds: float) -> None:
        self._positions, self._progress = positions, progress
        self._max_age_seconds = max_age_seconds

    def periodic(self) -> Periodic:
        """The work to run next to the server."""
        return Periodic("watch", self._watch, WATCH_SECONDS, pauses_first=True)

    async def readiness(self) -> str | None:
        """Why the worker is not ready: topics that are paused, or no progress; None when it is ready."""
        return self._positions.pauses.words() or self._progress.describe_fault(self._max_age_seconds)

    async def _watch(self) -> None:
        with suppress(KafkaError, IllegalStateError, AttributeError):
            await self._check_logs()
        async with self._positions.lock:
            await self._positions.follow_pauses()

    async def _check_logs(self) -> None:
        positions, progress = self._positions, self._progress
        assigned = positions.consumer.assignment()
        before = {tp: offset for tp, offset in positions.held().items() if tp in assigned}
        if not before:
            if not assigned:  # another worker has the partitions now, and their faults
                progress.lag = 0
                progress.last_error = None
            return
        logs = await positions.read_logs(before)
        async with positions.lock:
            progress.lag = positions.check_logs(before, logs)
        if not progress.lag:
            progress.last_error = None
            progress.note()
