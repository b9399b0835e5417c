"""Reads charging's progress: committed manifests, positions, and what waits for a person."""

from typing import Final

from msgspec import Struct
from sqlalchemy import Integer, Text, and_, bindparam, exists, func, not_, select

from services.charging.store.manifests import signed_payload
from services.charging.tables import manifest, outbox, parked, position, refused_message, refused_review, resent, run
from shared.adapters.crypto.signing import AuthorSigner
from shared.adapters.postgres.pool import Pool
from shared.adapters.postgres.queries.statements import query, values


class LastNumber(Struct, frozen=True):
    """The last committed manifest of a run."""

    run: str
    last: int


class PositionRow(Struct, frozen=True):
    """How far a partition is charged."""

    topic: str
    partition: int
    next_offset: int
    events: int


class ReasonCount(Struct, frozen=True):
    """Parked events of one reason."""

    reason: str
    count: int


class RefusedCount(Struct, frozen=True):
    """Quarantined messages of one topic and reason."""

    topic: str
    reason: str
    count: int


_RUNS: Final = query(
    select(run.c.run, func.max(manifest.c.number).label("last"))
    .join_from(run, manifest, manifest.c.run_id == run.c.id)
    .where(run.c.purpose != "close")
    .group_by(run.c.run),
    LastNumber,
)
_POSITIONS: Final = query(
    select(position.c.topic, position.c.partition, position.c.next_offset, position.c.events)
    .where(position.c.cluster_id == bindparam("cluster_id"))
    .order_by(position.c.topic, position.c.partition),
    PositionRow,
)
_UNPUBLISHED: Final = values(select(func.count()).select_from(outbox), int)
_PARKED: Final = query(
    select(parked.c.reason, func.count().label("count"))
    .where(not_(exists().where(resent.c.batch == parked.c.batch, resent.c.leaf_index == parked.c.leaf_index)))
    .group_by(parked.c.reason)
    .order_by(parked.c.reason),
    ReasonCount,
)
_REFUSED: Final = query(
    select(refused_message.c.topic, refused_message.c.reason, func.count().label("count"))
    .where(not_(exists().where(refused_review.c.refused_id == refused_message.c.refused_id)))
    .group_by(refused_message.c.topic, refused_message.c.reason)
    .order_by(refused_message.c.topic, refused_message.c.reason),
    RefusedCount,
)
_MANIFEST: Final = values(
    select(manifest.c.payload)
    .join_from(manifest, run, manifest.c.run_id == run.c.id)
    .where(and_(run.c.run == bindparam("run", type_=Text), manifest.c.number == bindparam("number", type_=Integer))),
    bytes,
)


class ProgressQueries:
    """Answers over a pool."""

    def __init__(self, pool: Pool, author: AuthorSigner) -> None:
        self._pool = pool
        self._author = author

    async def runs(self) -> dict[str, int]:
        """Read the last committed number of every run that published its own manifests."""
        return {row.run: row.last for row in await _RUNS.fetch(self._pool)}

    async def positions(self, cluster_id: str | None) -> list[PositionRow]:
        """Read how far each partition of the cluster is charged."""
        return await _POSITIONS.fetch(self._pool, cluster_id=cluster_id)

    async def unpublished(self) -> int:
        """Count messages that are written and not yet handed to the broker."""
        return await _UNPUBLISHED.fetch_one(self._pool)

    async def parked_counts(self) -> dict[str, int]:
        """Count parked events that were not sent again, by reason."""
        return {row.reason: row.count for row in await _PARKED.fetch(self._pool)}

    async def alarms(self) -> list[str]:
        """List what a person has to handle: quarantined messages that nobody has reviewed, by topic and reason."""
        rows = await _REFUSED.fetch(self._pool)
        return [f"message_refused: {row.topic}: {row.reason}: {row.count}" for row in rows]

    async def manifest(self, run: str, number: int) -> bytes | None:
        """Read a manifest as it was published; one of a version before manifests were signed is signed now.

        A key signs equal bytes alike, so the answer is the same each time.
        """
        payload = await _MANIFEST.fetch_first(self._pool, run=run, number=number)
        return None if payload is None else signed_payload(payload, self._author)
