"""Merkle trees as RFC 6962, section 2.1, hashes them: SHA-256, 0x00 before a leaf, 0x01 before a node.

The prefixes keep a leaf from passing for a node. Interior nodes are not stored: a proof rebuilds them.
"""

from collections.abc import Sequence
from hashlib import sha256
from typing import Final

EMPTY_ROOT: Final = sha256(b"").digest()


def leaf_hash(data: bytes) -> bytes:
    """32 bytes: the hash of a leaf's content."""
    return sha256(b"\x00" + data).digest()


def root(leaf_hashes: Sequence[bytes]) -> bytes:
    """32 bytes: the root over leaf hashes in their order; of none, the hash of nothing."""
    if not leaf_hashes:
        return EMPTY_ROOT
    level = leaf_hashes
    while len(level) > 1:
        level = _next_level(level)
    return level[0]


def inclusion_proof(leaf_hashes: Sequence[bytes], index: int) -> list[bytes]:
    """The hashes, the leaf's sibling first, that lead from leaf `index` to the root; `IndexError` outside."""
    if not 0 <= index < len(leaf_hashes):
        raise IndexError(f"no leaf {index} in a tree of {len(leaf_hashes)}")
    proof: list[bytes] = []
    level = leaf_hashes
    while len(level) > 1:
        sibling = index ^ 1
        if sibling < len(level):
            proof.append(level[sibling])
        level = _next_level(level)
        index >>= 1
    return proof


def verify_inclusion(leaf_hash: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """Whether `proof` shows the leaf at `index` of a tree of `size` leaves with that root; never raises."""
    if not 0 <= index < size:
        return False
    node, last, hashes = leaf_hash, size - 1, iter(proof)
    while last > 0:
        if index & 1 or index < last:
            sibling = next(hashes, None)
            if sibling is None:
                return False
            node = _node_hash(sibling, node) if index & 1 else _node_hash(node, sibling)
        index, last = index >> 1, last >> 1
    return next(hashes, None) is None and node == root


def _node_hash(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()


def _next_level(level: Sequence[bytes]) -> Sequence[bytes]:
    """Parents of a level; a last node without a sibling goes up as it is, as the RFC's uneven trees want."""
    # Called for every order: the hash is written out, a function call would cost a quarter of it.
    pairs = zip(level[::2], level[1::2], strict=False)
    parents = [sha256(b"\x01" + left + right).digest() for left, right in pairs]
    if len(level) % 2:
        parents.append(level[-1])
    return parents
