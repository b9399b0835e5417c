"""Proof of an order: its rows, each with the path from its leaf to the root of its batch. Reads only.

Interior nodes are not stored but for the roots of groups: the leaves of a row's group are computed from its rows. A
proof that does not lead to the manifest's root is not given out.
"""

from dataclasses import dataclass
from datetime import date, datetime
from hashlib import sha256
from typing import Final

import msgspec
from msgspec import Struct
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    FromClause,
    Integer,
    Table,
    Text,
    and_,
    bindparam,
    func,
    literal_column,
    or_,
    select,
)

from services.charging.queries.entry_rows import (
    EntryRow,
    entry_content,
    entry_of_day,
    fetch_of_days,
    select_entries,
)
from services.charging.queries.orders import ORDER_OF_ANY_DAY, ORDER_OF_DAY
from services.charging.store.archived_days import prove_beside, refuse_archived, refuse_unknown_day
from services.charging.store.leaf_groups import SIZE, Groups
from services.charging.tables import (
    archived_day,
    archived_nodes,
    batch_day,
    conflict,
    declaration,
    enterprise,
    manifest,
    parked,
)
from shared.adapters.postgres.pool import Connection, Pool
from shared.adapters.postgres.queries.statements import Query, query
from shared.contracts.manifests import PremiumsCharged, head_of
from shared.domain.errors import Refused
from shared.domain.evidence.leaf import RowKind, declaration_leaf, kept_leaf
from shared.domain.evidence.merkle import leaf_hash, verify_inclusion
from shared.domain.evidence.partial_tree import Nodes, unpack


class _BatchRow(Struct, frozen=True):
    payload: bytes
    groups: bytes
    days: list[date]
    nodes: list[bytes]


class _KeptRow(Struct, frozen=True):
    leaf_index: int
    topic: str
    partition: int
    record_offset: int
    record_time_ms: int
    reason: str
    received: bytes


class _DeclarationRow(Struct, frozen=True):
    leaf_index: int
    uscc: str
    declaration_id: str
    declared_day: date
    received: bytes
    body: bytes


_BATCH: Final = bindparam("batch", type_=BigInteger)
_FIRST: Final = bindparam("first", type_=Integer)
_NEXT: Final = bindparam("next", type_=Integer)


def _in_span(row: FromClause) -> ColumnElement[bool]:
    """The row is in the batch, and its leaf from the first index up to before the next one (None: to the end)."""
    is_before = or_(_NEXT.is_(None), row.c.leaf_index < _NEXT)
    return and_(row.c.batch == _BATCH, row.c.leaf_index >= _FIRST, is_before)


def _kept_rows(table: Table, reason: ColumnElement[str]) -> Query[_KeptRow]:
    names = ("leaf_index", "topic", "partition", "record_offset", "record_time_ms")
    columns = [*(table.c[name] for name in names), reason.label("reason"), table.c.received]
    return query(select(*columns).where(_in_span(table)), _KeptRow)


_MANIFEST: Final = query(
    select(
        manifest.c.payload,
        manifest.c.groups,
        func.array(select(batch_day.c.insured_on).where(batch_day.c.batch == manifest.c.batch).scalar_subquery()).label(
            "days"
        ),
        func.array(
            select(archived_nodes.c.nodes)
            .join(archived_day, archived_day.c.day == archived_nodes.c.day)
            .where(archived_nodes.c.batch == manifest.c.batch)
            .scalar_subquery()
        ).label("nodes"),
    ).where(manifest.c.batch == _BATCH),
    _BatchRow,
)
_ENTRIES_OF_DAY: Final = entry_of_day("n")
_ENTRIES: Final = query(select_entries(_ENTRIES_OF_DAY).where(_in_span(_ENTRIES_OF_DAY)), EntryRow)
_PARKED: Final = _kept_rows(parked, parked.c.reason)
_CONFLICTS: Final = _kept_rows(conflict, literal_column("'conflict'", Text))
_DECLARATIONS: Final = query(
    select(
        declaration.c.leaf_index,
        enterprise.c.uscc,
        declaration.c.declaration_id,
        declaration.c.declared_day,
        declaration.c.received,
        declaration.c.body,
    )
    .join_from(declaration, enterprise, enterprise.c.id == declaration.c.enterprise)
    .where(_in_span(declaration)),
    _DeclarationRow,
)


class Altered(Refused):
    """The rows of a batch no longer give the root that its manifest names."""


class ProofAnswer(Struct, frozen=True):
    """A proof as the API answers it; bytes in hex. `entry` is the manifest's entry in the log."""

    kind: int
    accepted_at: datetime
    worker_id: str
    content: str
    rank: int
    proof: list[str]
    run: str
    number: int
    leaves: int
    root: str
    entry: str


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

    def as_json(self) -> ProofAnswer:
        """Give the proof as the API answers it."""
        return ProofAnswer(
            kind=self.kind,
            accepted_at=self.accepted_at,
            worker_id=self.worker_id,
            content=self.content.hex(),
            rank=self.rank,
            proof=[node.hex() for node in self.proof],
            run=self.manifest.run,
            number=self.manifest.number,
            leaves=self.manifest.leaves,
            root=self.manifest.root,
            entry=bytes(head_of(self.manifest)).hex(),
        )


