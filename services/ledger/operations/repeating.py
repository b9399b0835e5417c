"""Work that is done again and again beside the server, and that outlives its failures."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from shared.adapters.postgres.faults import describe

log = structlog.get_logger(__name__)


async def keep_doing(what: str, work: Callable[[], Awaitable[object]], pause_seconds: float) -> None:
    """Do it, pause, for ever; a failure is logged and the next turn tries again."""
    while True:
        try:
            await work()
        except Exception as error:  # noqa: BLE001  # whatever failed, the next turn starts from the books
            log.warning("failed, tried again later", what=what, error=describe(error))
        await asyncio.sleep(pause_seconds)
