"""Read every row of charging once: rate, hash and count it again.

Rows come as they lie in the table, which is nearly in the order of batches: a batch's leaves are held until it has as
many as its manifest says, and then only their root. So memory holds
the leaves of a few batches, however many rows there are.

Nothing here is shared with the code that wrote the rows but the encoding of a leaf (shared.domain.evidence.leaf),
the tree and the scheme. What is worked out per batch is held against the manifest by `manifests.py`.
"""

from collections import Counter
from datetime import date
from hashlib import sha256
from pathlib import Path
from typing import Final

from msgspec import Struct

from services.audit.archived import archived_rows
from services.audit.charging.batches import Batches
from services.audit.charging.order_rows import ENTRIES, EntryReader
from services.audit.charging.workers import Workers
from services.audit.facts import Facts
from services.audit.verdict import Check
from shared.adapters.postgres.pool import Connection
from shared.adapters.postgres.typed_rows import fetch_structs, stream_structs
from shared.contracts.topics import enterprise_of
from shared.domain.evidence.leaf import RowKind, assessed_leaf, declaration_leaf, kept_leaf
from shared.domain.evidence.merkle import leaf_hash
from shared.domain.scheme.industry import Industry

ASSESSMENTS: Final = ("presumed", "declared_unused", "arrived")
"""What the codes in `why` mean; services/charging/migrations/versions/0001_charging.sql describes the columns."""
FETCH_ROWS: Final = 5_000
ARCHIVE: Final = Path("archive")
"""Default folder of archived days."""
_KEPT: Final = """
    select batch, leaf_index, topic, partition, record_offset, record_time_ms, received, 5 as kind, reason
    from charging.parked
    union all
    select batch, leaf_index, topic, partition, record_offset, record_time_ms, received, 6, 'conflict'
    from charging.conflict order by batch, leaf_index"""


class _KeptRow(Struct, frozen=True):
    """A parked or conflicting record, without its bytes."""

    batch: int
    leaf_index: int
    topic: str
    partition: int
    record_offset: int
    record_time_ms: int
    received: bytes
    kind: int
    reason: str


class _DeclarationRow(Struct, frozen=True):
    """The columns of `charging.declaration` that are in its leaf."""

    batch: int
    leaf_index: int
    enterprise: int
    declaration_id: str
    declared_day: date
    received: bytes
    body: bytes


class _AssessmentRow(Struct, frozen=True):
    """The columns of `charging.assessment` that are in its leaf."""

    batch: int
    leaf_index: int
    enterprise: int
    series: str
    insured_on: date
    first: int
    last: int
    province: int
    industry: int
    tariff_line: int
    base_amount: int
    why: str


class RowReader:
    """Reads all rows; `batches` has the sums of each batch, `workers` the covered workers."""

    def __init__(self, facts: Facts, rates: Check) -> None:
        self._facts, self._rates = facts, rates
        self.batches = Batches(facts.manifests)
        self.workers = Workers()
        self.kept: Counter[tuple[str, int, int]] = Counter()

    async def read(self, connection: Connection, archive: Path = ARCHIVE) -> None:
        """Read all rows, including archived days, in one transaction; entries come last."""
        # A join that does not fit gives its rows in another order, and leaves would wait for each other.
        await connection.execute("set local work_mem = '256MB'")
        async for kept in stream_structs(connection, _KeptRow, _KEPT, prefetch=FETCH_ROWS):
            self._take_kept(kept)
        for declaration in await fetch_structs(connection, _DeclarationRow, "select * from charging.declaration"):
            self._take_declaration(declaration)
        assessments = "select * from charging.assessment"
        async for assessed in stream_structs(connection, _AssessmentRow, assessments, prefetch=FETCH_ROWS):
            self._take_assessment(assessed)
        entries = EntryReader(self._facts, self._rates, self.batches, self.workers)
        async for row in connection.cursor(ENTRIES, prefetch=FETCH_ROWS):
            entries.take(row)
        for archived in await archived_rows(connection, archive, self._facts.archived):
            entries.take(archived)

    def _take_kept(self, row: _KeptRow) -> None:
        contents = self.batches[row.batch]
        leaf = kept_leaf(
            row.kind, row.topic, row.partition, row.record_offset, row.record_time_ms, row.reason,
            row.received,
        )  # fmt: skip
        contents.take_leaf(row.leaf_index, leaf_hash(leaf))
        outcome, reason = ("parked", row.reason) if row.kind == RowKind.PARKED else ("conflict", None)
        contents.add((None, enterprise_of(row.topic) or "", None, None, outcome, reason, None))
        self.kept[row.topic, row.partition, row.record_offset] += 1

    def _take_declaration(self, row: _DeclarationRow) -> None:
        uscc = self._facts.enterprises.get(row.enterprise, "")
        contents = self.batches[row.batch]
        leaf = declaration_leaf(
            uscc.encode(), row.declaration_id, row.declared_day.toordinal(), row.received,
            sha256(row.body).digest(),
        )  # fmt: skip
        contents.take_leaf(row.leaf_index, leaf_hash(leaf))
        contents.add((None, uscc, None, None, "recorded", "declaration", None))

    def _take_assessment(self, row: _AssessmentRow) -> None:
        uscc, why = self._facts.enterprises.get(row.enterprise, ""), ASSESSMENTS.index(row.why)
        contents = self.batches[row.batch]
        leaf = assessed_leaf(
            uscc.encode(), row.insured_on.toordinal(), row.first, row.last, row.base_amount,
            row.province, row.industry, row.tariff_line, why, row.series,
        )  # fmt: skip
        contents.take_leaf(row.leaf_index, leaf_hash(leaf))
        place = (row.insured_on, uscc, f"{row.province:02}", Industry.of_code(row.industry).value)
        numbers, sign = row.last - row.first + 1, -1 if why else 1
        outcome = "reversed" if why else "charged"
        key = (*place, outcome, f"assessed:{row.series}", row.tariff_line)
        contents.add(key, numbers, sign * numbers * row.base_amount)
