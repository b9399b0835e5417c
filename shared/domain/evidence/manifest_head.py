"""A manifest's entry in the log (docs/decisions/0006, 0018): its head, big-endian, with checked-in vectors.

    version u8 | kind u8 | run 16 bytes | number u32 | leaves u32 | root 32 bytes | totals_root 32 bytes
    and in version 2: | edition u32 | author's key id 4 bytes | signature 64 bytes

The log is public and a receipt has to fit into a QR code, so the figures themselves are not in it: `totals_root`
commits to them, and each enterprise can be shown its own totals alone, with a proof. `run` and `number` name the batch,
`leaves` and `root` are those of the tree over its rows. Version 1 has no author: its entries stay readable, and nothing
proves who made them.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from struct import Struct
from typing import Final

from shared.domain.errors import Refused
from shared.domain.evidence import merkle

UNSIGNED_VERSION: Final = 1
VERSION: Final = 2
KINDS: Final = {"orders": 1, "settlement": 2, "correction": 3, "assessment": 4}
"""Numbers are never used again for another kind."""
RESERVED: Final = {"edition": 5, "cases": 6}
"""Kinds of entries that are no manifests. Nothing writes them yet; a reader checks their inclusion in the log."""
LARGEST: Final = 2**32 - 1
"""Of a manifest's number, of its leaves, and of its edition."""
KEY_ID_BYTES: Final = 4
SIGNATURE_BYTES: Final = 64
_DOMAIN: Final = b"danbao log entry/v2\n"
"""What a signature is over begins with this, so that it can never pass for one over anything else."""
_HEAD: Final = Struct(">BB16sII32s32s")
_AUTHORSHIP: Final = Struct(">I4s64s")
BYTES: Final = {UNSIGNED_VERSION: _HEAD.size, VERSION: _HEAD.size + _AUTHORSHIP.size}
"""The length of an entry by its version, which is its first byte."""
_NAMES: Final = {number: name for name, number in KINDS.items()}


@dataclass(frozen=True, slots=True)
class Authorship:
    """Who made a manifest: the id of the key, and its Ed25519 signature over `ManifestHead.statement`."""

    edition: int
    key_id: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class ManifestHead:
    """`kind` is one of `KINDS`, `run` 32 hex digits, both roots 32 bytes; without authorship it is of version 1."""

    kind: str
    run: str
    number: int
    leaves: int
    root: bytes
    totals_root: bytes
    authorship: Authorship | None = None

    def __bytes__(self) -> bytes:
        written = self.authorship
        if written is None:
            return self._fields(UNSIGNED_VERSION)
        return self._fields(VERSION) + _AUTHORSHIP.pack(written.edition, written.key_id, written.signature)

    @property
    def name(self) -> str:
        """For a sentence."""
        return f"manifest {self.number} of run {self.run}"

    def statement(self, edition: int, key_id: bytes) -> bytes:
        """The bytes that the author signs: a domain, and the entry of version 2 up to its signature."""
        return _DOMAIN + self._fields(VERSION) + edition.to_bytes(4) + key_id

    def without_author(self) -> "ManifestHead":
        """The head with the fields of version 1 alone."""
        return replace(self, authorship=None)

    @classmethod
    def parse(cls, entry: bytes) -> "ManifestHead":
        """The head of an entry of either version; `Refused` for any other bytes."""
        version = entry[0] if entry else 0
        if BYTES.get(version) != len(entry) or entry[1] not in _NAMES:
            raise Refused(f"an entry of {len(entry)} bytes that begins with {entry[:2].hex()} is no head of a manifest")
        _, kind, run, number, leaves, root, totals_root = _HEAD.unpack_from(entry)
        head = cls(_NAMES[kind], run.hex(), number, leaves, root, totals_root)
        if version == UNSIGNED_VERSION:
            return head
        return replace(head, authorship=Authorship(*_AUTHORSHIP.unpack_from(entry, _HEAD.size)))

    def _fields(self, version: int) -> bytes:
        run = bytes.fromhex(self.run)
        return _HEAD.pack(version, KINDS[self.kind], run, self.number, self.leaves, self.root, self.totals_root)


def read_entry(entry: bytes) -> ManifestHead | None:
    """The head in an entry of the log; None for an entry of a kind that is not known here, which only is included."""
    if len(entry) > 1 and entry[0] >= VERSION and entry[1] not in _NAMES:
        return None
    return ManifestHead.parse(entry)


def totals_root(contents: Iterable[bytes]) -> bytes:
    """32 bytes: the root over a manifest's totals in their order, each as the contracts write it (JSON)."""
    return merkle.root([merkle.leaf_hash(content) for content in contents])
