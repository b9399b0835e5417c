"""The text of a checkpoint (校验根, C2SP tlog-checkpoint): whose log, how many entries, the root over them."""

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Final

from shared.domain.errors import Refused

LARGEST_SIZE: Final = 2**63 - 1
_SIZE: Final = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """`root` is 32 bytes. Extension lines are kept as they came; this project writes none."""

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """What is signed, with the final newline."""
        lines = (self.origin, str(self.size), base64.b64encode(self.root).decode(), *self.extensions)
        return "".join(f"{line}\n" for line in lines)

    @classmethod
    def parse(cls, text: str) -> "Checkpoint":
        """`Refused` with the reason when a note's text is not that of a checkpoint."""
        lines = text.removesuffix("\n").split("\n")
        if not text.endswith("\n") or len(lines) < 3 or not all(lines):
            raise Refused("a checkpoint is at least three lines, none of them empty: origin, size, root")
        origin, size, encoded, *extensions = lines
        if not _SIZE.fullmatch(size) or int(size) > LARGEST_SIZE:
            raise Refused(f"{size!r} is no size of a log")
        try:
            root = base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError) as error:
            raise Refused(f"{encoded!r} is no base64") from error
        checkpoint = cls(origin, int(size), root, tuple(extensions))
        if len(root) != 32 or checkpoint.text != text:
            raise Refused(f"{encoded!r} is no root: 32 bytes in base64")
        return checkpoint
