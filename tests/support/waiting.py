"""Waiting for a condition: the only place in the tests that lets time pass."""

import asyncio
import time
from collections.abc import Awaitable, Callable

PAUSE_SECONDS = 0.02
PATIENCE_SECONDS = 120.0
"""For what comes within seconds on a quiet machine: that it comes late on a busy one is no defect."""


def eventually(is_so: Callable[[], bool], what: str) -> None:
    """Return when `is_so` answers yes; fail, naming `what`, when it has not for too long."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        assert time.monotonic() < deadline, f"waited {PATIENCE_SECONDS:g} s in vain: {what}"
        time.sleep(PAUSE_SECONDS)


async def eventually_async(
    is_so: Callable[[], Awaitable[bool]], what: str, pause_seconds: float = PAUSE_SECONDS
) -> None:
    """As `eventually`, for a question that is awaited."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not await is_so():
        assert time.monotonic() < deadline, f"waited {PATIENCE_SECONDS:g} s in vain: {what}"
        await asyncio.sleep(pause_seconds)
