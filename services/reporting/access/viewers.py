"""Who looks, and a connection that sees no more than that: the rows are cut by the database, not by the queries."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared.domain.errors import Refused
from shared.domain.scheme.enterprise import USCC_FORM
from shared.runtime.access import FULL, Reader


class Role(StrEnum):
    """Kinds of readers; each has a role of its own in the database, `danbao_view_<role>`."""

    NATIONAL = "national"
    PROVINCE = "province"
    ENTERPRISE = "enterprise"
    WORKER = "worker"
    OPERATOR = "operator"


_SCOPES: Final = {
    Role.PROVINCE: re.compile(r"[0-9]{2}"),
    Role.ENTERPRISE: re.compile(USCC_FORM),
    Role.WORKER: re.compile(rf"[0-9a-f]{{64}}(:{USCC_FORM})?"),
}


def check_scope(role: Role, scope: str | None) -> None:
    """Raises Refused where this is no scope of the role."""
    form = _SCOPES.get(role)
    if (form is None) != (scope is None) or (form and scope and not form.fullmatch(scope)) or scope == "":
        raise Refused(f"not a scope of {role}: {scope!r}")


@dataclass(frozen=True, slots=True)
class Viewer:
    """One reader. `scope`: a province (2 digits), a USCC, a worker's token (64 hex digits, with `:<USCC>` where only
    that enterprise's orders are shown), or None for the national regulator and operators. `must_change` is of an
    account whose password an operator knows."""

    name: str
    role: Role
    scope: str | None
    must_change: bool = False

    def sees(self, province: str | None, enterprise: str | None, worker: str | None = None) -> bool:
        """Whether a row of this enterprise, province and worker is the viewer's: for what other services tell."""
        match self.role:
            case Role.NATIONAL | Role.OPERATOR:
                return True
            case Role.PROVINCE:
                return province is not None and province == self.scope
            case Role.ENTERPRISE:
                return enterprise is not None and enterprise == self.scope
            case Role.WORKER:
                return worker is not None and self.scope in {worker, f"{worker}:{enterprise}"}


_VIEW: Final = text(
    "select set_config('transaction_read_only', 'on', true), set_config('danbao.scope', :scope, true),"
    " set_config('role', :role, true)"
)


@asynccontextmanager
async def viewing(engine: AsyncEngine, viewer: Viewer) -> AsyncIterator[AsyncConnection]:
    """A connection in a transaction that only reads, as the role of this kind of viewer, within the viewer's scope."""
    async with engine.connect() as connection:
        await connection.execute(_VIEW, {"scope": viewer.scope or "", "role": f"danbao_view_{viewer.role}"})
        yield connection


def viewer_of(reader: Reader) -> Viewer | None:
    """The viewer that a key of the file is; None for one whose scopes are of another service, or several readers'."""
    if reader.scopes & FULL:
        return Viewer(reader.name, Role.OPERATOR, None)
    if len(reader.scopes) != 1:
        return None
    kind, _, value = next(iter(reader.scopes)).partition(":")
    if kind not in {Role.NATIONAL, Role.PROVINCE, Role.ENTERPRISE}:
        return None
    return Viewer(reader.name, Role(kind), value or None)
