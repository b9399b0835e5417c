"""Files of verifier keys: one vkey (C2SP signed-note) a line; empty lines and lines after `#` are passed over.

A vkey alone is a log's or a witness's; with a role behind it, it is an author's (`shared.domain.evidence.authors`).
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from shared.domain.errors import Refused, RefusedLine
from shared.domain.evidence.authors import Author, is_author_line
from shared.domain.evidence.signed_note import VerifierKey

T = TypeVar("T")


def read_vkeys(path: Path) -> list[VerifierKey]:
    """The keys of logs and witnesses in their order; raises Refused naming file and line for what is no key."""
    return [_parsed(path, number, VerifierKey.parse, line) for number, line in _lines(path) if not is_author_line(line)]


def read_authors(path: Path) -> list[Author]:
    """The authors in their order; raises Refused naming file and line for what is none."""
    return [_parsed(path, number, Author.parse, line) for number, line in _lines(path) if is_author_line(line)]


def add_vkey(path: Path, key: VerifierKey) -> None:
    """Write the key at the end of the file unless it is in it."""
    if not path.exists() or key not in read_vkeys(path):
        _append(path, str(key))


def add_author(path: Path, author: Author) -> None:
    """Write the author at the end of the file unless this key of his, in use or retired, is in it."""
    if not path.exists() or author.key not in {known.key for known in read_authors(path)}:
        _append(path, str(author))


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise Refused(f"{path}: not a file of verifier keys: {error}") from error
    for number, line in enumerate(lines, 1):
        if line.strip() and not line.startswith("#"):
            yield number, line.strip()


def _parsed(path: Path, number: int, parse: Callable[[str], T], line: str) -> T:
    try:
        return parse(line)
    except Refused as error:
        raise RefusedLine(str(path), number, str(error)) from error


def _append(path: Path, line: str) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(f"{line}\n")
