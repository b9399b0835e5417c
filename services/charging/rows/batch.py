"""Holds what one batch will write. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from hashlib import sha256
from typing import Protocol

import msgspec

from services.charging.rows.row_kinds import Row
from shared.contracts.events import Declaration
from shared.domain.evidence.declaration_keys import Signed
from shared.domain.evidence.leaf import RowKind, kept_leaf
from shared.domain.evidence.merkle import leaf_hash
from shared.intake.message_content import declared_content
from shared.intake.rated_events import TotalKey


class Record(Protocol):
    """Fields read of a Kafka record; `timestamp` is milliseconds since 1970, the event's "now" (decision 0004)."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


@dataclass(slots=True)
class KeptRecord:
    """A record that stays outside the books, with its bytes: parked or in conflict."""

    leaf_index: int
    record: Record
    reason: str
    detail: str
    key: tuple[object, ...] = ()
    arrived_ms: int | None = None
    """When a parked event that was sent again arrived first; None for one that came now."""


@dataclass(slots=True)
class DeclarationRow:
    """A `day.declared.v1` as it is stored; `body` is `data` in canonical JSON."""

    leaf_index: int
    enterprise: int
    declaration_id: str
    day: date
    stated_revision: int
    recorded_at: datetime
    body: bytes
    received: bytes
    signed: Signed | None = None
    """The enterprise's signature, where it has to sign."""

    def repeats(self, body: bytes, revision: int | None) -> bool:
        """Whether a stored manifest of the same id says the same, so that this one is a repeat and not a conflict."""
        if revision != (self.signed.revision if self.signed else None):
            return False
        held, new = (msgspec.json.decode(text, type=Declaration) for text in (body, self.body))
        return declared_content(held) == declared_content(new)


@dataclass(slots=True)
class Batch:
    """Rows that one batch will write. Parallel lists are indexed by the record's number in the batch."""

    events: int = 0
    rows: list[Row] = field(default_factory=list)
    parked: list[KeptRecord] = field(default_factory=list)
    declarations: list[DeclarationRow] = field(default_factory=list)
    leaves: list[bytes] = field(default_factory=list)
    totals: list[TotalKey] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    days: set[int] = field(default_factory=set)
    unlisted_regions: list[int] = field(default_factory=list)
    """Region of each order whose code is in no list; it is charged by its province."""
    arrivals: Mapping[int, int] = field(default_factory=dict)
    """First arrivals, in ms since the epoch, of records that the operator sent again, by their leaf index."""
    possible_duplicates: set[int] = field(default_factory=set)
    """Leaf indexes of rows that are queried before they are written: they may well be in the table already."""


def kept_record_leaf(kind: RowKind, record: Record, reason: str) -> bytes:
    """Leaf hash of a record that is kept with its bytes."""
    received = sha256(record.value or b"").digest()
    return leaf_hash(kept_leaf(kind, record.topic, record.partition, record.offset, record.timestamp, reason, received))
