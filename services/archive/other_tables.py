"""Read a batch's leaves that are not rows of the archived day: of other days or kinds, or archived before."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from services.archive.read_archive import among, read_rows
from services.archive.rows import leaf_hashes
from shared.adapters.arrow.database import ArrowDatabase
from shared.domain.errors import Refused
from shared.domain.evidence.leaf import assessed_leaf, declaration_leaf, kept_leaf
from shared.domain.evidence.merkle import leaf_hash
from shared.domain.evidence.partial_tree import fold, free_ranks, unpack

if TYPE_CHECKING:
    from services.archive.jobs import Batch

_WHY: Final = ("presumed", "declared_unused", "arrived")
_HASH: Final = 32
Nodes = dict[tuple[int, int], bytes]
Leaves = dict[int, list[tuple[int, bytes]]]
"""Leaf index and hash, by batch."""


class OtherLeaves:
    """Reads the other leaves of the batches that have any."""

    def __init__(
        self, database: ArrowDatabase, day: date, enterprises: Mapping[int, str], batches: Sequence["Batch"]
    ) -> None:
        self._database, self._day, self._enterprises, self._batches = database, day, enterprises, batches

    def read(self, own: Mapping[int, Sequence[int]]) -> dict[int, Nodes]:
        """Return by batch the subtrees over all leaves except those of the day's rows, whose indexes are `own`."""
        if not self._batches:
            return {}
        archived, leaves = self._archived(), defaultdict(list)
        for batch, index, leaf in self._all_leaves():
            leaves[batch].append((index, leaf))
        return {
            batch.batch: self._fold(batch, archived[batch.batch], leaves[batch.batch], own) for batch in self._batches
        }

    def _fold(
        self, batch: "Batch", archived: Nodes, leaves: list[tuple[int, bytes]], own: Mapping[int, Sequence[int]]
    ) -> Nodes:
        """Fold a batch's leaves, which take in index order the ranks that earlier archived subtrees leave free."""
        ranks = free_ranks(batch.leaves, archived)
        order = sorted([*leaves, *((index, b"") for index in own[batch.batch])])
        if len(order) != len(ranks):
            raise Refused(
                f"run {batch.run} number {batch.number}: {len(order)} leaves where there should be {len(ranks)}"
            )
        free = {(0, rank): node for rank, (_, node) in zip(ranks, order, strict=True) if node}
        return fold(archived | free)

    def _all_leaves(self) -> Iterator[tuple[int, int, bytes]]:
        yield from self._rows_of_other_days()
        yield from self._kept()
        yield from self._declared()
        yield from self._assessed()

    def _rows_of_other_days(self) -> Iterator[tuple[int, int, bytes]]:
        attached = {row["relname"] for row in self._database.read(ATTACHED).to_pylist()}
        for day in sorted({day for batch in self._batches for day in batch.days} - {self._day}):
            part = f"entry_{day:%Y%m%d}"
            if part in attached:
                wanted = {batch.batch: batch.leaves for batch in self._batches if day in batch.days}
                rows = read_rows(self._database, part, wanted)
                hashes = leaf_hashes(rows, self._enterprises)
                places = zip(rows["batch"].to_pylist(), rows["leaf_index"].to_pylist(), strict=True)
                for place, (batch, index) in enumerate(places):
                    yield batch, index, hashes[place * _HASH : (place + 1) * _HASH]

    def _kept(self) -> Iterator[tuple[int, int, bytes]]:
        for row in self._read(
            "select batch, leaf_index, 5::smallint as kind, topic, partition, record_offset, record_time_ms, reason,"
            " received from charging.parked"
        ) + self._read(
            "select batch, leaf_index, 6::smallint as kind, topic, partition, record_offset, record_time_ms,"
            " 'conflict' as reason, received from charging.conflict"
        ):
            leaf = kept_leaf(
                row["kind"], row["topic"], row["partition"], row["record_offset"], row["record_time_ms"],
                row["reason"], row["received"],
            )  # fmt: skip
            yield row["batch"], row["leaf_index"], leaf_hash(leaf)

    def _declared(self) -> Iterator[tuple[int, int, bytes]]:
        for row in self._read(
            "select batch, leaf_index, enterprise, declaration_id, declared_day, received, body"
            " from charging.declaration"
        ):
            uscc = self._enterprises[row["enterprise"]].encode()
            body = sha256(row["body"]).digest()
            leaf = declaration_leaf(uscc, row["declaration_id"], row["declared_day"].toordinal(), row["received"], body)
            yield row["batch"], row["leaf_index"], leaf_hash(leaf)

    def _assessed(self) -> Iterator[tuple[int, int, bytes]]:
        for row in self._read(
            "select batch, leaf_index, enterprise, insured_on, first, last, base_amount, province, industry,"
            " tariff_line, why, series from charging.assessment"
        ):
            leaf = assessed_leaf(
                self._enterprises[row["enterprise"]].encode(), row["insured_on"].toordinal(), row["first"], row["last"],
                row["base_amount"], row["province"], row["industry"], row["tariff_line"], _WHY.index(row["why"]),
                row["series"],
            )  # fmt: skip
            yield row["batch"], row["leaf_index"], leaf_hash(leaf)

    def _archived(self) -> dict[int, Nodes]:
        """Subtrees that replace rows of days archived before and not restored."""
        nodes: dict[int, Nodes] = defaultdict(dict)
        sql = "select batch, nodes from charging.archived_nodes join charging.archived_day using (day)"
        for row in self._read(sql):
            nodes[row["batch"]] |= unpack(row["nodes"])
        return nodes

    def _read(self, sql: str) -> list[dict[str, Any]]:
        wanted = among([batch.batch for batch in self._batches])
        rows: list[dict[str, Any]] = self._database.read(f"{sql} where {wanted}").to_pylist()
        return rows


ATTACHED: Final = """
    select c.relname::text from pg_inherits join pg_class c on c.oid = inhrelid
    where inhparent = 'charging.entry'::regclass and not inhdetachpending"""
