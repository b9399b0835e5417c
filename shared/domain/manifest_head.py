"""What of a manifest stands in the log (docs/decisions/0006): its head, 90 bytes, big-endian, with checked-in vectors.

    version u8 | kind u8 | run 16 bytes | number u32 | leaves u32 | root 32 bytes | totals_root 32 bytes

The log is public and a receipt has to fit into a QR code, so the figures themselves are not in it: `totals_root`
commits to them, and each enterprise can be shown its own totals alone, with a proof. `run` and `number` name the batch,
`leaves` and `root` are those of the tree over its rows.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from struct import Struct
from typing import Final

from shared.domain import merkle
from shared.domain.errors import Refused

VERSION: Final = 1
KINDS: Final = {"orders": 1, "settlement": 2, "correction": 3, "assessment": 4}
"""Numbers are never used again for another kind."""
LARGEST: Final = 2**32 - 1
"""Of a manifest's number and of its leaves."""
_HEAD: Final = Struct(">BB16sII32s32s")
BYTES: Final = _HEAD.size
_NAMES: Final = {number: name for name, number in KINDS.items()}


@dataclass(frozen=True, slots=True)
class ManifestHead:
    """`kind` is one of `KINDS`, `run` 32 hex digits, both roots 32 bytes."""

    kind: str
    run: str
    number: int
    leaves: int
    root: bytes
    totals_root: bytes

    def __bytes__(self) -> bytes:
        run = bytes.fromhex(self.run)
        return _HEAD.pack(VERSION, KINDS[self.kind], run, self.number, self.leaves, self.root, self.totals_root)

    @classmethod
    def parse(cls, entry: bytes) -> "ManifestHead":
        """`Refused` when the entry is not a head of this version."""
        if len(entry) != BYTES or entry[0] != VERSION or entry[1] not in _NAMES:
            raise Refused(f"an entry of {len(entry)} bytes that begins with {entry[:2].hex()} is no head of a manifest")
        _, kind, run, number, leaves, root, totals_root = _HEAD.unpack(entry)
        return cls(_NAMES[kind], run.hex(), number, leaves, root, totals_root)


def totals_root(contents: Iterable[bytes]) -> bytes:
    """32 bytes: the root over a manifest's totals in their order, each as the contracts write it (JSON)."""
    return merkle.root([merkle.leaf_hash(content) for content in contents])
