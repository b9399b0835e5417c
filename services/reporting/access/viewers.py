"""Viewers, and connections limited to a viewer's rows: the database cuts the rows, not the queries.

The portal's login sees nothing without a ticket, which the database gives for a session or key (docs/decisions/0021).
"""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import CursorResult, TextClause, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared.domain.errors import Refused, Retry
from shared.domain.scheme.enterprise import USCC_FORM
from shared.runtime.access import FULL, Reader


class Role(StrEnum):
    """Kinds of readers; each has its own database role, `danbao_view_<role>`."""

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
    account whose password an operator knows. `credential` is the SHA-256 of the session's token, or of the key, in hex:
    the database finds the viewer by it."""

    name: str
    role: Role
    scope: str | None
    must_change: bool = False
    credential: str = field(default="", repr=False, compare=False)

    def sees(self, province: str | None, enterprise: str | None, worker: str | None = None) -> bool:
        """Whether a row of this enterprise, province and worker is the viewer's: for what other services answer."""
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
    "select set_config('danbao.view', coalesce(reporting.view_ticket(:credential), ''), true) <> '',"
    " set_config('transaction_read_only', 'on', true), set_config('role', :role, true)"
)
_ENDED: Final = "DNB01"
"""The state of SQL with which the functions of the database refuse a credential."""
_TRY_AGAIN: Final = "the session or key has ended meanwhile: try again"


@asynccontextmanager
async def viewing(engine: AsyncEngine, viewer: Viewer) -> AsyncIterator[AsyncConnection]:
    """A connection in a transaction that only reads, as the role of this kind of viewer, within the viewer's scope.

    Raises Retry where the viewer's session or key has ended: the next request is answered 401.
    """
    async with engine.connect() as connection:
        row = {"credential": viewer.credential, "role": f"danbao_view_{viewer.role}"}
        if not (await connection.execute(_VIEW, row)).one()[0]:
            raise Retry(_TRY_AGAIN)
        yield connection


async def act(connection: AsyncConnection, viewer: Viewer, call: TextClause, **values: Any) -> CursorResult[Any]:
    """Call a function of the database that takes the credential of the person who acts; raises Retry as `viewing`."""
    try:
        return await connection.execute(call, {"credential": viewer.credential} | values)
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) == _ENDED:
            raise Retry(_TRY_AGAIN) from error
        raise


def viewer_of(reader: Reader, credential: str = "") -> Viewer | None:
    """The viewer that a key of the file is; None for one whose scopes are of another service, or several readers'."""
    if reader.scopes & FULL:
        return Viewer(reader.name, Role.OPERATOR, None, credential=credential)
    if len(reader.scopes) != 1:
        return None
    kind, _, value = next(iter(reader.scopes)).partition(":")
    if kind not in {Role.NATIONAL, Role.PROVINCE, Role.ENTERPRISE}:
        return None
    return Viewer(reader.name, Role(kind), value or None, credential=credential)
