"""Reads a secret from the file that a setting names: one line, without its end."""

from pathlib import Path
from typing import Final

from shared.domain.errors import Refused

MOST_SECRET_BYTES: Final = 64 * 1024
"""A longer file is no secret, and refused."""


def read_secret(name: str, file: Path) -> str:
    """The one line of the file; raises Refused naming the setting `name` where it cannot be read or is none."""
    try:
        with file.open("rb") as opened:
            secret = opened.read(MOST_SECRET_BYTES + 1).decode().rstrip("\r\n")
    except OSError as error:
        raise Refused(f"{name}: {file} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise Refused(f"{name}: {file} cannot be read: {error}") from error
    if not secret or len(secret) > MOST_SECRET_BYTES or "\n" in secret or "\0" in secret:
        raise Refused(f"{name}: {file} has to hold one line")
    return secret
