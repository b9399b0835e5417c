"""Write the files that a secured Kafka broker starts with: certificates, and settings with the brokers' own login.

What exists is left as it is, so an operator's certificates go into the folders before the first start.
"""

import os
import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

from deploy.certificates import Pair, issue, make_authority

TEMPLATE: Final = Path(__file__).parent / "kafka" / "security.properties"
AUTHORITY: Final = "Danbao's internal authority"
SECRET: Final = 0o600
FOR_BROKER: Final = 0o640
"""Readable by the group, too: the broker's image runs as another user."""


def write_certificates(authority: Path, broker: Path, hosts: Sequence[str], now: datetime) -> None:
    """Make the authority's `ca.pem` and `ca.key`, and the broker's `broker.pem` (key and certificate) and `ca.pem`."""
    if not (broker / "ca.pem").exists():
        if not (authority / "ca.pem").exists():
            made = make_authority(AUTHORITY, now)
            write_file(authority / "ca.key", made.key, SECRET)
            write_file(authority / "ca.pem", made.certificate, FOR_BROKER)
        write_file(broker / "ca.pem", (authority / "ca.pem").read_bytes(), FOR_BROKER)
    if not (broker / "broker.pem").exists():
        ours = Pair((authority / "ca.pem").read_bytes(), (authority / "ca.key").read_bytes())
        pair = issue(ours, hosts[0], hosts, now)
        write_file(broker / "broker.pem", pair.key + pair.certificate, FOR_BROKER)


def write_settings(broker: Path, seen_as: str, settings: str, password: str, users: Mapping[str, str]) -> None:
    """Write `server.properties`, and `users`: the arguments that `kafka-storage format` makes the first logins of.

    `seen_as` is this folder as the broker sees it, `settings` are all others than those of the template.
    """
    security = TEMPLATE.read_text().replace("{folder}", seen_as).replace("{password}", password)
    replace_file(broker / "server.properties", f"{settings}\n{security}".encode(), FOR_BROKER)
    lines = [f"--add-scram\nSCRAM-SHA-512=[name={name},password={secret}]\n" for name, secret in users.items()]
    replace_file(broker / "users", "".join(lines).encode(), FOR_BROKER)


def make_password(file: Path) -> str:
    """Read the password of this file, or make one when it is missing."""
    if not file.exists():
        write_file(file, f"{secrets.token_urlsafe(24)}\n".encode(), SECRET)
    return file.read_text().strip()


def write_file(file: Path, content: bytes, mode: int) -> None:
    """Make a file that only those of `mode` can read, from its first byte on; one that is there is an error."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as opened:
        opened.write(content)


def replace_file(file: Path, content: bytes, mode: int) -> None:
    """Replace a file atomically."""
    fresh = file.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    write_file(fresh, content, mode)
    fresh.replace(file)
