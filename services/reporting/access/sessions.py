"""Sessions of browsers: a random token in a cookie, its hash here; it ends when it is idle, and in any case."""

import secrets
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.reporting.access.viewers import Role, Viewer
from shared.runtime.access import sha256_hex

IDLE_MINUTES: Final = 30
"""A session that nothing was asked in for so long is over."""
LONGEST_HOURS: Final = 12
"""A session is over so long after the sign-in, used or not."""
WORKER_HOURS: Final = 1
"""The same for one that a worker's link opened."""
SEEN_SECONDS: Final = 60
"""How exact the time of the last question is kept: not every one of them writes."""

_OPEN: Final = text("""
insert into reporting.session (session_sha256, account, key_id, ends_at)
values (:digest, :account, :key_id, clock_timestamp() + make_interval(hours => :hours))
""")
_END_OTHERS: Final = text("delete from reporting.session where key_id = :key_id")
_SWEEP: Final = text("""
delete from reporting.session where session_sha256 = :digest or ends_at <= clock_timestamp()
    or last_seen_at <= clock_timestamp() - make_interval(mins => :idle)
""")
_FIND: Final = text("""
select coalesce(a.name, 'link ' || k.key_id), coalesce(a.role, k.role), coalesce(a.scope, k.scope),
    coalesce(a.must_change, false), s.last_seen_at < clock_timestamp() - make_interval(secs => :seen)
from reporting.session s
left join reporting.account a on a.name = s.account
left join reporting.api_key k on k.key_id = s.key_id
where s.session_sha256 = :digest and s.ends_at > clock_timestamp()
    and s.last_seen_at > clock_timestamp() - make_interval(mins => :idle)
    and not coalesce(a.is_disabled, false)
    and (k.key_id is null or (k.revoked_at is null and k.ends_at > clock_timestamp()))
""")
_SEEN: Final = text("update reporting.session set last_seen_at = clock_timestamp() where session_sha256 = :digest")


async def open_session(
    engine: AsyncEngine, *, account: str | None = None, key_id: int | None = None, instead_of: str = ""
) -> str:
    """A new session's token, of an account or of a link; the one it is in place of ends, and whatever is over.

    A link has one session: those that it opened before end.
    """
    token = secrets.token_urlsafe(32)
    row = {"digest": sha256_hex(token), "account": account, "key_id": key_id}
    async with engine.begin() as connection:
        await connection.execute(_SWEEP, {"digest": sha256_hex(instead_of), "idle": IDLE_MINUTES})
        if key_id is not None:
            await connection.execute(_END_OTHERS, {"key_id": key_id})
        await connection.execute(_OPEN, row | {"hours": LONGEST_HOURS if account else WORKER_HOURS})
    return token


async def end_session(engine: AsyncEngine, token: str) -> None:
    """End it; nothing happens where it is over."""
    async with engine.begin() as connection:
        await connection.execute(_SWEEP, {"digest": sha256_hex(token), "idle": IDLE_MINUTES})


async def find_session(engine: AsyncEngine, token: str, *, is_asked: bool = True) -> Viewer | None:
    """Whose session this is; None where it is over or never was. What nobody asked for does not keep it from ending."""
    digest = sha256_hex(token)
    async with engine.begin() as connection:
        wish = {"digest": digest, "idle": IDLE_MINUTES, "seen": SEEN_SECONDS}
        found = (await connection.execute(_FIND, wish)).one_or_none()
        if found is None:
            return None
        name, role, scope, must_change, is_long_ago = found
        if is_long_ago and is_asked:
            await connection.execute(_SEEN, {"digest": digest})
    return Viewer(name, Role(role), scope, must_change)
