"""Messages that are not taken: kept whole with a reason, once, and each is an alarm. Nothing waits for them.

A handler raises `Quarantined`, or an error that says the same; whoever read the message keeps it. Messages that came
over HTTP, which have no place in a log, are kept here.
"""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.ledger import tables
from services.ledger.evidence import sha256
from shared.adapters.postgres.message_faults import detail_of, meaning_of
from shared.contracts.quarantine import QuarantineReason

log = structlog.get_logger(__name__)
State = TypeVar("State")


async def keep_refused(
    connection: AsyncConnection, topic: str, reason: QuarantineReason, detail: str, payload: bytes
) -> None:
    """Keep the message; the same one again is not kept twice."""
    row = {
        "topic": topic,
        "reason": reason.value,
        "detail": detail[:1_000].replace("\0", ""),
        "payload": payload,
        "sha256": sha256(payload),
    }
    await connection.execute(insert(tables.refused_message).values(row).on_conflict_do_nothing())
    log.error("message quarantined", topic=topic, reason=reason.value, detail=detail)


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
