"""An order's receipt (参保凭证): every row of one order with the way from it to a signed checkpoint, in one string.

Binary form, version 1, numbers big-endian:

    version u8 = 1 | rows u8 | each row | note: length u16, bytes
    row: content: length u16, bytes | rank u32 | proof within the batch | entry | index u64 | proof in the log
    entry: 90 bytes that begin with 1, or 162 that begin with 2 (shared/domain/evidence/manifest_head.py)
    proof: hashes u8 | shared u8 | the first hashes less shared, 32 bytes each

`shared` hashes at a proof's end are those at the end of the same proof of the row before: two entries of one log meet
on their way up. The note is a checkpoint with its signatures. As text, base64url without padding for the fragment of a
link; in a QR code decimal digits instead, which take less room there (12 bytes are 29 digits of 3 1/3 bits).
"""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from shared.domain.errors import Refused
from shared.domain.evidence import manifest_head

VERSION: Final = 1
MOST_ROWS: Final = 64
LARGEST: Final = 262_144
"""Bytes of a receipt that is read at all."""
QR_DIGITS: Final = 7_089
"""The digits that the largest QR code (40-L) holds when it holds nothing else."""
_HASH: Final = 32
_ENTRY_BYTES: Final = manifest_head.BYTES
_BLOCK, _BLOCK_DIGITS = 12, 29
_REST_DIGITS: Final = (0, 3, 5, 8, 10, 13, 15, 17, 20, 22, 25, 27)
"""Decimal digits that a last block of so many bytes takes."""


@dataclass(frozen=True, slots=True)
class ReceiptRow:
    """One row: its leaf's content, the proof to its batch's root, the batch's entry, the proof to the log's root."""

    content: bytes
    rank: int
    batch_proof: tuple[bytes, ...]
    entry: bytes
    index: int
    log_proof: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class OrderReceipt:
    """`rows` in the order of their kinds, the acceptance first; `note` is the checkpoint that all of them lead to."""

    rows: tuple[ReceiptRow, ...]
    note: bytes

    def __bytes__(self) -> bytes:
        parts = [bytes([VERSION, len(self.rows)])]
        batch: Sequence[bytes] = ()
        log: Sequence[bytes] = ()
        for row in self.rows:
            parts += [len(row.content).to_bytes(2), row.content, row.rank.to_bytes(4), _packed(row.batch_proof, batch)]
            parts += [row.entry, row.index.to_bytes(8), _packed(row.log_proof, log)]
            batch, log = row.batch_proof, row.log_proof
        return b"".join([*parts, len(self.note).to_bytes(2), self.note])

    @classmethod
    def parse(cls, data: bytes) -> "OrderReceipt":
        """`Refused` with the reason when the bytes are not a receipt of this version, whole and nothing more."""
        if len(data) > LARGEST:
            raise Refused(f"{len(data)} bytes are more than a receipt has")
        reader = _Reader(data)
        version, count = reader.take(2)
        if version != VERSION or not 0 < count <= MOST_ROWS:
            raise Refused(f"not a receipt of version {VERSION}: it begins with {data[:2].hex()}")
        rows: list[ReceiptRow] = []
        for _ in range(count):
            rows.append(_read_row(reader, rows[-1] if rows else None))
        receipt = cls(tuple(rows), reader.take(reader.number(2)))
        if reader.rest():
            raise Refused(f"{reader.rest()} bytes follow on the receipt")
        return receipt

    @property
    def text(self) -> str:
        """base64url without padding, for the fragment of a link."""
        return base64.urlsafe_b64encode(bytes(self)).rstrip(b"=").decode()

    @property
    def digits(self) -> str:
        """Decimal digits, for a QR code."""
        data = bytes(self)
        blocks = [data[place : place + _BLOCK] for place in range(0, len(data), _BLOCK)]
        return "".join(str(int.from_bytes(block)).zfill(_digits_of(len(block))) for block in blocks)

    @classmethod
    def parse_text(cls, text: str) -> "OrderReceipt":
        """From either text form, or a link that ends in one behind `#`."""
        written = text.strip().rpartition("#")[2]
        return cls.parse(_from_digits(written) if written.isascii() and written.isdigit() else _from_base64(written))


class _Reader:
    """Takes bytes off the front; `Refused` at the end of them."""

    def __init__(self, data: bytes) -> None:
        self._data, self._place = data, 0

    def take(self, count: int) -> bytes:
        end = self._place + count
        if end > len(self._data):
            raise Refused(f"the receipt ends at byte {len(self._data)}, within something that goes to {end}")
        taken, self._place = self._data[self._place : end], end
        return taken

    def number(self, width: int) -> int:
        return int.from_bytes(self.take(width))

    def rest(self) -> int:
        return len(self._data) - self._place


def _read_row(reader: _Reader, before: ReceiptRow | None) -> ReceiptRow:
    return ReceiptRow(
        content=reader.take(reader.number(2)),
        rank=reader.number(4),
        batch_proof=_read_proof(reader, before.batch_proof if before else ()),
        entry=_read_entry(reader),
        index=reader.number(8),
        log_proof=_read_proof(reader, before.log_proof if before else ()),
    )


def _read_entry(reader: _Reader) -> bytes:
    """As long as its version says; one of no version is read as the first, and refused by its verifier."""
    version = reader.take(1)
    return version + reader.take(_ENTRY_BYTES.get(version[0], _ENTRY_BYTES[manifest_head.UNSIGNED_VERSION]) - 1)


def _packed(proof: Sequence[bytes], before: Sequence[bytes]) -> bytes:
    shared = 0
    while shared < min(len(proof), len(before)) and proof[-1 - shared] == before[-1 - shared]:
        shared += 1
    return b"".join([bytes([len(proof), shared]), *proof[: len(proof) - shared]])


def _read_proof(reader: _Reader, before: tuple[bytes, ...]) -> tuple[bytes, ...]:
    count, shared = reader.take(2)
    if shared > min(count, len(before)):
        raise Refused(f"a proof of {count} hashes that shares {shared} with one of {len(before)}")
    own = tuple(reader.take(_HASH) for _ in range(count - shared))
    return own + before[len(before) - shared :]


def _from_base64(text: str) -> bytes:
    try:
        data = base64.b64decode(text.encode() + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as fault:
        raise Refused("the text is no receipt: neither base64url nor digits") from fault
    return data


def _digits_of(count: int) -> int:
    return _BLOCK_DIGITS if count == _BLOCK else _REST_DIGITS[count]


def _from_digits(text: str) -> bytes:
    blocks = [text[place : place + _BLOCK_DIGITS] for place in range(0, len(text), _BLOCK_DIGITS)]
    try:
        return b"".join(int(block).to_bytes(_bytes_of(len(block))) for block in blocks)
    except (OverflowError, ValueError) as fault:
        raise Refused("the digits are no receipt") from fault


def _bytes_of(digits: int) -> int:
    return _BLOCK if digits == _BLOCK_DIGITS else _REST_DIGITS.index(digits)
