"""Positions in PostgreSQL, moved by compare-and-set: a worker names the offset that it holds (docs/decisions/0003)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar
from uuid import UUID

from shared.adapters.postgres.pool import Connection, Pool

_MOVE: Final = """with moved as (
        update charging.position p set next_offset = m.next, events = p.events + m.events
        from unnest($2::text[], $3::int[], $4::bigint[], $5::bigint[], $6::bigint[])
            as m (topic, partition, held, next, events)
        where p.cluster_id = $1 and p.topic = m.topic and p.partition = m.partition and p.next_offset = m.held
        returning 1)
    select count(*) from moved"""

_Partition = TypeVar("_Partition", bound=tuple[str, int])
"""A topic and a partition's number, in the type that the caller has for it."""


@dataclass(frozen=True, slots=True)
class PartitionLog:
    """One partition's log as the broker reports it: first offset, end, and the topic's id where the broker has one."""

    first: int
    end: int
    topic_id: UUID | None


@dataclass(frozen=True, slots=True)
class StoredPosition:
    """A position as it is stored, with the id of the topic that it was charged from."""

    position: int
    topic_id: UUID | None


class Fenced(Exception):  # noqa: N818 - an expected outcome, raised so that the transaction rolls back
    """Another worker moved a position of this batch: nothing of it may be written."""


@dataclass(frozen=True, slots=True)
class Move:
    """A position to move over `events` events, from `held`, which must be the stored offset, to `next`."""

    topic: str
    partition: int
    held: int
    next: int
    events: int


async def read_positions(
    pool: Pool, cluster_id: str | None, logs: Mapping[_Partition, PartitionLog]
) -> dict[_Partition, StoredPosition]:
    """Read the stored positions; a partition that is new is stored with the first offset of its log."""
    rows = await pool.fetch(
        """insert into charging.position as p (cluster_id, topic, partition, first_offset, next_offset, topic_id)
        select $1, topic, partition, first, first, id
        from unnest($2::text[], $3::int[], $4::bigint[], $5::uuid[]) as u (topic, partition, first, id)
        on conflict (cluster_id, topic, partition) do update set topic_id = coalesce(p.topic_id, excluded.topic_id)
        returning topic, partition, next_offset, topic_id""",
        cluster_id,
        [topic for topic, _ in logs],
        [partition for _, partition in logs],
        [log.first for log in logs.values()],
        [log.topic_id for log in logs.values()],
    )
    stored = {(row["topic"], row["partition"]): StoredPosition(row["next_offset"], row["topic_id"]) for row in rows}
    return {partition: stored[partition] for partition in logs}


async def pass_over(pool: Pool, cluster_id: str, moves: Sequence[Move]) -> None:
    """Move positions over offsets that hold no event; raises Fenced when one is not where it was held."""
    async with pool.acquire() as connection, connection.transaction():
        await move_positions(connection, cluster_id, moves)


async def move_positions(connection: Connection, cluster_id: str, moves: Sequence[Move]) -> None:
    """Move positions in the caller's transaction; raises Fenced when one is not where it was held."""
    ordered = sorted(moves, key=lambda move: (move.topic, move.partition))
    moved = await connection.fetchval(
        _MOVE,
        cluster_id,
        [move.topic for move in ordered],
        [move.partition for move in ordered],
        [move.held for move in ordered],
        [move.next for move in ordered],
        [move.events for move in ordered],
    )
    if moved != len(ordered):
        raise Fenced(f"{moved} of {len(ordered)} positions were where they were held")
