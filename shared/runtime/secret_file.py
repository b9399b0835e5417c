"""Reads secrets from the files that variables name: one line each, without its end.

One rule for every secret: `NAME_FILE` names the file of the secret `NAME`; where the secret is the URL of a database,
`NAME_PASSWORD_FILE` names the file of its password alone. The plain variable `NAME` is for a trial: who may read
the environment of the process sees it.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import quote

from shared.domain.errors import Refused

MOST_SECRET_BYTES: Final = 64 * 1024
"""A longer file is no secret, and refused."""
ENDINGS: Final = ("_FILE", "_PASSWORD_FILE")
"""What is put behind the name of a secret to name its file."""
_LOGIN: Final = re.compile(r"([\w+]+://[^:@/?#]+)@(.*)", re.DOTALL)
"""A URL with a role and no password."""


def read_secret(name: str, file: Path) -> str:
    """The one line of the file; raises Refused naming the setting `name` where it cannot be read or is none."""
    try:
        with file.open("rb") as opened:
            secret = opened.read(MOST_SECRET_BYTES + 1).decode().rstrip("\r\n")
    except OSError as error:
        raise Refused(f"{name}: {file} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError:
        # The error quotes the bytes.
        raise Refused(f"{name}: {file} cannot be read: it is not UTF-8") from None
    if not secret or len(secret) > MOST_SECRET_BYTES or "\n" in secret or "\0" in secret:
        raise Refused(f"{name}: {file} has to hold one line")
    return secret


def find_secret(name: str, variables: Mapping[str, str] | None = None) -> str | None:
    """The secret of this name from the file or the variable that is set; None where neither is.

    Raises Refused where both are set, where a file holds no secret, and for a password whose URL has no role or has a
    password already.
    """
    known = os.environ if variables is None else variables
    plain, file, password = (known.get(name + ending) for ending in ("", *ENDINGS))
    if file is not None:
        if plain is not None or password is not None:
            other = name if plain is not None else f"{name}_PASSWORD_FILE"
            raise Refused(f"{name}_FILE and {other} are both set: set one of them")
        return read_secret(f"{name}_FILE", Path(file))
    if password is None:
        return plain
    match = _LOGIN.fullmatch(plain or "")
    if match is None:
        raise Refused(f"{name}_PASSWORD_FILE is set: {name} has to be a URL with a role and no password")
    return f"{match[1]}:{quote(read_secret(f'{name}_PASSWORD_FILE', Path(password)), '')}@{match[2]}"
