"""Transactional outbox: rows written with the facts that they publish, published at least once, then deleted.

Each schema has its own table `outbox (id bigint identity, topic text, key text, payload bytea)`. The holder of a row's
lock publishes it, so several processes may run; a reader must be idempotent.
"""

from collections.abc import Awaitable, Callable
from typing import Final

from shared.adapters.postgres.pool import Pool
from shared.runtime.periodic import Periodic

Publish = Callable[[str, str, bytes], Awaitable[None]]
"""topic, key, payload; returns when the broker has it."""
BATCH: Final = 200
MOST_PAUSE_SECONDS: Final = 1.0
"""The longest pause while the broker or the database is away: other services wait for the rows in the outbox."""


class Outbox:
    """Publishes the rows of one schema's outbox in the order they were written."""

    def __init__(self, pool: Pool, schema: str, publish: Publish, *, poll_seconds: float = 0.2) -> None:
        self._pool, self._schema, self._publish = pool, schema, publish
        self._periodic = Periodic("outbox", self.publish_once, poll_seconds, most_pause_seconds=MOST_PAUSE_SECONDS)

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
                " order by id limit $1 for update skip locked",
                BATCH,
            )
            for row in rows:
                await self._publish(row["topic"], row["key"], row["payload"])
            if rows:
                await connection.execute(
                    f"delete from {self._schema}.outbox where id = any($1)", [row["id"] for row in rows]
                )
        return len(rows)
