"""Make the keys that services show each other, one for each direction of shared/runtime/callers.py.

The key is in a file of the caller (`<keys>/<caller>/<callee>.key`), its hash in the file of access keys that the
callees read. What exists is left as it is, so that this can be run again. To replace a key without a gap: take its
file away, run this, start the callee again and then the caller; last, take the old hash out of the file of access keys.
"""

import os
import secrets
from pathlib import Path

from shared.runtime.access import sha256_hex
from shared.runtime.callers import DIRECTIONS, Direction, callees_of


def make_service_keys(keys: Path, access: Path) -> None:
    """Write the missing keys, and the missing hashes into the file of access keys."""
    text = access.read_text(encoding="utf-8") if access.exists() else ""
    for direction in DIRECTIONS:
        digest = sha256_hex(_read_or_make(key_file(keys, direction)))
        if digest not in text:
            text += entry(direction.caller, digest, direction.scope)
    access.write_text(text, encoding="utf-8")


def key_file(keys: Path, direction: Direction) -> Path:
    """Return the path of a caller's key."""
    return keys / direction.caller / f"{direction.callee}.key"


def key_settings(keys: Path, caller: str) -> dict[str, str]:
    """Return the settings that name a caller's key files."""
    files = {callee: key_file(keys, Direction(caller, callee)) for callee in callees_of(caller)}
    return {f"DANBAO_{callee.upper()}_KEY_FILE": str(file) for callee, file in files.items()}


def entry(name: str, digest: str, scope: str) -> str:
    """Format one entry of a file of access keys."""
    return f'[[key]]\nname = "{name}"\nsha256 = "{digest}"\nscopes = ["{scope}"]\n\n'


def _read_or_make(file: Path) -> str:
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return file.read_text(encoding="utf-8").strip()
    key = secrets.token_urlsafe(32)
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        stream.write(key)
    return key
