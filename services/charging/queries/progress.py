"""Reads charging's progress: committed manifests, positions, and what waits for a person."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Final

from msgspec import Struct
from sqlalchemy import Integer, Text, and_, bindparam, exists, func, not_, select

from services.charging.store.manifests import signed_payload
from services.charging.tables import (
    manifest,
    outbox,
    parked,
    position,
    refused_message,
    refused_review,
    resent,
    run,
    unlisted_region,
)
from shared.adapters.crypto.signing import AuthorSigner
from shared.adapters.postgres.pool import Pool
from shared.adapters.postgres.queries.statements import query, values
from shared.domain.calendar import SHANGHAI

MOST_NAMED: Final = 20
"""Region codes, and messages that the broker refuses, that have an alarm each."""


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


class UnlistedRegion(Struct, frozen=True):
    """A region code of orders that the file of regions did not have."""

    region: int
    first_seen: datetime


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
_UNSENT: Final = values(
    select(outbox.c.refusal).where(outbox.c.refusal.is_not(None)).order_by(outbox.c.id).limit(MOST_NAMED), str
)
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
_UNLISTED: Final = query(
    select(unlisted_region.c.region, unlisted_region.c.first_seen).order_by(unlisted_region.c.region), UnlistedRegion
)
_MANIFEST: Final = values(
    select(manifest.c.payload)
    .join_from(manifest, run, manifest.c.run_id == run.c.id)
    .where(and_(run.c.run == bindparam("run", type_=Text), manifest.c.number == bindparam("number", type_=Integer))),
    bytes,
)


class ProgressQueries:
    """Answers over a pool."""

    def __init__(self, pool: Pool, author: AuthorSigner, regions: Collection[str]) -> None:
        self._pool = pool
        self._regions = regions
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
        """List what a person has to handle: messages that were or are refused, and regions in no list."""
        rows = await _REFUSED.fetch(self._pool)
        refused = [f"message_refused: {row.topic}: {row.reason}: {row.count}" for row in rows]
        refused += [f"outbox_refused: {refusal}" for refusal in await _UNSENT.fetch(self._pool)]
        return refused + _unlisted_alarms(await _UNLISTED.fetch(self._pool), self._regions)

    async def manifest(self, run: str, number: int) -> bytes | None:
        """Read a manifest as it was published; one of a version before manifests were signed is signed now.

        A key signs equal bytes alike, so the answer is the same each time.
        """
        payload = await _MANIFEST.fetch_first(self._pool, run=run, number=number)
        return None if payload is None else signed_payload(payload, self._author)


def _unlisted_alarms(seen: Sequence[UnlistedRegion], regions: Collection[str]) -> list[str]:
    """One alarm for each code that the file still does not have, up to MOST_NAMED; then how many more there are."""
    missing = [row for row in seen if f"{row.region:06}" not in regions]
    alarms = [
        f"unlisted_region: {row.region:06}, first on {row.first_seen.astimezone(SHANGHAI).date()}: charged by its"
        " province; add its line to DANBAO_REGIONS and restart"
        for row in missing[:MOST_NAMED]
    ]
    return alarms + ([f"unlisted_region: {len(missing) - MOST_NAMED} more"] if len(missing) > MOST_NAMED else [])
