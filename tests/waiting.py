"""Waiting for a condition: the only place in the tests that lets time pass."""

import asyncio
import time
from collections.abc import Awaitable, Callable

PAUSE_SECONDS = 0.02


def eventually(is_so: Callable[[], bool], what: str, timeout_seconds: float = 20.0) -> None:
    """Return when `is_so` answers yes; fail, naming `what`, when it has not for too long."""
    deadline = time.monotonic() + timeout_seconds
    while not is_so():
        assert time.monotonic() < deadline, f"waited {timeout_seconds:g} s in vain: {what}"
        time.sleep(PAUSE_SECONDS)


async def eventually_async(is_so: Callable[[], Awaitable[bool]], what: str, timeout_seconds: float = 20.0) -> None:
    """As `eventually`, for a question that is awaited."""
    deadline = time.monotonic() + timeout_seconds
    while not await is_so():
        assert time.monotonic() < deadline, f"waited {timeout_seconds:g} s in vain: {what}"
        await asyncio.sleep(PAUSE_SECONDS)
