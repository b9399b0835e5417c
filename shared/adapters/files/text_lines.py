"""Read the lines of text files that people hand in: UTF-8, as they are or packed by gzip.

Anything else is refused with file, line and what to do. It is never decoded by a guess: names in GBK would become other
names, and a file that is valid both as UTF-8 and as GBK is refused, too, unless its byte order mark decides.
"""

import gzip
import re
import zlib
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final, cast

from shared.domain.errors import RefusedLine

MARK: Final = "\ufeff"
"""The byte order mark, with which a file may begin: it is no part of the text."""
_GZIP: Final = b"\x1f\x8b"
_OTHER_KINDS: Final = {
    BOM_UTF16_LE: "this is UTF-16: save it as UTF-8",
    BOM_UTF16_BE: "this is UTF-16: save it as UTF-8",
    b"PK\x03\x04": "this is a workbook (XLSX) or a ZIP archive: save it as CSV UTF-8",
    b"\xd0\xcf\x11\xe0": "this is a workbook (XLS): save it as CSV UTF-8",
    _GZIP: "this is packed twice by gzip",
}
_HANZI: Final = re.compile(r"[\u3400-\u9fff]")
_ONLY_IN_UTF8: Final = re.compile(r"[\u0800-\U0010ffff]")
"""Three bytes or more in UTF-8, as the byte order mark is, too. A pair of bytes may as well be one sign of GBK."""


@contextmanager
def open_bytes(path: Path) -> Iterator[IO[bytes]]:
    """Open a file, unpacked; raises RefusedLine for a workbook, UTF-16 or a damaged file."""
    try:
        with path.open("rb") as raw:
            is_packed = raw.read(2) == _GZIP
            raw.seek(0)
            stream: IO[bytes]
            with cast("IO[bytes]", gzip.open(raw)) if is_packed else raw as stream:
                head = stream.read(4)
                for mark, words in _OTHER_KINDS.items():
                    if head.startswith(mark):
                        raise RefusedLine(str(path), 0, words)
                stream.seek(0)
                yield stream
    except (OSError, EOFError, zlib.error) as error:
        raise RefusedLine(str(path), 0, f"cannot be read: {error}") from error


def read_text_lines(path: Path) -> Iterator[str]:
    """Yield each line with its end; raises RefusedLine naming the first line that is not UTF-8."""
    with open_bytes(path) as stream:
        is_proved = False
        for number, line in enumerate(stream, 1):
            if line.isascii() and b"\0" not in line:
                yield line.decode()
                continue
            text = _decode(path, number, line)
            is_proved = is_proved or _ONLY_IN_UTF8.search(text) is not None
            if not is_proved and _is_gbk(line):
                words = "could be UTF-8 or GBK: save it as CSV UTF-8, which begins with a byte order mark"
                raise RefusedLine(str(path), number, words)
            yield text.removeprefix(MARK)


def _decode(path: Path, number: int, line: bytes) -> str:
    if b"\0" in line:
        raise RefusedLine(str(path), number, "a NUL byte: UTF-16 without its mark, or no text; save it as CSV UTF-8")
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        words = "save it as CSV UTF-8 (this looks like GBK)" if _is_gbk(line) else f"not UTF-8 ({error.reason})"
        raise RefusedLine(str(path), number, words) from error


def _is_gbk(line: bytes) -> bool:
    try:
        return _HANZI.search(line.decode("gb18030")) is not None
    except UnicodeDecodeError:
        return False
