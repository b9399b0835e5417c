"""Transactional outbox: rows written with the facts that they publish, published at least once, then deleted.

Each schema has its own table `outbox (id bigint identity, topic text, key text, payload bytea, refusal text, refused_at
timestamptz)`. The holder of a row's lock publishes it, so several processes may run; a reader must be idempotent.

A message that the broker refuses for what it is stays in the table with the refusal, which is an alarm; the next ones
are published, and it is tried again every minute.
"""

from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from shared.adapters.postgres.pool import Connection, Pool
from shared.domain.errors import Refused
from shared.runtime.periodic import Periodic

log = structlog.get_logger(__name__)
Publish = Callable[[str, str, bytes], Awaitable[None]]
"""topic, key, payload; returns when the broker has it, raises `Refused` where the broker will never take it."""
BATCH: Final = 200
POLL_SECONDS: Final = 1.0
"""Pause between two checks for rows of other processes: who writes a row in this one wakes the outbox."""
RETRY_REFUSED_SECONDS: Final = 60
"""Pause before a refused message is tried again: a limit of the broker may have been raised."""
MOST_PAUSE_SECONDS: Final = 1.0
"""The longest pause while the broker or the database is away: other services wait for the rows in the outbox."""


class Outbox:
    """Publishes the rows of one schema's outbox in the order they were written."""

    def __init__(self, pool: Pool, schema: str, publish: Publish) -> None:
        self._pool, self._schema, self._publish = pool, schema, publish
        self._periodic = Periodic("outbox", self.publish_once, POLL_SECONDS, most_pause_seconds=MOST_PAUSE_SECONDS)

    def wake(self) -> None:
        """Publish at once, because there are new rows."""
        self._periodic.wake()

    async def run(self) -> None:
        """Publish until cancelled; an error is logged and tried again."""
        await self._periodic.run()

    async def publish_once(self) -> int:
        """Publish up to BATCH rows; returns how many. They are gone from the table only after the broker has them."""
        async with self._pool.acquire() as connection, connection.transaction():
            rows = await connection.fetch(
                f"select id, topic, key, payload from {self._schema}.outbox"
                " where refused_at is null or refused_at < clock_timestamp() - make_interval(secs => $2)"
                " order by id limit $1 for update skip locked",
                BATCH,
                RETRY_REFUSED_SECONDS,
            )
            published = []
            for row in rows:
                try:
                    await self._publish(row["topic"], row["key"], row["payload"])
                except Refused as error:
                    await self._note_refused(connection, row["id"], str(error))
                else:
                    published.append(row["id"])
            if published:
                await connection.execute(f"delete from {self._schema}.outbox where id = any($1)", published)
        return len(rows)

    async def _note_refused(self, connection: Connection, number: int, refusal: str) -> None:
        log.error("the broker refuses a message", number=number, refusal=refusal)
        await connection.execute(
            f"update {self._schema}.outbox set refusal = $2, refused_at = clock_timestamp() where id = $1",
            number,
            refusal,
        )
