"""The way out of a database: rows written with the facts they tell, published at least once, then taken out.

Each schema has its own table `outbox (id bigint identity, topic text, key text, payload bytea)`. Whoever holds a row's
lock publishes it, so several processes may run; a reader must be idempotent.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from shared.adapters.postgres.pool import Pool

log = structlog.get_logger(__name__)
Publish = Callable[[str, str, bytes], Awaitable[None]]
"""topic, key, payload; returns when the broker has it."""
BATCH: Final = 200


class Outbox:
    """Publishes the rows of one schema's outbox in the order they were written."""

    def __init__(self, pool: Pool, schema: str, publish: Publish, *, poll_seconds: float = 0.2) -> None:
        self._pool, self._schema, self._publish, self._poll = pool, schema, publish, poll_seconds
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """Say that there is something new, so that it leaves at once."""
        self._wake.set()

    async def run(self) -> None:
        """Publish for ever; an error is logged and tried again."""
        while True:
            self._wake.clear()
            try:
                while await self.publish_once():
                    pass
            except Exception as error:  # noqa: BLE001 - whatever it was, it is logged and tried again
                log.warning("outbox waits", schema=self._schema, error=repr(error))
            try:
                async with asyncio.timeout(self._poll):  # wait_for loses a cancellation that comes with the event
                    await self._wake.wait()
            except TimeoutError:
                continue

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
