"""Messages that are not taken: kept sealed with a reason, once, and each is an alarm. Nothing waits for them.

A handler raises `Quarantined`, or an error with that meaning; the reader of the message keeps it. Messages that came
over HTTP, which have no place in a log, are kept here.
"""

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared.adapters.postgres.message_faults import detail_of, meaning_of
from shared.adapters.postgres.sealing.day_key import read_day_key
from shared.adapters.postgres.sealing.sealed_messages import quarantine_sql, row_without_place, shorten_detail
from shared.contracts.quarantine import QuarantineReason

log = structlog.get_logger(__name__)
State = TypeVar("State")
SCHEMA: Final = "ledger"


async def keep_refused(
    connection: AsyncConnection, topic: str, reason: QuarantineReason, detail: str, payload: bytes
) -> None:
    """Keep the message; the same one again is not kept twice."""
    key = await read_day_key(connection, SCHEMA)
    row = row_without_place(key, SCHEMA, topic, payload, reason, detail)
    await connection.exec_driver_sql(quarantine_sql(SCHEMA), row)
    log.error("message quarantined", topic=topic, reason=reason.value, detail=shorten_detail(detail))


async def keep_if_refused(
    engine: AsyncEngine, topic: str, payload: bytes, handle: Callable[[], Awaitable[State]], refused: State
) -> State:
    """Handle a message; one that is refused for good is kept, and `refused` returned. Other errors are raised."""
    try:
        return await handle()
    except Exception as error:
        reason = meaning_of(error)
        if not isinstance(reason, QuarantineReason):
            raise
        async with engine.begin() as connection:
            await keep_refused(connection, topic, reason, detail_of(error), payload)
    return refused
