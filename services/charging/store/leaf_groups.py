"""Groups (叶组): the leaves of a batch by 128. Their roots are kept beside its manifest: a proof then needs few rows.

A quarter of a byte an order. They are no evidence: what is proved with them is held against the manifest's root.
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
    """Of each group the leaf index that it begins with (repeats leave gaps between indexes), and its root."""

    firsts: tuple[int, ...]
    roots: tuple[bytes, ...]

    @classmethod
    def of(cls, leaves: Sequence[bytes]) -> Self:
        """Of a batch's leaf hashes, empty where a repeat left none."""
        indexes = [index for index, leaf in enumerate(leaves) if leaf]
        hashes = leaves if len(indexes) == len(leaves) else [leaves[index] for index in indexes]
        return cls(tuple(indexes[::SIZE]), tuple(subtree_roots(hashes, HEIGHT, hash_all)))

    @classmethod
    def read(cls, stored: bytes) -> Self:
        """As they were stored."""
        firsts, roots = zip(*_STORED.iter_unpack(stored), strict=True) if stored else ((), ())
        return cls(firsts, roots)

    def __bytes__(self) -> bytes:
        return b"".join(map(_STORED.pack, self.firsts, self.roots))

    @property
    def root(self) -> bytes:
        """The batch's root."""
        return root(self.roots)

    def holding(self, leaf_index: int) -> int:
        """Which group a leaf is in."""
        return bisect_right(self.firsts, leaf_index) - 1

    def span(self, group: int) -> tuple[int, int | None]:
        """From the group's first leaf index up to that of the next group, if there is one."""
        return self.firsts[group], self.firsts[group + 1] if group + 1 < len(self.firsts) else None

    def proof(self, group: int, hashes: Sequence[bytes], place: int) -> list[bytes]:
        """The way to the batch's root from a place within a group of these leaf hashes."""
        return inclusion_proof(hashes, place) + inclusion_proof(self.roots, group)
