"""Files of verifier keys: one vkey (C2SP signed-note) a line; empty lines and lines after `#` are passed over."""

from pathlib import Path

from shared.domain.errors import Refused, RefusedLine
from shared.domain.signed_note import VerifierKey


def read_vkeys(path: Path) -> list[VerifierKey]:
    """The keys in their order; raises Refused naming file and line for what is no key."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise Refused(f"{path}: not a file of verifier keys: {error}") from error
    found = []
    for number, line in enumerate(lines, 1):
        if line.strip() and not line.startswith("#"):
            try:
                found.append(VerifierKey.parse(line.strip()))
            except Refused as error:
                raise RefusedLine(str(path), number, str(error)) from error
    return found


def add_vkey(path: Path, key: VerifierKey) -> None:
    """Write the key at the end of the file unless it stands there."""
    known = read_vkeys(path) if path.exists() else []
    if key not in known:
        with path.open("a", encoding="utf-8") as file:
            file.write(f"{key}\n")