class Proofs:
    """Proofs from charging's rows, over a pool of `services.charging.store.partition_queries`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def order(self, enterprise: str, order_id: str, day: date | None) -> list[RowProof]:
        """Prove every row of an order accepted on the day (None: on any).

        Raises `Altered` where its group was changed, `Archived` where there may be rows in archived days.
        """
        async with self._pool.acquire() as connection:
            if day is None:
                rows = await ORDER_OF_ANY_DAY.fetch(connection, uscc=enterprise, order_id=order_id)
            else:
                rows = await fetch_of_days(connection, ORDER_OF_DAY, [day], uscc=enterprise, order_id=order_id)
            if not rows:
                await (refuse_unknown_day(connection) if day is None else refuse_archived(connection, day))
            batches = {batch: await _read_batch(connection, batch) for batch in {row.batch for row in rows}}
            return [await _prove(connection, row, batches[row.batch]) for row in rows]


@dataclass(frozen=True, slots=True)
class _Batch:
    manifest: PremiumsCharged
    groups: Groups
    days: list[date]
    subtrees: Nodes


async def _read_batch(connection: Connection, batch: int) -> _Batch:
    row = await _MANIFEST.fetch_first(connection, batch=batch)
    if row is None:
        raise Altered(f"there are rows of batch {batch}, which has no manifest")
    manifest = msgspec.json.decode(row.payload, type=PremiumsCharged)
    subtrees = {place: node for nodes in row.nodes for place, node in unpack(nodes).items()}
    return _Batch(manifest, Groups.read(row.groups), row.days, subtrees)


async def _prove(connection: Connection, row: EntryRow, batch: _Batch) -> RowProof:
    manifest, content = batch.manifest, entry_content(row)
    find_path = _path_beside if batch.subtrees else _path_in_group
    try:
        rank, proof = await find_path(connection, row, batch)
    except Refused as error:
        raise Altered(f"run {manifest.run} number {manifest.number}: {error}") from error
    if not verify_inclusion(leaf_hash(content), rank, manifest.leaves, proof, bytes.fromhex(manifest.root)):
        raise Altered(f"the rows of run {manifest.run} number {manifest.number} do not give its root")
    return RowProof(content, row.kind, row.accepted_at, row.worker.hex(), rank, proof, manifest)


async def _path_in_group(connection: Connection, row: EntryRow, batch: _Batch) -> tuple[int, list[bytes]]:
    """Find rank and proof of a row by the rows of its group; Refused where the group does not hold it."""
    group = batch.groups.holding(row.leaf_index)
    span = None if group < 0 else batch.groups.span(group)
    size = min(SIZE, batch.manifest.leaves - group * SIZE)
    leaves = {} if span is None else dict(await _read_leaves(connection, row.batch, span, batch.days, size))
    if row.leaf_index not in leaves:
        raise Refused("it does not have the groups that it was written with")
    place = list(leaves).index(row.leaf_index)
    return group * SIZE + place, batch.groups.proof(group, list(leaves.values()), place)


async def _path_beside(connection: Connection, row: EntryRow, batch: _Batch) -> tuple[int, list[bytes]]:
    """Find them where rows of the batch are archived, by all rows that are left and the subtrees of the others."""
    leaves = dict(await _read_leaves(connection, row.batch, (0, None), batch.days, batch.manifest.leaves))
    place = list(leaves).index(row.leaf_index)
    return prove_beside(batch.subtrees, batch.manifest.leaves, list(leaves.values()), place)


async def _read_leaves(
    connection: Connection, batch: int, span: tuple[int, int | None], days: list[date], most: int
) -> list[tuple[int, bytes]]:
    """Read index and hash of each leaf with an index in the span, in their order, from rows of every kind.

    There are `most` of them; where orders alone are as many, no other table is read.
    """
    first, following = span
    entries = await fetch_of_days(connection, _ENTRIES, days, batch=batch, first=first, next=following)
    contents = [(row.leaf_index, entry_content(row)) for row in entries]
    if len(contents) < most:
        for rows, kind in ((_PARKED, RowKind.PARKED), (_CONFLICTS, RowKind.CONFLICT)):
            kept = await rows.fetch(connection, batch=batch, first=first, next=following)
            contents += [(row.leaf_index, _kept_content(row, kind)) for row in kept]
        declared = await _DECLARATIONS.fetch(connection, batch=batch, first=first, next=following)
        contents += [(row.leaf_index, _declaration_content(row)) for row in declared]
    return sorted((index, leaf_hash(content)) for index, content in contents)


def _kept_content(row: _KeptRow, kind: RowKind) -> bytes:
    place = (row.topic, row.partition, row.record_offset, row.record_time_ms)
    return kept_leaf(kind, *place, row.reason, row.received)


def _declaration_content(row: _DeclarationRow) -> bytes:
    return declaration_leaf(
        row.uscc.encode(), row.declaration_id, row.declared_day.toordinal(), row.received, sha256(row.body).digest()
    )
