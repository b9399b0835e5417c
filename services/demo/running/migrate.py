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


def new_passwords() -> dict[str, str]:
    """Make a random password for each role."""
    return {role: secrets.token_urlsafe(24) for role in ROLES}


def password_variable(role: str) -> str:
    """Return the environment variable of a role's password."""
    return f"DANBAO_ROLE_PASSWORD_{role.upper()}"


def given_passwords(file: Path) -> tuple[dict[str, str], list[str]]:
    """Return passwords from the environment, else from the file of an earlier run, else new ones.

    Returns them and the roles whose passwords are new. Raises Refused for one that is too short.
    """
    earlier = read_env_file(file) if file.exists() else {}
    made, passwords = new_passwords(), {}
    for role in (*ROLES, *(login for history in HISTORIES for login in history.second_logins)):
        name = password_variable(role)
        password = os.environ.get(name) or earlier.get(name) or made.get(role)
        if password is None:
            continue
        if len(password) < SHORTEST_PASSWORD:
            raise Refused(f"{name}: a password has at least {SHORTEST_PASSWORD} characters")
        passwords[role] = password
    return passwords, [role for role in ROLES if passwords[role] == made[role]]


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
