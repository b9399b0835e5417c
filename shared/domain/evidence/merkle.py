"""Merkle trees as RFC 6962, section 2.1, hashes them: SHA-256, 0x00 before a leaf, 0x01 before a node.

The prefixes keep a leaf from passing for a node. Interior nodes are not stored: a proof rebuilds them.
"""

from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from typing import Final

EMPTY_ROOT: Final = sha256(b"").digest()
LEAF_PREFIX: Final = b"\x00"
Range = tuple[int, int]
"""Leaves `[start, end)` of a tree; every hash of a proof is the root over one."""
HashAll = Callable[[Sequence[bytes], Sequence[bytes], Sequence[bytes]], Sequence[bytes]]
"""SHA-256 of many messages, one piece of each argument a message (`shared.adapters.crypto.hashing.hash_all`)."""
Place = tuple[int, int]
"""Height and index of a full subtree: the one over leaves `[index << height, (index + 1) << height)`."""


def leaf_hash(data: bytes) -> bytes:
    """32 bytes: the hash of a leaf's content."""
    return sha256(LEAF_PREFIX + data).digest()


def root(leaf_hashes: Sequence[bytes]) -> bytes:
    """32 bytes: the root over leaf hashes in their order; of none, the hash of nothing."""
    if not leaf_hashes:
        return EMPTY_ROOT
    level = leaf_hashes
    while len(level) > 1:
        level = _next_level(level)
    return level[0]


def subtree_roots(leaf_hashes: Sequence[bytes], height: int, hash_all: HashAll | None = None) -> Sequence[bytes]:
    """The roots over each `2**height` leaves, the last over what is left of them; `root` of these is that of all.

    `hash_all` hashes a level at once; without it each node by itself.
    """
    level = leaf_hashes
    for _ in range(height):
        level = _next_level(level) if hash_all is None else _level_at_once(level, hash_all)
    return level


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


def verify_consistency(old_size: int, old_root: bytes, new_size: int, new_root: bytes, proof: Sequence[bytes]) -> bool:
    """Whether `proof` shows the new tree to begin with the leaves of the old one (RFC 9162, 2.1.4.2); never raises.

    The empty tree and a tree of the same size need an empty proof. A root of size 0 is taken as it is given.
    """
    if not 0 <= old_size <= new_size:
        return False
    if old_size in (0, new_size):
        return not proof and old_root == (new_root if old_size == new_size else EMPTY_ROOT)
    is_full = old_size & (old_size - 1) == 0  # then the old root is a node of the new tree, and the proof leaves it out
    hashes = iter([old_root, *proof] if is_full else proof)
    first = next(hashes, None)
    if first is None:
        return False
    shift = _trailing_ones(old_size - 1)
    node, last, old, new = (old_size - 1) >> shift, (new_size - 1) >> shift, first, first
    for sibling in hashes:
        if last == 0:
            return False
        if node & 1 or node == last:
            old, new = _node_hash(sibling, old), _node_hash(sibling, new)
            while node and not node & 1:
                node, last = node >> 1, last >> 1
        else:
            new = _node_hash(new, sibling)
        node, last = node >> 1, last >> 1
    return last == 0 and old == old_root and new == new_root


def inclusion_ranges(index: int, size: int) -> list[Range]:
    """The ranges whose roots are the proof of leaf `index`, the nearest first; `IndexError` outside the tree."""
    if not 0 <= index < size:
        raise IndexError(f"no leaf {index} in a tree of {size}")
    ranges: list[Range] = []
    start, end = 0, size
    while end - start > 1:
        split = start + _split(end - start)
        if index < split:
            ranges.append((split, end))
            end = split
        else:
            ranges.append((start, split))
            start = split
    return ranges[::-1]


def consistency_ranges(old_size: int, new_size: int) -> list[Range]:
    """The ranges whose roots prove that the new tree begins with the old one (RFC 6962, 2.1.2)."""
    if not 0 <= old_size <= new_size:
        raise IndexError(f"no tree of {old_size} within one of {new_size}")
    ranges: list[Range] = []
    start, end = 0, new_size
    while 0 < old_size < end:
        split = start + _split(end - start)
        if old_size <= split:
            ranges.append((split, end))
            end = split
        else:
            ranges.append((start, split))
            start = split
    if start > 0:
        ranges.append((start, end))
    return ranges[::-1]


def places(wanted: Range) -> list[Place]:
    """The full subtrees a range of a proof (or `(0, size)`) is made of, left to right."""
    start, end = wanted
    subtrees: list[Place] = []
    while start < end:
        height = (end - start).bit_length() - 1
        subtrees.append((height, start >> height))
        start += 1 << height
    return subtrees


def range_root(wanted: Range, node: Callable[[int, int], bytes]) -> bytes:
    """The root over a range of a proof (or `(0, size)`); `node` gives the root of the full subtree at a place."""
    hashes = [node(height, index) for height, index in places(wanted)]
    if not hashes:
        return EMPTY_ROOT
    root = hashes.pop()
    while hashes:
        root = _node_hash(hashes.pop(), root)
    return root


class Frontier:
    """The full subtrees of a tree that grows at its right end; `nodes` are their heights and roots, left to right."""

    def __init__(self, nodes: Iterable[tuple[int, bytes]] = ()) -> None:
        self._nodes = list(nodes)
        self.size = sum(1 << height for height, _ in self._nodes)

    def append(self, leaf: bytes) -> None:
        """One leaf hash more."""
        height, node = 0, leaf
        while self._nodes and self._nodes[-1][0] == height:
            node = _node_hash(self._nodes.pop()[1], node)
            height += 1
        self._nodes.append((height, node))
        self.size += 1

    @property
    def root(self) -> bytes:
        """The root over all leaves."""
        if not self._nodes:
            return EMPTY_ROOT
        root = self._nodes[-1][1]
        for _, node in reversed(self._nodes[:-1]):
            root = _node_hash(node, root)
        return root


def _split(size: int) -> int:
    """The largest power of two below the size."""
    return 1 << ((size - 1).bit_length() - 1)


def _trailing_ones(number: int) -> int:
    return (~number & (number + 1)).bit_length() - 1


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


def _level_at_once(level: Sequence[bytes], hash_all: HashAll) -> Sequence[bytes]:
    """`_next_level`, by few calls for all nodes."""
    count = len(level) // 2
    if not count:
        return level
    parents = hash_all([b"\x01"] * count, level[: 2 * count : 2], level[1::2])
    return [*parents, level[-1]] if len(level) % 2 else parents
