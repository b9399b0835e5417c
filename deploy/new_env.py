"""Write `.env` for the compose file from `.env.example`, with a new secret for every empty line: `make env`.

Runs on any Python from 3.11 with nothing installed. An existing `.env` is never touched.
"""

import base64
import os
import secrets
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main(root: Path) -> int:
    """Return 0 when `.env` was written, 1 when there was one."""
    try:
        # Readable by its owner only, from the first byte on.
        handle = os.open(root / ".env", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        print(".env exists and stays as it is", file=sys.stderr)
        return 1
    with os.fdopen(handle, "w") as file:
        file.writelines(filled(line) for line in (root / ".env.example").read_text().splitlines(keepends=True))
    print(".env is written: keep it to yourself")
    return 0


def filled(line: str) -> str:
    """The line, with a secret where `NAME=` has none."""
    name, sign, value = line.strip().partition("=")
    if not sign or value or name.startswith("#"):
        return line
    return f"{name}={cluster_id() if name == 'KAFKA_CLUSTER_ID' else secrets.token_urlsafe(24)}\n"


def cluster_id() -> str:
    """Make a Kafka id: 16 bytes in base64 without padding, which cannot be mistaken for an option."""
    while (text := base64.urlsafe_b64encode(secrets.token_bytes(16)).decode().rstrip("=")).startswith("-"):
        pass
    return text


if __name__ == "__main__":
    sys.exit(main(ROOT))
