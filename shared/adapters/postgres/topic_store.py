"""Stores how far a service has read each internal topic, and what it quarantined, in the service's own database.

Tables of each schema: `topic_position`, `refused_message` (the quarantine, sealed by `sealed_messages`) and
`refused_review`. A position is moved by compare-and-set, so of two readers one notices that the other was quicker; a
message is quarantined in the transaction that moves the position.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import structlog

from shared.adapters.postgres.pool import Connection, Pool
from shared.adapters.postgres.queries.storable_text import storable
from shared.adapters.postgres.sealing.kept_keys import read_key_of_today
from shared.adapters.postgres.sealing.sealed_messages import (
    open_message,
    quarantine_row,
    quarantine_sql,
    shorten_detail,
)
from shared.contracts.quarantine import Message, QuarantineReason
from shared.domain.calendar import insured_day
from shared.domain.errors import Refused

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Place:
    """A partition of a topic on a cluster."""

    cluster_id: str
    topic: str
    partition: int


@dataclass(frozen=True, slots=True)
class StoredPosition:
    """The next offset to handle, and the id of the topic that it is an offset of; None where the broker has no ids."""

    next_offset: int
    topic_id: UUID | None


@dataclass(frozen=True, slots=True)
class Unavailable:
    """Why the bytes of a quarantined message cannot be had: `erased` with the key of their day, or `altered`."""

    state: str
    detail: str


class PositionMoved(Exception):  # noqa: N818 - an expected outcome, raised so that a transaction rolls back
    """Another reader moved the position."""


class TopicStore:
    """The tables of one schema."""

    def __init__(self, pool: Pool, schema: str) -> None:
        self._pool, self.schema = pool, schema

    async def read_position(self, place: Place, first: int, topic_id: UUID | None) -> StoredPosition:
        """The stored position; a partition seen for the first time begins where its log does."""
        row = await self._pool.fetchrow(
            f"""insert into {self.schema}.topic_position as p (cluster_id, topic, partition, next_offset, topic_id)
            values ($1, $2, $3, $4, $5) on conflict (cluster_id, topic, partition)
            do update set topic_id = coalesce(p.topic_id, excluded.topic_id) returning next_offset, topic_id""",
            place.cluster_id, place.topic, place.partition, first, topic_id,
        )  # fmt: skip
        return StoredPosition(row["next_offset"], row["topic_id"])

    async def move(self, place: Place, held: int, to: int) -> None:
        """Move a position; raises PositionMoved when it is not `held` any more."""
        async with self._pool.acquire() as connection:
            await self._move(connection, place, held, to)

    async def quarantine(self, message: Message, reason: QuarantineReason, detail: str, place: Place | None) -> None:
        """Keep a message and move the position of `place` from it to the next one, both or nothing."""
        async with self._pool.acquire() as connection, connection.transaction():
            await self._keep(connection, message, reason, detail)
            if place is not None:
                await self._move(connection, place, message.offset, message.offset + 1)

    async def pass_over(
        self, place: Place, held: int, to: StoredPosition, reason: QuarantineReason, detail: str, now: datetime
    ) -> None:
        """Go on at another offset, and keep what is passed over as an entry of the quarantine without a message."""
        body = f"{place.topic}-{place.partition} at {held}: {detail}".encode()
        async with self._pool.acquire() as connection, connection.transaction():
            await self._keep(connection, Message(place.topic, place.partition, held, body, now), reason, detail)
            await self._move(connection, place, held, to.next_offset, to.topic_id)

    async def is_up(self) -> bool:
        """Whether the database answers; raises what it raises where it does not."""
        return bool(await self._pool.fetchval("select true"))

    async def count_open(self) -> dict[tuple[str, str], int]:
        """Quarantined messages that nobody has reviewed, by topic and reason."""
        rows = await self._pool.fetch(
            f"""select topic, reason, count(*) as count from {self.schema}.refused_message m
            where not exists (select from {self.schema}.refused_review r where r.refused_id = m.refused_id)
            group by topic, reason order by 1, 2"""
        )
        return {(row["topic"], row["reason"]): row["count"] for row in rows}

    async def list_messages(self, after: int, limit: int) -> list[dict[str, Any]]:
        """Quarantined messages in their redacted form, oldest first, and when the bytes of each were erased."""
        rows = await self._pool.fetch(
            f"""select m.*, r.reviewer, r.note, k.destroyed_at as erased_at from {self.schema}.refused_message m
            left join {self.schema}.refused_review r using (refused_id)
            left join {self.schema}.kept_key k on k.day = m.sealed_on
            where refused_id > $1 order by refused_id limit $2""",
            after, limit,
        )  # fmt: skip
        return [
            {name: row[name] for name in _SHOWN} | {"sha256": row["sha256"].hex(), "offset": row["record_offset"]}
            for row in rows
        ]

    async def read_message(self, refused_id: int) -> Message | Unavailable | None:
        """A quarantined message, as it was read; None where there is none."""
        row = await self._pool.fetchrow(
            f"""select m.*, k.key, k.destroyed_at from {self.schema}.refused_message m
            left join {self.schema}.kept_key k on k.day = m.sealed_on where refused_id = $1""",
            refused_id,
        )
        if row is None:
            return None
        if row["key"] is None:
            since = "" if row["destroyed_at"] is None else f" on {insured_day(row['destroyed_at'])}"
            return Unavailable("erased", f"the key of {row['sealed_on']} was destroyed{since}, and the bytes with it")
        try:
            kept = open_message(row["key"], self.schema, row)
        except Refused as error:
            return Unavailable("altered", str(error))
        partition, offset = row["partition"] or 0, row["record_offset"] or 0
        return Message(row["topic"], partition, offset, kept.body, row["recorded_at"], tuple(kept.headers))

    async def review(self, refused_id: int, reviewer: str, note: str) -> str:
        """Record that an operator reviewed a message, which ends its alarm.

        Returns `reviewed`, `already_reviewed` or `unknown`.
        """
        async with self._pool.acquire() as connection, connection.transaction():
            kept = f"select refused_id from {self.schema}.refused_message where refused_id = $1"
            if await connection.fetchval(kept, refused_id) is None:
                return "unknown"
            written = await connection.fetchval(
                f"""insert into {self.schema}.refused_review (refused_id, reviewer, note) values ($1, $2, $3)
                on conflict do nothing returning refused_id""",
                refused_id, reviewer, storable(note),
            )  # fmt: skip
        return "reviewed" if written else "already_reviewed"

    @asynccontextmanager
    async def sole_reader(self, topic: str) -> AsyncIterator[bool]:
        """True for the one process that may read the topic now; its lock ends with its connection."""
        async with self._pool.acquire() as connection:
            name = f"{self.schema} reads {topic}"
            is_sole = await connection.fetchval("select pg_try_advisory_lock(hashtextextended($1, 0))", name)
            try:
                yield bool(is_sole)
            finally:
                if is_sole and not connection.is_closed():
                    await connection.execute("select pg_advisory_unlock(hashtextextended($1, 0))", name)

    async def _keep(self, connection: Connection, message: Message, reason: QuarantineReason, detail: str) -> None:
        key = await read_key_of_today(connection, self.schema)
        row = quarantine_row(key, self.schema, message, reason, detail)
        await connection.execute(quarantine_sql(self.schema), *row)
        log.error(
            "message quarantined", topic=message.topic, partition=message.partition, offset=message.offset,
            reason=reason.value, detail=shorten_detail(detail),
        )  # fmt: skip

    async def _move(
        self, connection: Connection, place: Place, held: int, to: int, topic_id: UUID | None = None
    ) -> None:
        moved = await connection.fetchval(
            f"""update {self.schema}.topic_position set next_offset = $5, topic_id = coalesce($6, topic_id)
            where (cluster_id, topic, partition) = ($1, $2, $3) and next_offset = $4 returning true""",
            place.cluster_id, place.topic, place.partition, held, to, topic_id,
        )  # fmt: skip
        if not moved:
            raise PositionMoved(f"{place.topic}-{place.partition} is not at {held} any more")


_SHOWN: Final = (
    "refused_id", "topic", "partition", "reason", "detail", "bytes", "redacted", "erased_at", "received_at", "reviewer",
    "note",
)  # fmt: skip
