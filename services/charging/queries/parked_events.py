"""Parked events: looked at, and sent again after a mend. A parked event is never changed; what was sent is noted.

Its bytes can be read for as long as the key of its day lives; afterwards hash, length and redacted form remain.
"""

import json
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import structlog
from faststream.kafka import KafkaBroker

from services.charging.rows.kept_records import PARKED, SealedRecord, open_record
from shared.adapters.postgres.pool import Pool
from shared.contracts.parking import ParkReason
from shared.contracts.topics import orders_topic
from shared.domain.errors import Refused

log = structlog.get_logger(__name__)
SHOWN_BYTES: Final = 4_096
"""Bytes of a parked event that a list shows; all of them are kept."""
SEND_AT_ONCE: Final = 500
RESENT_HEADER: Final = "danbao-parked"
"""Header of an event that was sent again: batch and leaf index of the parked one."""
_PAGE: Final = """
    select p.*, k.key, k.destroyed_at,
        exists (select 1 from charging.resent r where (r.batch, r.leaf_index) = (p.batch, p.leaf_index)) as was_resent
    from charging.parked p left join charging.kept_key k on k.day = p.sealed_on
    where ($1::text is null or reason = $1) and ($2::text[] is null or topic = any($2))
        and (batch, leaf_index) > ($3, $4)
    order by batch, leaf_index limit $5"""
_TO_SEND: Final = """
    select p.*, k.key, k.destroyed_at from charging.parked p join charging.manifest m using (batch)
    left join charging.kept_key k on k.day = p.sealed_on
    where reason = $1 and ($2::text is null or topic = $2) and m.committed_at < $4
        and not exists (select 1 from charging.resent r where (r.batch, r.leaf_index) = (p.batch, p.leaf_index))
        and (p.batch, p.leaf_index) > ($5, $6)
    order by p.batch, p.leaf_index limit $3"""


@dataclass(slots=True)
class Resent:
    """Events that were sent again, and those that were not: their bytes are erased, or were changed where they lay."""

    resent: int = 0
    erased: int = 0
    altered: int = 0

    def told(self) -> dict[str, int]:
        """As the API answers it."""
        return asdict(self)


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

    async def send_again(self, reason: ParkReason, enterprise: str | None) -> Resent:
        """Send what is parked now for a reason to its own topic, with its own record time; says how many.

        What comes back and is parked anew waits for the next mend, else this would go round for ever. Noted after the
        broker has it: a crash in between sends it twice, and the second one is a repeat.
        """
        now = await self._pool.fetchval("select clock_timestamp()")
        sent, after = Resent(), (-1, -1)
        topic = None if enterprise is None else orders_topic(enterprise)
        while rows := await self._pool.fetch(_TO_SEND, reason, topic, SEND_AT_ONCE, now, *after):
            for row in rows:
                await self._send(row, sent)
            after = (rows[-1]["batch"], rows[-1]["leaf_index"])
        return sent

    async def _send(self, row: Any, sent: Resent) -> None:
        try:
            record = _opened(row)
        except Refused as error:
            log.warning("a parked event cannot be sent again", error=str(error))
            sent.altered += 1
            return
        if record is None:
            sent.erased += 1
            return
        headers = {name: (value or b"").decode("latin-1") for name, value in record.headers}
        headers[RESENT_HEADER] = f"{row['batch']}.{row['leaf_index']}"
        where: Any = await self._broker.publish(
            record.value or b"",
            row["topic"],
            key=record.key,
            headers=headers,
            timestamp_ms=row["record_time_ms"],
            no_confirm=False,
        )
        await self._pool.execute(
            "insert into charging.resent (batch, leaf_index, partition, record_offset) values ($1, $2, $3, $4)",
            row["batch"], row["leaf_index"], where.partition, where.offset,
        )  # fmt: skip
        sent.resent += 1


def _opened(row: Any) -> SealedRecord | None:
    """The record as it came; None when its day's key is destroyed, Refused when its sealed bytes were changed."""
    if row["key"] is None:
        return None
    return open_record(row["key"], PARKED, row["batch"], row["leaf_index"], row["sealed"])


def _described(row: Any, shown: int | None) -> dict[str, Any]:
    """A parked event for a reader; `shown` bytes of it, None for all. Erased or altered, it has no bytes."""
    fault = None
    try:
        record = _opened(row)
    except Refused as error:
        record, fault = None, str(error)
    headers = json.loads(row["headers"])
    if record is not None:
        headers = [[_plain(name), b64encode(value or b"").decode()] for name, value in record.headers]
    return {
        "cursor": f"{row['batch']}.{row['leaf_index']}",
        "topic": row["topic"],
        "partition": row["partition"],
        "offset": row["record_offset"],
        "record_time_ms": row["record_time_ms"],
        "headers": headers,
        "reason": row["reason"],
        "detail": row["detail"],
        "bytes": row["bytes"],
        "sha256": row["received"].hex(),
        "redacted": row["redacted"],
        "value_base64": None if record is None else b64encode((record.value or b"")[:shown]).decode(),
        "erased_at": row["destroyed_at"],
        "altered": fault,
        "was_resent": row["was_resent"],
    }


def _plain(name: str) -> str:
    """A header's name may hold anything."""
    return name.replace("\0", "\N{REPLACEMENT CHARACTER}")
