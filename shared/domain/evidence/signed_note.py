"""Signed notes (C2SP signed-note) and cosignatures (C2SP tlog-cosignature, Ed25519): the formats, without the signing.

A note is text that ends in a newline, an empty line, and a line for each signature. Verifying needs Ed25519, which the
standard library does not have: the caller gives it as `IsSigned`.
"""

import base64
import binascii
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from shared.domain.errors import Refused

IsSigned = Callable[[bytes, bytes, bytes], bool]
"""Whether this 32-byte Ed25519 public key signed this message with this 64-byte signature."""
ED25519: Final = 0x01
COSIGNATURE: Final = 0x04
"""Signature types: of a log over the text; of a witness, with the time, over text and time."""
MOST_SIGNATURES: Final = 100
"""A note with more is refused unread; the specification wants at least 16 to be taken."""
_LATEST: Final = 2**63 - 1
_DASH: Final = "\u2014 "
_VKEY: Final = re.compile(r"[0-9a-f]{8}", re.ASCII)


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A public key with the name it signs under. Its text (a *vkey*) is `name+key id+base64(type and key)`."""

    name: str
    kind: int
    public: bytes

    @property
    def key_id(self) -> bytes:
        """The 4 bytes that precede each of its signatures."""
        return sha256(self.name.encode() + b"\n" + bytes([self.kind]) + self.public).digest()[:4]

    def __str__(self) -> str:
        return f"{self.name}+{self.key_id.hex()}+{_base64(bytes([self.kind]) + self.public)}"

    @classmethod
    def parse(cls, text: str) -> "VerifierKey":
        """The key of a vkey of one of the two types; `Refused` with the reason for anything else."""
        name, _, rest = text.partition("+")
        key_id, _, encoded = rest.partition("+")
        key = decode_base64(encoded)
        if not is_key_name(name) or not _VKEY.fullmatch(key_id) or key is None:
            raise Refused(f"{text!r} is no verifier key: name+key id+base64")
        if len(key) != 33 or key[0] not in (ED25519, COSIGNATURE):
            raise Refused(f"{text!r}: not a key for Ed25519 signatures or cosignatures")
        parsed = cls(name, key[0], key[1:])
        if parsed.key_id.hex() != key_id:
            raise Refused(f"{text!r}: the key id is not that of name and key")
        return parsed


@dataclass(frozen=True, slots=True)
class Signature:
    """One line of a note: who signed, the key's id (4 bytes), and the signature's own bytes."""

    name: str
    key_id: bytes
    signature: bytes

    @property
    def line(self) -> str:
        """The line with its newline."""
        return f"{_DASH}{self.name} {_base64(self.key_id + self.signature)}\n"

    @classmethod
    def parse(cls, line: str) -> "Signature":
        """A line without its newline; `Refused` when it is none."""
        name, _, encoded = line.removeprefix(_DASH).partition(" ")
        data = decode_base64(encoded)
        if not line.startswith(_DASH) or not is_key_name(name) or data is None or len(data) < 5:
            raise Refused(f"{line!r} is no signature line")
        return cls(name, data[:4], data[4:])


@dataclass(frozen=True, slots=True)
class Note:
    """Text with its final newline, and its signatures in their order."""

    text: str
    signatures: tuple[Signature, ...]

    def __bytes__(self) -> bytes:
        return (self.text + "\n" + "".join(signature.line for signature in self.signatures)).encode()

    @classmethod
    def parse(cls, data: bytes) -> "Note":
        """`Refused` with the reason when the bytes are not a signed note."""
        try:
            whole = data.decode()
        except UnicodeDecodeError as error:
            raise Refused("a note is UTF-8") from error
        text, empty, lines = whole.rpartition("\n\n")
        if not empty or not lines.endswith("\n") or any(sign < " " and sign != "\n" for sign in whole):
            raise Refused("a note is text, an empty line and signature lines, without control characters")
        signature_lines = lines.removesuffix("\n").split("\n")
        if len(signature_lines) > MOST_SIGNATURES:
            raise Refused(f"a note with {len(signature_lines)} signatures; {MOST_SIGNATURES} are read")
        return cls(f"{text}\n", tuple(Signature.parse(line) for line in signature_lines))


def signed_message(key: VerifierKey, text: str, cosigned_at: int = 0) -> bytes:
    """What a key signs of a note's text; `cosigned_at` (POSIX seconds) belongs to a cosignature."""
    if key.kind == ED25519:
        return text.encode()
    return f"cosignature/v1\ntime {cosigned_at}\n{text}".encode()


def make_signature(key: VerifierKey, text: str, sign: Callable[[bytes], bytes], cosigned_at: int = 0) -> Signature:
    """The line of a key for this text; `sign` makes the 64 bytes of Ed25519 with its private half."""
    signature = sign(signed_message(key, text, cosigned_at))
    time = b"" if key.kind == ED25519 else cosigned_at.to_bytes(8, "big")
    return Signature(key.name, key.key_id, time + signature)


def check_note(note: Note, keys: Iterable[VerifierKey], is_signed: IsSigned) -> dict[VerifierKey, int | None]:
    """The keys whose signatures hold, a cosigning one with its time (POSIX seconds); unknown keys are passed over.

    `Refused` when a signature of one of these keys does not hold: such a note is malformed as a whole.
    """
    known = {(key.name, key.key_id): key for key in keys}
    held: dict[VerifierKey, int | None] = {}
    for line in note.signatures:
        if key := known.get((line.name, line.key_id)):
            held[key] = _check(key, note.text, line.signature, is_signed)
    return held


def _check(key: VerifierKey, text: str, data: bytes, is_signed: IsSigned) -> int | None:
    time, signature = (b"", data) if key.kind == ED25519 else (data[:8], data[8:])
    cosigned_at = int.from_bytes(time, "big")
    is_whole = len(signature) == 64 and cosigned_at <= _LATEST
    if not is_whole or not is_signed(key.public, signed_message(key, text, cosigned_at), signature):
        raise Refused(f"the signature of {key.name} (key {key.key_id.hex()}) does not hold")
    return cosigned_at if time else None


def is_key_name(name: str) -> bool:
    """Not empty, without spaces of any kind, plus signs and control characters."""
    return bool(name) and not any(sign.isspace() or sign == "+" or sign < " " for sign in name)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def decode_base64(text: str) -> bytes | None:
    """The bytes; None for any other spelling of them than `_base64` gives."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return data if _base64(data) == text else None
