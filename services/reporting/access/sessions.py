"""Manage sessions of browsers: a random token in a cookie, stored as a hash; idle and absolute lifetimes end it."""

import secrets
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.reporting.access.viewers import Role, Viewer
from shared.runtime.access import sha256_hex

LONGEST_HOURS: Final = 12
"""A session is over so long after the sign-in, used or not."""
WORKER_HOURS: Final = 1
"""Lifetime of a session that a worker's link opened."""

_OPEN: Final = text("""
insert into reporting.session (session_sha256, account, key_id, ends_at)
values (:digest, :account, :key_id, clock_timestamp() + make_interval(hours => :hours))
""")
_END_OTHERS: Final = text("delete from reporting.session where key_id = :key_id")
_END: Final = text("select reporting.end_session(:digest)")
_FIND: Final = text("select name, role, scope, must_change from reporting.find_session(:digest, :is_asked)")


async def open_session(
    engine: AsyncEngine, *, account: str | None = None, key_id: int | None = None, instead_of: str = ""
) -> str:
    """A new session's token, of an account or of a link; ends the session that it replaces and deletes expired ones.

    A link has one session: those that it opened before end.
    """
    token = secrets.token_urlsafe(32)
    row = {"digest": sha256_hex(token), "account": account, "key_id": key_id}
    async with engine.begin() as connection:
        await connection.execute(_END, {"digest": sha256_hex(instead_of)})
        if key_id is not None:
            await connection.execute(_END_OTHERS, {"key_id": key_id})
        await connection.execute(_OPEN, row | {"hours": LONGEST_HOURS if account else WORKER_HOURS})
    return token


async def end_session(engine: AsyncEngine, token: str) -> None:
    """End it; nothing happens where it is over."""
    async with engine.begin() as connection:
        await connection.execute(_END, {"digest": sha256_hex(token)})


async def find_session(engine: AsyncEngine, token: str, *, is_asked: bool = True) -> Viewer | None:
    """Whose session this is; None where it is over or never was. A request that no person made does not extend it."""
    digest = sha256_hex(token)
    async with engine.begin() as connection:
        row = (await connection.execute(_FIND, {"digest": digest, "is_asked": is_asked})).one_or_none()
    if row is None:
        return None
    name, role, scope, must_change = row
    return Viewer(name, Role(role), scope, must_change, digest)
