"""Read the folder of Kafka passwords: one file for each login, named after it, at any depth."""

from collections.abc import Iterable
from pathlib import Path

from shared.contracts.topic_rights import BROKER, SETUP, logins_of
from shared.domain.errors import Refused
from shared.runtime.secret_file import read_secret


def read_logins(folder: Path, principals: Iterable[str]) -> dict[str, str]:
    """Return passwords by login; `Refused` for a file of an unknown login or without a password."""
    known = {BROKER, *logins_of(SETUP), *(login for principal in principals for login in logins_of(principal))}
    files = {file.name: file for file in sorted(folder.rglob("*")) if file.is_file()}
    if not files:
        raise Refused(f"DANBAO_KAFKA_LOGINS: {folder} holds no file")
    if strange := sorted(files.keys() - known):
        raise Refused(
            f"DANBAO_KAFKA_LOGINS: {', '.join(strange)} in {folder}: no principal of the table has this login"
        )
    return {login: read_secret("DANBAO_KAFKA_LOGINS", file) for login, file in files.items()}
