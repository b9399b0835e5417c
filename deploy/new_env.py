"""Write `.env` for the compose file from `.env.example`, and a file for each of its secrets: `make env`.

Runs on any Python from 3.11 with nothing installed. What exists is never touched, so a secret is replaced by removing
its file first (docs/operating.md has what goes with it).
"""

import base64
import os
import secrets
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SERVICE_ROLES = ("danbao_charging", "danbao_ledger", "danbao_reporting", "danbao_portal", "national_platform")
SECRETS = (
    "postgres",  # administrators of the two databases
    "platform_postgres",
    *SERVICE_ROLES,
    *(f"{role}_2" for role in SERVICE_ROLES),
    "danbao_auditor",
    "danbao_archivist",
    "platform_key",  # what reporting shows the national platform
    "operator_key",  # what an operator shows to both
)


def main(root: Path) -> int:
    """Return 0 when something was written, 1 when all of it was there."""
    folder = root / "secrets"
    folder.mkdir(mode=0o700, exist_ok=True)
    wanted: dict[Path, tuple[int, Callable[[], str]]] = {root / ".env": (0o600, lambda: settings(root))}
    # The folder keeps other users of this machine out; a container's user, who is another one, has to read the files.
    wanted |= {folder / name: (0o444, lambda: secrets.token_urlsafe(24) + "\n") for name in SECRETS}
    made = [file for file, (mode, content) in wanted.items() if write_new(file, mode, content)]
    if not made:
        print(f".env and {folder.name}/ exist and stay as they are", file=sys.stderr)
        return 1
    print(f"written: {', '.join(str(file.relative_to(root)) for file in made)}; keep them to yourself")
    return 0


def write_new(file: Path, mode: int, content: Callable[[], str]) -> bool:
    """Write a file with this mode from the first byte on; False when there is one."""
    try:
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError:
        return False
    with os.fdopen(handle, "w") as opened:
        os.fchmod(handle, mode)  # under any umask
        opened.write(content())
    return True


def settings(root: Path) -> str:
    """The content of `.env`."""
    return "".join(map(filled, (root / ".env.example").read_text().splitlines(keepends=True)))


def filled(line: str) -> str:
    """The line, with a new id where `KAFKA_CLUSTER_ID=` has none."""
    return f"KAFKA_CLUSTER_ID={cluster_id()}\n" if line.strip() == "KAFKA_CLUSTER_ID=" else line


def cluster_id() -> str:
    """Make a Kafka id: 16 bytes in base64 without padding, which cannot be mistaken for an option."""
    while (text := base64.urlsafe_b64encode(secrets.token_bytes(16)).decode().rstrip("=")).startswith("-"):
        pass
    return text


if __name__ == "__main__":
    sys.exit(main(ROOT))
