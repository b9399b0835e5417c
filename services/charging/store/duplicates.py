"""Duplicates: rows are written with COPY, with INSERT after a collision, and those with a stored key are compared.

A repeat leaves no row and no leaf; a conflict, which has other content, is kept with its bytes. Raw asyncpg on purpose:
COPY needs it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Final

from services.charging.rows.batch import Batch, KeptRecord, kept_record_leaf
from services.charging.rows.order_columns import COPY_COLUMNS, KEY_COLUMNS, content_sql, is_same_key_sql
from services.charging.rows.row_encoding import copy_stream
from services.charging.rows.row_kinds import LEAF_INDEX, Row
from shared.adapters.postgres.pool import Connection, UniqueViolation
from shared.contracts.manifests import Outcome
from shared.domain.calendar import instant_of
from shared.domain.evidence.leaf import RowKind
from shared.intake.rated_events import TotalKey

_COLUMNS: Final = ", ".join(COPY_COLUMNS)
_KEY: Final = ", ".join(KEY_COLUMNS)
_INBOX: Final = (
    "create temporary table if not exists inbox (like charging.entry including defaults) on commit delete rows"
)
_INSERT: Final = f"""insert into charging.entry ({_COLUMNS}) select {_COLUMNS} from inbox
    order by {_KEY}, leaf_index on conflict do nothing returning leaf_index"""
# LIMIT keeps the planner from joining: one lookup in the key's index for each row, at any sizes it expects.
_STORED: Final = f"""select i.leaf_index from inbox i, lateral (
        select from charging.entry e where {is_same_key_sql("e", "i")} limit 1) stored"""
_COMPARE: Final = f"""select i.leaf_index, {content_sql("i")} is not distinct from {content_sql("e")} as is_same
    from inbox i join charging.entry e using ({_KEY}) where i.leaf_index = any($1::int[])"""


@dataclass(frozen=True, slots=True)
class WrittenRows:
    """Leaf indexes of the rows whose key was stored already, and whether one of them was not expected to be."""

    duplicates: set[int]
    has_collision: bool


@dataclass(slots=True)
class Duplicates:
    """Duplicates of a batch by leaf index: repeats, and conflicts with the key of the stored row."""

    repeats: set[int] = field(default_factory=set)
    conflicts: dict[int, tuple[object, ...]] = field(default_factory=dict)

    def add(self, leaf_index: int, *, is_same: bool, key: tuple[object, ...]) -> None:
        """Record a duplicate, a repeat if its content is the stored row's."""
        if is_same:
            self.repeats.add(leaf_index)
        else:
            self.conflicts[leaf_index] = key

    def kept_records(self, batch: Batch) -> list[KeptRecord]:
        """The conflicting records as they are kept."""
        return [
            KeptRecord(index, batch.records[index], "conflict", "", key)
            for index, key in sorted(self.conflicts.items())
        ]

    def applied_to(self, batch: Batch) -> Batch:
        """The batch as it is written: repeats without a leaf, conflicts with that of their record, both uncharged."""
        if not self.repeats and not self.conflicts:
            return batch
        leaves, totals = list(batch.leaves), list(batch.totals)
        for index in self.repeats:
            leaves[index], totals[index] = b"", _uncharged(totals[index], Outcome.REPEAT)
        for index in self.conflicts:
            leaves[index] = kept_record_leaf(RowKind.CONFLICT, batch.records[index], "conflict")
            totals[index] = _uncharged(totals[index], Outcome.CONFLICT)
        return replace(batch, leaves=leaves, totals=totals)


def _uncharged(total: TotalKey, outcome: Outcome) -> TotalKey:
    return total._replace(outcome=outcome, reason=None, tariff_line=None, base_amount=0)


async def write_rows(
    connection: Connection, rows: Sequence[Row], possible_duplicates: set[int], *, use_copy: bool
) -> WrittenRows:
    """Write the rows, sorted by key, whose key is not stored; `possible_duplicates` are queried before a COPY."""
    twice = {row[LEAF_INDEX] for before, row in pairwise(rows) if before[0] == row[0] and before[:5] == row[:5]}
    duplicates = await _copy_new(connection, rows, possible_duplicates | twice, twice) if use_copy else None
    if duplicates is None:
        duplicates = await _insert_rows(connection, rows)
    return WrittenRows(duplicates, bool(duplicates - twice - possible_duplicates))


async def _copy_new(
    connection: Connection, rows: Sequence[Row], possible: set[int], twice: set[int]
) -> set[int] | None:
    """The fast path: COPY into the table, without possible duplicates that are stored and without second ones.

    Returns the leaf indexes of these, or None when the key of another row is stored: then nothing is written. One
    sorted pass writes, after any lookup, so two workers cannot wait for each other.
    """
    try:
        async with connection.transaction():
            duplicates = set(twice)
            if possible:
                await fill_inbox(connection, [row for row in rows if row[LEAF_INDEX] in possible])
                duplicates.update(record[0] for record in await connection.fetch(_STORED))
            new = [row for row in rows if row[LEAF_INDEX] not in duplicates] if duplicates else rows
            await copy_rows(connection, new)
    except UniqueViolation:
        return None
    return duplicates


async def copy_rows(connection: Connection, rows: Sequence[Row]) -> None:
    """COPY rows, sorted by key as every writer's must be, into the table; raises UniqueViolation for a stored key."""
    await connection.copy_to_table(
        "entry", schema_name="charging", columns=COPY_COLUMNS, source=copy_stream(rows), format="binary"
    )


async def _insert_rows(connection: Connection, rows: Sequence[Row]) -> set[int]:
    """The slow path: INSERT ... ON CONFLICT DO NOTHING; returns the leaf indexes of the rows whose key is stored."""
    await fill_inbox(connection, rows)
    inserted = {record[0] for record in await connection.fetch(_INSERT)}
    return {index for row in rows if (index := row[LEAF_INDEX]) not in inserted}


async def fill_inbox(connection: Connection, rows: Sequence[Row]) -> None:
    """COPY rows into the temporary table `inbox`, which the transaction's end empties."""
    await connection.execute(_INBOX)
    await connection.copy_to_table("inbox", columns=COPY_COLUMNS, source=copy_stream(rows), format="binary")


async def compare_rows(connection: Connection, leaf_indexes: Sequence[int]) -> dict[int, bool]:
    """Compare rows of the inbox with the stored rows of their keys: by leaf index, whether the content is the same."""
    return {record["leaf_index"]: record["is_same"] for record in await connection.fetch(_COMPARE, leaf_indexes)}


async def find_duplicates(connection: Connection, rows: Sequence[Row], written: WrittenRows) -> Duplicates:
    """Sort the rows with a stored key into repeats and conflicts."""
    duplicates = Duplicates()
    if written.duplicates:
        is_same = await compare_rows(connection, sorted(written.duplicates))
        for row in rows:
            if (index := row[LEAF_INDEX]) in written.duplicates:
                key = (instant_of(row[0]), *row[1:LEAF_INDEX])
                duplicates.add(index, is_same=is_same[index], key=key)
    return duplicates
