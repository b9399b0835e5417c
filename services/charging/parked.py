"""Parked events: looked at, and sent again after a mend. A parked event is never changed; what was sent is noted."""

import json
from base64 import b64decode, b64encode
from collections.abc import Sequence
from typing import Any, Final

from faststream.kafka import KafkaBroker

from shared.adapters.postgres.pool import Pool
from shared.contracts.parking import ParkReason
from shared.contracts.topics import orders_topic

SHOWN_BYTES: Final = 4_096
"""Bytes of a parked event that a list shows; all of them are kept."""
SEND_AT_ONCE: Final = 500
RESENT_HEADER: Final = "danbao-parked"
"""Header of an event that was sent again: batch and leaf index of the parked one."""
_PAGE: Final = """
    select p.*, exists (select 1 from charging.resent r where (r.batch, r.leaf_index) = (p.batch, p.leaf_index))
        as was_resent
    from charging.parked p
    where ($1::text is null or reason = $1) and ($2::text[] is null or topic = any($2))
        and (batch, leaf_index) > ($3, $4)
    order by batch, leaf_index limit $5"""


class ParkedEvents:
    """Reads `charging.parked` and sends its events again."""

    def __init__(self, pool: Pool, broker: KafkaBroker) -> None:
        self._pool, self._broker = pool, broker

    async def page(
        self, reason: ParkReason | None, enterprises: Sequence[str] | None, after: str, limit: int
    ) -> list[dict[str, Any]]:
        """Parked events of these enterprises' topics (None: of all), after a cursor (`batch.leaf_index`).

        The first SHOWN_BYTES of each are shown, in base64.
        """
        batch, _, leaf = after.partition(".")
        topics = None if enterprises is None else list(map(orders_topic, enterprises))
        rows = await self._pool.fetch(_PAGE, reason, topics, int(batch or -1), int(leaf or -1), limit)
        return [_described(row, SHOWN_BYTES) for row in rows]

    async def one(self, batch: int, leaf_index: int) -> dict[str, Any] | None:
        """One parked event with all its bytes; None when there is none."""
        rows = await self._pool.fetch(_PAGE, None, None, batch, leaf_index - 1, 1)
        if not rows or (rows[0]["batch"], rows[0]["leaf_index"]) != (batch, leaf_index):
            return None
        return _described(rows[0], None)

    async def send_again(self, reason: ParkReason, enterprise: str | None) -> int:
        """Send what is parked now for a reason to its own topic, with its own record time; returns how many.

        What comes back and is parked anew waits for the next mend, else this would go round for ever. Noted after the
        broker has it: a crash in between sends it twice, and the second one is a repeat.
        """
        now = await self._pool.fetchval("select clock_timestamp()")
        sent = 0
        while rows := await self._pool.fetch(
            """select p.* from charging.parked p join charging.manifest m using (batch)
            where reason = $1 and ($2::text is null or topic = $2) and m.committed_at < $4
                and not exists (select 1 from charging.resent r
                    where (r.batch, r.leaf_index) = (p.batch, p.leaf_index))
            order by p.batch, p.leaf_index limit $3""",
            reason, None if enterprise is None else orders_topic(enterprise), SEND_AT_ONCE, now,
        ):  # fmt: skip
            for row in rows:
                await self._send(row)
            sent += len(rows)
        return sent

    async def _send(self, row: Any) -> None:
        headers = {name: b64decode(value).decode("latin-1") for name, value in json.loads(row["headers"])}
        headers[RESENT_HEADER] = f"{row['batch']}.{row['leaf_index']}"
        where: Any = await self._broker.publish(
            row["value"] or b"",
            row["topic"],
            key=row["record_key"],
            headers=headers,
            timestamp_ms=row["record_time_ms"],
            no_confirm=False,
        )
        await self._pool.execute(
            "insert into charging.resent (batch, leaf_index, partition, record_offset) values ($1, $2, $3, $4)",
            row["batch"], row["leaf_index"], where.partition, where.offset,
        )  # fmt: skip


def _described(row: Any, shown: int | None) -> dict[str, Any]:
    """A parked event for a reader; `shown` bytes of it, None for all."""
    value = row["value"] or b""
    return {
        "cursor": f"{row['batch']}.{row['leaf_index']}",
        "topic": row["topic"],
        "partition": row["partition"],
        "offset": row["record_offset"],
        "record_time_ms": row["record_time_ms"],
        "headers": json.loads(row["headers"]),
        "reason": row["reason"],
        "detail": row["detail"],
        "bytes": len(value),
        "value_base64": b64encode(value[:shown]).decode(),
        "was_resent": row["was_resent"],
    }
