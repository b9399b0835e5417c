"""Proof of an order: its rows, each with the way from its leaf to the root of its batch. Reads only.

Interior nodes are not stored but for the roots of groups: the leaves of a row's group are worked out anew
from its rows. A proof that does not lead to the manifest's root is not given out.
"""

from dataclasses import dataclass
from datetime import date, datetime
from hashlib import sha256
from typing import Any, Final, NamedTuple

import msgspec

from services.charging.queries.orders import ORDER_ROWS
from services.charging.store.archived_days import prove_beside, refuse_archived, refuse_unknown_day
from services.charging.store.leaf_groups import SIZE, Groups
from services.charging.store.partition_queries import fetch_of_days
from shared.adapters.postgres.pool import Connection, Pool
from shared.contracts.manifests import PremiumsCharged, head_of
from shared.domain.calendar import since_epoch_us
from shared.domain.errors import Refused
from shared.domain.evidence.leaf import NO_INT64, RowKind, declaration_leaf, kept_leaf, order_leaf
from shared.domain.evidence.merkle import leaf_hash, verify_inclusion
from shared.domain.evidence.partial_tree import Nodes, unpack
from shared.domain.scheme.worker import join_token

_MANIFEST: Final = """
    select payload, groups,
        array(select insured_on from charging.batch_day d where d.batch = m.batch) as days,
        array(select nodes from charging.archived_nodes n join charging.archived_day using (day)
            where n.batch = m.batch) as nodes
    from charging.manifest m where batch = $1"""
_IN_GROUP: Final = "batch = $1 and leaf_index >= $2 and ($3::int is null or leaf_index < $3)"
_ENTRIES: Final = f"""select u.uscc, n.* from charging.entry n join charging.enterprise u on u.id = n.enterprise
    where {_IN_GROUP}"""
_PARKED: Final = f"select * from charging.parked where {_IN_GROUP}"
_CONFLICTS: Final = f"select *, 'conflict' as reason from charging.conflict where {_IN_GROUP}"
_DECLARATIONS: Final = f"""
    select u.uscc, d.* from charging.declaration d join charging.enterprise u on u.id = enterprise where {_IN_GROUP}"""


class Altered(Refused):
    """The rows of a batch no longer give the root that its manifest names."""


@dataclass(frozen=True, slots=True)
class RowProof:
    """One row: its leaf's content, its place among the batch's leaves, the proof, and the manifest's head."""

    content: bytes
    kind: int
    accepted_at: datetime
    worker_id: str
    rank: int
    proof: list[bytes]
    manifest: PremiumsCharged

    def told(self) -> dict[str, Any]:
        """As the API answers it; bytes in hex. `entry` is the manifest's entry in the log."""
        return {
            "kind": self.kind,
            "accepted_at": self.accepted_at,
            "worker_id": self.worker_id,
            "content": self.content.hex(),
            "rank": self.rank,
            "proof": [each.hex() for each in self.proof],
            "run": self.manifest.run,
            "number": self.manifest.number,
            "leaves": self.manifest.leaves,
            "root": self.manifest.root,
            "entry": bytes(head_of(self.manifest)).hex(),
        }


