"""Leaf groups (叶组): the leaves of a batch by 128. Their roots are stored with its manifest: a proof reads few rows.

They take a quarter of a byte an order, and are no evidence: a proof that uses them is checked with the manifest's root.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from struct import Struct
from typing import Final, Self

from shared.adapters.crypto.hashing import hash_all
from shared.domain.evidence.merkle import inclusion_proof, root, subtree_roots

HEIGHT: Final = 7
SIZE: Final = 1 << HEIGHT
_STORED = Struct(">I32s")


@dataclass(frozen=True, slots=True)
class Groups:
    """First leaf index and root of each group; repeats leave gaps between indexes."""

    firsts: tuple[int, ...]
    roots: tuple[bytes, ...]

    @classmethod
    def of(cls, leaves: Sequence[bytes]) -> Self:
        """Group a batch's leaf hashes, which are empty for repeats."""
        indexes = [index for index, leaf in enumerate(leaves) if leaf]
        hashes = leaves if len(indexes) == len(leaves) else [leaves[index] for index in indexes]
        return cls(tuple(indexes[::SIZE]), tuple(subtree_roots(hashes, HEIGHT, hash_all)))

    @classmethod
    def read(cls, stored: bytes) -> Self:
        """Decode the stored form, which `bytes` makes."""
        firsts, roots = zip(*_STORED.iter_unpack(stored), strict=True) if stored else ((), ())
        return cls(firsts, roots)

    def __bytes__(self) -> bytes:
        return b"".join(map(_STORED.pack, self.firsts, self.roots))

    @property
    def root(self) -> bytes:
        """The batch's root."""
        return root(self.roots)

    def holding(self, leaf_index: int) -> int:
        """The group that a leaf is in."""
        return bisect_right(self.firsts, leaf_index) - 1

    def span(self, group: int) -> tuple[int, int | None]:
        """The group's first leaf index, and that of the next group if there is one."""
        return self.firsts[group], self.firsts[group + 1] if group + 1 < len(self.firsts) else None

    def proof(self, group: int, hashes: Sequence[bytes], position: int) -> list[bytes]:
        """Inclusion proof up to the batch's root, of the leaf at a position within a group of these leaf hashes."""
        return inclusion_proof(hashes, position) + inclusion_proof(self.roots, group)
