"""Messages that are not taken: kept whole with a reason, once, and each is an alarm. Nothing waits for them."""

from typing import Literal

import structlog
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.ledger import tables
from services.ledger.evidence import sha256

log = structlog.get_logger(__name__)
Reason = Literal[
    "undecodable", "absurd", "different_content", "unexpected", "foreign_enterprise", "identity_in_clear", "unsigned",
    "wrong_author",
]  # fmt: skip


async def keep_refused(connection: AsyncConnection, topic: str, reason: Reason, detail: str, payload: bytes) -> None:
    """Keep the message; the same one again is not kept twice."""
    row = {
        "topic": topic,
        "reason": reason,
        "detail": detail[:1_000].replace("\0", ""),
        "payload": payload,
        "sha256": sha256(payload),
    }
    await connection.execute(insert(tables.refused_message).values(row).on_conflict_do_nothing())
    log.error("message refused", topic=topic, reason=reason, detail=detail)


async def review_refused(engine: AsyncEngine, refused_id: int, reviewer: str, note: str) -> str:
    """Write down that somebody looked at a message, which ends its alarm: `reviewed`, `already_reviewed`, `unknown`."""
    async with engine.begin() as connection:
        kept = tables.refused_message.c.refused_id
        if await connection.scalar(select(kept).where(kept == refused_id)) is None:
            return "unknown"
        row = {"refused_id": refused_id, "reviewer": reviewer, "note": note}
        wish = insert(tables.refused_review).values(row).on_conflict_do_nothing()
        written = await connection.scalar(wish.returning(tables.refused_review.c.refused_id))
        return "reviewed" if written else "already_reviewed"