class Proofs:
    """Proofs from charging's rows, over a pool of `services.charging.store.partition_queries`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def order(self, enterprise: str, order_id: str, day: date | None) -> list[RowProof]:
        """Every row of an order accepted on the day, or whenever.

        Raises `Altered` where its group was changed, `Archived` where there may be rows in archived days.
        """
        async with self._pool.acquire() as connection:
            if day is None:
                rows = await connection.fetch(ORDER_ROWS, enterprise, order_id)
            else:
                rows = await fetch_of_days(connection, ORDER_ROWS, [day], enterprise, order_id)
            if not rows:
                await (refuse_unknown_day(connection) if day is None else refuse_archived(connection, day))
            batches = {batch: await _read_batch(connection, batch) for batch in {row["batch"] for row in rows}}
            return [await _prove(connection, row, batches[row["batch"]]) for row in rows]


class _Batch(NamedTuple):
    manifest: PremiumsCharged
    groups: Groups
    days: list[date]
    subtrees: Nodes


async def _read_batch(connection: Connection, batch: int) -> _Batch:
    found = await connection.fetchrow(_MANIFEST, batch)
    if found is None:
        raise Altered(f"there are rows of batch {batch}, which has no manifest")
    manifest = msgspec.json.decode(found["payload"], type=PremiumsCharged)
    subtrees = {place: node for nodes in found["nodes"] for place, node in unpack(nodes).items()}
    return _Batch(manifest, Groups.read(found["groups"]), found["days"], subtrees)


async def _prove(connection: Connection, row: Any, batch: _Batch) -> RowProof:
    manifest, content = batch.manifest, entry_content(row)
    find_way = _way_beside if batch.subtrees else _way_in_group
    try:
        rank, proof = await find_way(connection, row, batch)
    except Refused as error:
        raise Altered(f"run {manifest.run} number {manifest.number}: {error}") from error
    if not verify_inclusion(leaf_hash(content), rank, manifest.leaves, proof, bytes.fromhex(manifest.root)):
        raise Altered(f"the rows of run {manifest.run} number {manifest.number} do not give its root")
    worker = join_token(row["worker_key"], row["worker_rest"])
    return RowProof(content, row["kind"], row["accepted_at"], worker.hex(), rank, proof, manifest)


async def _way_in_group(connection: Connection, row: Any, batch: _Batch) -> tuple[int, list[bytes]]:
    """Rank and proof of a row, by the rows of its group; Refused where the group does not hold it."""
    group = batch.groups.holding(row["leaf_index"])
    span = None if group < 0 else batch.groups.span(group)
    size = min(SIZE, batch.manifest.leaves - group * SIZE)
    leaves = {} if span is None else dict(await _read_leaves(connection, row["batch"], span, batch.days, size))
    if row["leaf_index"] not in leaves:
        raise Refused("it does not have the groups that it was written with")
    place = list(leaves).index(row["leaf_index"])
    return group * SIZE + place, batch.groups.proof(group, list(leaves.values()), place)


async def _way_beside(connection: Connection, row: Any, batch: _Batch) -> tuple[int, list[bytes]]:
    """The same where rows of the batch are archived, by all that are here and what stands for the others."""
    leaves = dict(await _read_leaves(connection, row["batch"], (0, None), batch.days, batch.manifest.leaves))
    place = list(leaves).index(row["leaf_index"])
    return prove_beside(batch.subtrees, batch.manifest.leaves, list(leaves.values()), place)


async def _read_leaves(
    connection: Connection, batch: int, span: tuple[int, int | None], days: list[date], most: int
) -> list[tuple[int, bytes]]:
    """Index and hash of each leaf with an index in the span, in their order, from rows of every kind.

    There are `most` of them; where orders alone are as many, nothing else is looked for.
    """
    rows = [(row, entry_content(row)) for row in await fetch_of_days(connection, _ENTRIES, days, batch, *span)]
    if len(rows) < most:
        for sql, kind in ((_PARKED, RowKind.PARKED), (_CONFLICTS, RowKind.CONFLICT)):
            rows += [(row, _kept_content(row, kind)) for row in await connection.fetch(sql, batch, *span)]
        rows += [(row, _declaration_content(row)) for row in await connection.fetch(_DECLARATIONS, batch, *span)]
    return sorted((row["leaf_index"], leaf_hash(content)) for row, content in rows)


def _kept_content(row: Any, kind: RowKind) -> bytes:
    where = (row["topic"], row["partition"], row["record_offset"], row["record_time_ms"])
    return kept_leaf(kind, *where, row["reason"], row["received"])


def _declaration_content(row: Any) -> bytes:
    return declaration_leaf(
        row["uscc"].encode(), row["declaration_id"], row["declared_day"].toordinal(), row["received"],
        sha256(row["body"]).digest(),
    )  # fmt: skip


def entry_content(row: Any) -> bytes:
    """The leaf's content of a row of charging.entry, which has its enterprise's `uscc` beside its columns."""
    ended = row["ended_at"]
    return order_leaf(
        row["kind"], row["uscc"].encode(), since_epoch_us(row["accepted_at"]),
        NO_INT64 if ended is None else since_epoch_us(ended),
        NO_INT64 if row["sequence"] is None else row["sequence"], row["premium"], row["region"], row["tariff_line"],
        row["token_key"], row["industry"], row["reason"], -1 if row["departed"] is None else int(row["departed"]),
        join_token(row["worker_key"], row["worker_rest"]), row["received"], row["order_id"].encode(),
        _encoded(row["series"]), _encoded(row["agency_uscc"]), _encoded(row["employer_insurance_no"]),
    )  # fmt: skip


def _encoded(value: str | None) -> bytes | None:
    return None if value is None else value.encode()
