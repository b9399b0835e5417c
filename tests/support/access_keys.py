"""Keys for tests: one that opens everything, as the operator's does, and the settings and files that have it."""

from pathlib import Path
from typing import Any

from pydantic import SecretStr

from deploy.service_keys import entry
from shared.runtime.access import AccessKeys, Reader, sha256_hex
from shared.runtime.persons import Persons
from tests.support.authors import OPERATOR


def opened_by(key: str, service: str = "") -> AccessKeys:
    """Access keys of a service that this key opens; of a service that is named, decisions need the tests' operator."""
    readers = [(sha256_hex(key), Reader("operator", frozenset({"operator"})))]
    return AccessKeys(readers, service, Persons([OPERATOR.author], service))


def write_access_keys(file: Path, key: str, scope: str = "operator") -> Path:
    """Add a key to a file of access keys."""
    before = file.read_text(encoding="utf-8") if file.exists() else ""
    file.write_text(before + entry("operator", sha256_hex(key), scope), encoding="utf-8")
    return file


def caller_settings(key: str) -> dict[str, Any]:
    """Settings of a process that shows this key to every service."""
    return {f"{service}_key": SecretStr(key) for service in ("charging", "ledger", "reporting")}


def caller_variables(key: str) -> dict[str, str]:
    """The caller's settings as environment variables."""
    return {f"DANBAO_{name.upper()}": value.get_secret_value() for name, value in caller_settings(key).items()}
