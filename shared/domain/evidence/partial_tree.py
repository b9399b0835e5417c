"""A batch's tree of which some leaves are elsewhere: full subtrees replace them (docs/decisions/0009).

A place is `(height, index)` as in `shared.domain.evidence.merkle`: the full subtree over leaves
`[index << height, (index + 1) << height)`. Leaves are places of height 0, and their index is their rank in the batch.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from struct import Struct
from typing import Final

from shared.domain.errors import Refused
from shared.domain.evidence.merkle import Place, range_root, root

Nodes = Mapping[Place, bytes]
"""The roots, 32 bytes, of full subtrees that do not overlap."""
_NODE: Final = Struct(">BI32s")


def fold(nodes: Nodes) -> dict[Place, bytes]:
    """The leaves under the fewest full subtrees: two halves that are both present become one."""
    waiting: dict[int, dict[int, bytes]] = defaultdict(dict)
    for (height, index), node in nodes.items():
        waiting[height][index] = node
    folded: dict[Place, bytes] = {}
    height = 0
    while waiting:
        level = waiting.pop(height, {})
        for index, node in level.items():
            if index ^ 1 not in level:
                folded[height, index] = node
            elif index % 2 == 0:
                waiting[height + 1][index >> 1] = root((node, level[index + 1]))
        height += 1
    return folded


def whole_root(size: int, nodes: Nodes) -> bytes:
    """The root of the tree of `size` leaves that `nodes` are all of; `Refused` where they are not."""
    folded = fold(nodes)
    try:
        whole = range_root((0, size), lambda height, index: folded.pop((height, index)))
    except KeyError as error:
        raise Refused(f"of a tree of {size} leaves the subtree at {error.args[0]} is missing") from error
    if folded:
        raise Refused(f"{len(folded)} subtrees lie outside of a tree of {size} leaves, or over others")
    return whole


def node_at(nodes: Nodes, place: Place) -> bytes:
    """The root of a full subtree, worked out from what lies below it; `Refused` where a leaf is missing."""
    if (known := nodes.get(place)) is not None:
        return known
    height, index = place
    if height == 0:
        raise Refused(f"leaf {index} is missing")
    return root((node_at(nodes, (height - 1, 2 * index)), node_at(nodes, (height - 1, 2 * index + 1))))


def free_ranks(size: int, nodes: Iterable[Place]) -> list[int]:
    """The ranks below `size` that no subtree covers, ascending."""
    covered = bytearray(size)
    for height, index in nodes:
        covered[index << height : (index + 1) << height] = b"\x01" * (1 << height)
    return [rank for rank in range(size) if not covered[rank]]


def pack(nodes: Nodes) -> bytes:
    """37 bytes a subtree: height u8, index u32, root; sorted by place."""
    return b"".join(_NODE.pack(height, index, node) for (height, index), node in sorted(nodes.items()))


def unpack(packed: bytes) -> dict[Place, bytes]:
    """Decode what `pack` encoded; `Refused` for other bytes."""
    if len(packed) % _NODE.size:
        raise Refused(f"{len(packed)} bytes are no list of subtrees")
    return {(height, index): node for height, index, node in _NODE.iter_unpack(packed)}
