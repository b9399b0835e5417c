"""Run the migrations of all four services as the administrator, and give each service its role."""

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from shared.adapters.postgres.ownership import AUDITOR, PORTAL, SECOND
from shared.domain.errors import Refused
from shared.runtime.command_settings import CommandSettings
from shared.runtime.secret_file import read_secret
from shared.runtime.settings import HOUSE

ARCHIVIST: Final = "danbao_archivist"
"""The login of `danbao archive`: reads everything, moves whole days out of charging's table and back."""
NATIONAL_PLATFORM: Final = "national_platform"
SHORTEST_PASSWORD: Final = 12


@dataclass(frozen=True, slots=True)
class History:
    """One service's migrations; the national platform's are run in a separate database."""

    service: str
    schema: str
    role: str
    is_own_database: bool = False
    others: tuple[str, ...] = (AUDITOR,)
    """Other logins than the service's that may connect to its database."""

    @property
    def logins(self) -> tuple[str, ...]:
        return (self.role, *self.others)

    @property
    def second_logins(self) -> tuple[str, ...]:
        """Logins with the rights of the service's own, used while the password of the first is changed."""
        return tuple(f"{role}{SECOND}" for role in self.logins if role in {self.role, PORTAL})

    @property
    def scripts(self) -> Path:
        return HOUSE / "services" / self.service / "migrations"


HISTORIES: Final = (
    History("charging", "charging", "danbao_charging", others=(AUDITOR, ARCHIVIST)),
    History("ledger", "ledger", "danbao_ledger"),
    History("reporting", "reporting", "danbao_reporting", others=(AUDITOR, PORTAL)),
    History("national_platform", "national_platform", NATIONAL_PLATFORM, is_own_database=True),
)
ROLES: Final = (*(history.role for history in HISTORIES), AUDITOR, ARCHIVIST, PORTAL)


async def migrate_all(settings: CommandSettings, passwords: Mapping[str, str]) -> None:
    """Bring every schema to its newest version; needs the administrators' URLs in the settings.

    `passwords` are of ROLES, and of those second logins that are in use.
    """
    from shared.adapters.postgres.migrations import migrate  # noqa: PLC0415 - alembic is slow to import

    for history in HISTORIES:
        administrator = settings.platform_database if history.is_own_database else settings.database
        roles = {role: passwords.get(role) for role in (*history.logins, *history.second_logins)}
        await migrate(administrator.get_secret_value(), history.schema, history.scripts, roles)


def read_passwords(folder: Path) -> tuple[dict[str, str], list[str]]:
    """Read the passwords of this folder, one file for each role, and make those of first logins that are missing.

    Returns them and the roles whose passwords are new. A second login has a password as long as it has a file. Raises
    Refused for one that is too short.
    """
    passwords, new = {}, []
    for role in (*ROLES, *(login for history in HISTORIES for login in history.second_logins)):
        file = folder / role
        if not file.exists():
            if role not in ROLES:
                continue
            write_secret(file, secrets.token_urlsafe(24))
            new.append(role)
        passwords[role] = read_secret("DANBAO_ROLE_PASSWORDS", file)
        if len(passwords[role]) < SHORTEST_PASSWORD:
            raise Refused(f"{file}: a password has at least {SHORTEST_PASSWORD} characters")
    return passwords, new


def write_secret(file: Path, secret: str) -> None:
    """Write a secret's file, which its owner alone can read from its first byte on."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        stream.write(f"{secret}\n")


def write_env_file(file: Path, values: Mapping[str, str]) -> None:
    """Write `NAME=value` lines for a shell and docker compose, readable by the owner only."""
    file.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        stream.writelines(f"{name}={value}\n" for name, value in values.items())


def read_env_file(file: Path) -> dict[str, str]:
    """Read a file of `write_env_file`; raises Refused naming a malformed line."""
    values = {}
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        name, sign, value = line.partition("=")
        if not line.strip() or line.startswith("#"):
            continue
        if not sign:
            raise Refused(f"{file}:{number}: not of the form NAME=value")
        values[name.strip()] = value
    return values
