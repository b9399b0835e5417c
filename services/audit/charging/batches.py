"""Sums over the rows of each batch, which `manifests.py` compares with its manifest."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

from services.audit.facts import Manifest
from shared.domain.evidence.merkle import root as merkle_root

TotalKey = tuple[date | None, str, str | None, str | None, str, str | None, int | None]
"""Insured day, enterprise, province, industry, outcome, reason, tariff line."""


@dataclass(slots=True)
class Tally:
    """Sums over the rows of one batch with equal key."""

    key: TotalKey
    orders: int = 0
    premium: int = 0
    workers: set[bytes] | None = None
    """The set that collects the charged workers of these rows; None where they are not collected."""
    hours: list[int] | None = None
    """The counters for the hour of acceptance; None where hours are not counted."""
    is_employee: bool = False
    """Whether the worker is reported as an employee of another employer."""


@dataclass(slots=True)
class BatchContents:
    """Leaves, days and sums of the rows of one batch."""

    expected: int
    """Leaves that its manifest says it has."""
    tallies: dict[object, Tally] = field(default_factory=dict)
    """By key, or by an object that replaces the key (`_Alike` in `order_rows.py`)."""
    days: set[date] = field(default_factory=set)
    count: int = 0
    _indexes: list[int] = field(default_factory=list)
    _leaves: list[bytes] = field(default_factory=list)
    _root: bytes | None = None

    def take_leaf(self, index: int, leaf: bytes) -> None:
        """Add a leaf, in any order; a leaf beyond the expected number makes `count` differ."""
        self.count += 1
        if self._root is None:
            self._indexes.append(index)
            self._leaves.append(leaf)
            if self.count == self.expected:
                self._root = self.root()
                self._indexes, self._leaves = [], []

    def root(self) -> bytes:
        """Compute the root over the leaves, in the order of their indexes."""
        if self._root is not None:
            return self._root
        return merkle_root([leaf for _, leaf in sorted(zip(self._indexes, self._leaves, strict=True))])

    def add(self, key: TotalKey, orders: int = 1, premium: int = 0) -> None:
        """Add orders and premium to the sums of `key`."""
        tally = self.tallies.setdefault(key, Tally(key))
        tally.orders += orders
        tally.premium += premium

    def sums(self) -> dict[TotalKey, tuple[int, int]]:
        """Return orders and premium by key."""
        sums: dict[TotalKey, tuple[int, int]] = {}
        for tally in self.tallies.values():
            orders, premium = sums.get(tally.key, (0, 0))
            sums[tally.key] = (orders + tally.orders, premium + tally.premium)
        return sums


class Batches(dict[int, BatchContents]):
    """Contents by batch number; reading a missing batch creates an empty one with its manifest's leaf count."""

    def __init__(self, manifests: Mapping[int, Manifest]) -> None:
        super().__init__()
        self._manifests = manifests

    def __missing__(self, batch: int) -> BatchContents:
        manifest = self._manifests.get(batch)
        contents = self[batch] = BatchContents(manifest.leaves if manifest else 0)
        return contents
