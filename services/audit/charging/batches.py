"""What the rows of each batch come to: what `manifests.py` holds against its manifest."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

from services.audit.facts import Manifest
from shared.domain.evidence.merkle import root as merkle_root

TotalKey = tuple[date | None, str, str | None, str | None, str, str | None, int | None]
"""Insured day, enterprise, province, industry, outcome, reason, tariff line."""


@dataclass(slots=True)
class Tally:
    """Rows of one batch that count as the same."""

    key: TotalKey
    orders: int = 0
    premium: int = 0
    workers: set[bytes] | None = None
    """Where the worker of such a row is noted, if he is; whoever is charged by one."""
    hours: list[int] | None = None
    """Where its hour is counted, if it is."""
    is_employee: bool = False
    """Whether its worker is told as somebody else's employee."""


@dataclass(slots=True)
class Found:
    """What the rows of one batch come to."""

    expected: int
    """Leaves that its manifest says it has."""
    tallies: dict[object, Tally] = field(default_factory=dict)
    """By their key, or by what is at hand for each row and has the same key (`entries.py`)."""
    days: set[date] = field(default_factory=set)
    count: int = 0
    _indexes: list[int] = field(default_factory=list)
    _leaves: list[bytes] = field(default_factory=list)
    _root: bytes | None = None

    def take_leaf(self, index: int, leaf: bytes) -> None:
        """One more leaf, in any order; what comes after the last expected one makes `count` another."""
        self.count += 1
        if self._root is None:
            self._indexes.append(index)
            self._leaves.append(leaf)
            if self.count == self.expected:
                self._root = self.root()
                self._indexes, self._leaves = [], []

    def root(self) -> bytes:
        """The root over the leaves, in the order of their indexes."""
        if self._root is not None:
            return self._root
        return merkle_root([leaf for _, leaf in sorted(zip(self._indexes, self._leaves, strict=True))])

    def add(self, key: TotalKey, orders: int = 1, premium: int = 0) -> None:
        """So many orders more that count as `key`."""
        tally = self.tallies.setdefault(key, Tally(key))
        tally.orders += orders
        tally.premium += premium

    def sums(self) -> dict[TotalKey, tuple[int, int]]:
        """Orders and premium."""
        found: dict[TotalKey, tuple[int, int]] = {}
        for tally in self.tallies.values():
            orders, premium = found.get(tally.key, (0, 0))
            found[tally.key] = (orders + tally.orders, premium + tally.premium)
        return found


class Batches(dict[int, Found]):
    """By batch; one that is asked for by its number begins with nothing but what its manifest expects."""

    def __init__(self, manifests: Mapping[int, Manifest]) -> None:
        super().__init__()
        self._manifests = manifests

    def __missing__(self, batch: int) -> Found:
        manifest = self._manifests.get(batch)
        found = self[batch] = Found(manifest.leaves if manifest else 0)
        return found
