"""Every row of charging, read once: rated again, hashed again, counted again.

Rows come as they lie in the table, which is nearly in the order of batches: a batch's leaves are held until it has as
many as its manifest says, and then only their root. So memory holds the leaves of a few batches, whatever there is.

Nothing here is shared with the code that wrote the rows but the encoding of a leaf (shared.domain.evidence.leaf),
the tree and the scheme. What is worked out per batch is held against the manifest by `manifests.py`.
"""

from collections import Counter
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from services.audit.archived import archived_rows
from services.audit.charging.batches import Batches
from services.audit.charging.order_rows import ENTRIES, EntryReader
from services.audit.charging.workers import Workers
from services.audit.facts import Facts
from services.audit.verdict import Check
from shared.adapters.postgres.pool import Connection
from shared.contracts.topics import enterprise_of
from shared.domain.evidence.leaf import RowKind, assessed_leaf, declaration_leaf, kept_leaf
from shared.domain.evidence.merkle import leaf_hash
from shared.domain.scheme.industry import Industry

ASSESSMENTS: Final = ("presumed", "declared_unused", "arrived")
"""What the codes in `why` mean; services/charging/migrations/versions/0001_charging.sql describes the columns."""
FETCH_ROWS: Final = 5_000
ARCHIVE: Final = Path("archive")
"""Where archived days are, unless somebody says where."""
_KEPT: Final = """
    select batch, leaf_index, topic, partition, record_offset, record_time_ms, received, 5 as kind, reason
    from charging.parked
    union all
    select batch, leaf_index, topic, partition, record_offset, record_time_ms, received, 6, 'conflict'
    from charging.conflict order by batch, leaf_index"""


class RowReader:
    """Reads all rows; `found` is what the batches come to, `workers` who was covered."""

    def __init__(self, facts: Facts, rates: Check) -> None:
        self._facts, self._rates = facts, rates
        self.found = Batches(facts.manifests)
        self.workers = Workers()
        self.kept: Counter[tuple[str, int, int]] = Counter()

    async def read(self, connection: Connection, archive: Path = ARCHIVE) -> None:
        """Read all, archived days too, in a transaction; entries come last."""
        # A join that does not fit gives its rows in another order, and leaves would wait for each other.
        await connection.execute("set local work_mem = '256MB'")
        async for row in connection.cursor(_KEPT, prefetch=FETCH_ROWS):
            self._take_kept(row)
        for row in await connection.fetch("select * from charging.declaration"):
            self._take_declaration(row)
        async for row in connection.cursor("select * from charging.assessment", prefetch=FETCH_ROWS):
            self._take_assessment(row)
        entries = EntryReader(self._facts, self._rates, self.found, self.workers)
        async for row in connection.cursor(ENTRIES, prefetch=FETCH_ROWS):
            entries.take(row)
        for archived in await archived_rows(connection, archive, self._facts.archived):
            entries.take(archived)

    def _take_kept(self, row: Any) -> None:
        found = self.found[row["batch"]]
        leaf = kept_leaf(
            row["kind"], row["topic"], row["partition"], row["record_offset"], row["record_time_ms"], row["reason"],
            row["received"],
        )  # fmt: skip
        found.take_leaf(row["leaf_index"], leaf_hash(leaf))
        outcome, reason = ("parked", row["reason"]) if row["kind"] == RowKind.PARKED else ("conflict", None)
        found.add((None, enterprise_of(row["topic"]) or "", None, None, outcome, reason, None))
        self.kept[row["topic"], row["partition"], row["record_offset"]] += 1

    def _take_declaration(self, row: Any) -> None:
        uscc = self._facts.enterprises.get(row["enterprise"], "")
        found = self.found[row["batch"]]
        leaf = declaration_leaf(
            uscc.encode(), row["declaration_id"], row["declared_day"].toordinal(), row["received"],
            sha256(row["body"]).digest(),
        )  # fmt: skip
        found.take_leaf(row["leaf_index"], leaf_hash(leaf))
        found.add((None, uscc, None, None, "recorded", "declaration", None))

    def _take_assessment(self, row: Any) -> None:
        uscc, why = self._facts.enterprises.get(row["enterprise"], ""), ASSESSMENTS.index(row["why"])
        found = self.found[row["batch"]]
        leaf = assessed_leaf(
            uscc.encode(), row["insured_on"].toordinal(), row["first"], row["last"], row["base_amount"],
            row["province"], row["industry"], row["tariff_line"], why, row["series"],
        )  # fmt: skip
        found.take_leaf(row["leaf_index"], leaf_hash(leaf))
        place = (row["insured_on"], uscc, f"{row['province']:02}", Industry.of_code(row["industry"]).value)
        numbers, sign = row["last"] - row["first"] + 1, -1 if why else 1
        outcome = "reversed" if why else "charged"
        key = (*place, outcome, f"assessed:{row['series']}", row["tariff_line"])
        found.add(key, numbers, sign * numbers * row["base_amount"])
