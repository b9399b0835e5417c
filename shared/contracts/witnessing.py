"""Encodes a log's request to its witness (C2SP tlog-witness, `add-checkpoint`): known size, proof, new checkpoint."""

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Final

from shared.domain.errors import Refused
from shared.domain.evidence.signed_note import Note

MOST_PROOF_LINES: Final = 63
SIZE_TYPE: Final = "text/x.tlog.size"
"""Content type of the answer 409, whose body is the size that the witness knows."""
_OLD: Final = re.compile(r"old (0|[1-9][0-9]{0,18})", re.ASCII)


@dataclass(frozen=True, slots=True)
class AddCheckpoint:
    """`proof` are hashes of 32 bytes; a consistency proof from `old_size` to the note's checkpoint."""

    old_size: int
    proof: tuple[bytes, ...]
    note: Note

    def __bytes__(self) -> bytes:
        lines = [f"old {self.old_size}", *(base64.b64encode(node).decode() for node in self.proof)]
        return "".join(f"{line}\n" for line in lines).encode() + b"\n" + bytes(self.note)

    @classmethod
    def parse(cls, body: bytes) -> "AddCheckpoint":
        """`Refused` with the reason when the body is not of the form."""
        head, empty, note = body.partition(b"\n\n")
        first, *lines = head.decode(errors="replace").split("\n")
        match = _OLD.fullmatch(first)
        if not empty or match is None or len(lines) > MOST_PROOF_LINES:
            raise Refused("a request is an old size, at most 63 hashes, an empty line and a checkpoint")
        return cls(int(match[1]), tuple(_hash(line) for line in lines), Note.parse(note))


def _hash(line: str) -> bytes:
    try:
        decoded = base64.b64decode(line, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Refused(f"{line!r} is no base64") from error
    if len(decoded) != 32:
        raise Refused(f"{line!r} is no hash")
    return decoded
