"""Read the scheme key and identity documents for `danbao token`; documents are never printed or logged."""

import getpass
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from shared.domain.errors import Refused
from shared.runtime.secret_file import find_secret

KEY_VARIABLE = "DANBAO_SCHEME_KEY"


def read_scheme_key(file: Path | None) -> bytes:
    """Read the key's bytes, without a line end; raises Refused when there is none."""
    if file is not None:
        try:
            return file.read_bytes().rstrip(b"\r\n")
        except OSError as error:
            raise Refused(f"{file}: the scheme key cannot be read: {error.strerror}") from error
    if key := find_secret(KEY_VARIABLE):
        return key.encode()
    raise Refused(f"no scheme key: name a file with --key-file, or set {KEY_VARIABLE}")


def read_documents(stream: TextIO) -> Iterator[tuple[str, str]]:
    """Read type and number from each line, or one document from a terminal without echo."""
    if stream.isatty():
        id_type = input("type of the document: ")
        yield id_type, getpass.getpass("number (not shown): ")
        return
    for count, line in enumerate(stream, 1):
        id_type, space, number = line.strip().partition(" ")
        if not line.strip():
            continue
        if not space:
            raise Refused(f"line {count} of standard input is not TYPE NUMBER")
        yield id_type, number
