"""API keys of programs (接口密钥) and links of workers: shown once, kept as hashes; each ends."""

import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from urllib.parse import urljoin

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.reporting.access.accounts import note
from services.reporting.access.viewers import Role, Viewer, check_scope
from shared.domain.errors import Refused
from shared.runtime.access import sha256_hex

PREFIX: Final = "danbao_"
"""What a key begins with, so that programs that look for leaked keys know one."""
KEY_DAYS: Final = 90
"""A key is valid for so long where nobody says how long; a link likewise."""
LINK_DAYS: Final = 7
LONGEST_DAYS: Final = 366
LONGEST_LINK_DAYS: Final = 31
OPENINGS_A_DAY: Final = 20
"""A link that was opened so often within a day opens no more until the first of them is older."""
USED_SECONDS: Final = 60
"""How exact the time of the last use is kept: not every one of them writes."""

_ADD: Final = text("""
insert into reporting.api_key (key_sha256, name, role, scope, made_by, ends_at)
values (:digest, :name, :role, :scope, :made_by, clock_timestamp() + make_interval(days => :days))
returning key_id, ends_at
""")
_LIST: Final = text("""
select key_id, name, role, scope, made_by, made_at, ends_at, revoked_at, last_used_at from reporting.api_key
where role <> 'worker' and (cast(:scope as text) is null or (role = :role and scope = :scope)) order by key_id
""")
_REVOKE: Final = text("""
update reporting.api_key set revoked_at = coalesce(revoked_at, clock_timestamp())
where key_id = :key_id and (cast(:scope as text) is null or (role = :role and scope = :scope)) returning 1
""")
_FIND: Final = text("""
select key_id, name, role, scope, coalesce(last_used_at < clock_timestamp() - make_interval(secs => :used), true)
from reporting.api_key
where key_sha256 = :digest and revoked_at is null and ends_at > clock_timestamp() and (role = 'worker') = :is_link
""")
_OPENINGS: Final = text("""
select count(*) from reporting.access_note where subject = :subject and what = 'link_opened'
    and noted_at > clock_timestamp() - interval '1 day'
""")
_ONE_OPENS: Final = text("select pg_advisory_xact_lock(3, hashtext(:subject))")
_USED: Final = text("update reporting.api_key set last_used_at = clock_timestamp() where key_id = :key_id")


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as lists show it: not the key itself, which nobody has any more."""

    key_id: int
    name: str
    role: Role
    scope: str | None
    made_by: str
    made_at: datetime
    ends_at: datetime
    revoked_at: datetime | None
    last_used_at: datetime | None


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key when it is made, the one time that it is shown."""

    key_id: int
    key: str
    ends_at: datetime


async def add_key(engine: AsyncEngine, maker: Viewer, name: str, role: Role, scope: str | None, days: int) -> NewKey:
    """Make a key, or a link for role worker; raises Refused where the maker may not, or it is not of the form.

    An enterprise makes keys of its own scope, and links to its own orders of a worker.
    """
    check_scope(role, scope)
    most = LONGEST_LINK_DAYS if role is Role.WORKER else LONGEST_DAYS
    if not 0 < len(name) <= 100 or not name.isprintable() or not 1 <= days <= most:
        raise Refused(f"a key has a name of up to 100 characters, and 1 to {most} days")
    if not _may_make(maker, role, scope):
        raise Refused(f"{maker.name} makes no key of role {role} and scope {scope}")
    key = PREFIX + secrets.token_urlsafe(32)
    row = {"digest": sha256_hex(key), "name": name, "role": role, "scope": scope, "made_by": maker.name, "days": days}
    async with engine.begin() as connection:
        key_id, ends_at = (await connection.execute(_ADD, row)).one()
        await note(connection, "key_added", str(key_id), actor=maker.name)
    return NewKey(key_id, key, ends_at)


async def add_link(engine: AsyncEngine, maker: Viewer, worker: str, enterprise: str | None, days: int) -> NewKey:
    """A link to a worker's receipts: of the maker's own orders, else of one enterprise's, else of all."""
    own = maker.scope or enterprise
    return await add_key(engine, maker, "link", Role.WORKER, f"{worker}:{own}" if own else worker, days)


def address_of_link(place: str, link: NewKey) -> str:
    """Where a worker opens it; `place` is any address of the portal."""
    return urljoin(place, f"/w/{link.key}")


def _may_make(maker: Viewer, role: Role, scope: str | None) -> bool:
    match maker.role:
        case Role.OPERATOR:
            return True
        case Role.ENTERPRISE if role is Role.ENTERPRISE:
            return scope == maker.scope
        case Role.ENTERPRISE if role is Role.WORKER:
            return scope is not None and scope.endswith(f":{maker.scope}")
        case _:
            return False


async def list_keys(connection: AsyncConnection, viewer: Viewer) -> list[ApiKey]:
    """The keys of the viewer's own scope, all for an operator; links are not among them."""
    rows = await connection.execute(_LIST, _own(viewer))
    return [ApiKey(**dict(row) | {"role": Role(row["role"])}) for row in rows.mappings()]


async def revoke_key(engine: AsyncEngine, viewer: Viewer, key_id: int) -> None:
    """End a key at once; a second time changes nothing. Raises Refused where it is not the viewer's."""
    async with engine.begin() as connection:
        if await connection.scalar(_REVOKE, _own(viewer) | {"key_id": key_id}) is None:
            raise Refused(f"there is no key {key_id}")
        await note(connection, "key_revoked", str(key_id), actor=viewer.name)


def _own(viewer: Viewer) -> dict[str, str | None]:
    """An operator's scope is null, which means all; nobody else without a scope asks."""
    assert viewer.role is Role.OPERATOR or viewer.scope is not None
    return {"role": viewer.role, "scope": viewer.scope}


async def find_key(engine: AsyncEngine, key: str) -> Viewer | None:
    """Whose key this is; None where it has ended or never was."""
    found = await _find(engine, key, is_link=False)
    return None if found is None else found[1]


async def find_link(engine: AsyncEngine, link: str) -> int | None:
    """The number of a worker's link that has not ended."""
    found = await _find(engine, link, is_link=True)
    return None if found is None else found[0]


class LinkUsedUp(Refused):
    """A link was opened too often."""


async def note_opening(engine: AsyncEngine, key_id: int) -> None:
    """Write down that a link is opened; raises LinkUsedUp where that was OPENINGS_A_DAY times within a day."""
    subject = str(key_id)
    async with engine.begin() as connection:
        await connection.execute(_ONE_OPENS, {"subject": subject})
        if await connection.scalar(_OPENINGS, {"subject": subject}) >= OPENINGS_A_DAY:
            raise LinkUsedUp(f"this link was opened {OPENINGS_A_DAY} times within a day: wait, or ask for a new one")
        await note(connection, "link_opened", subject)


async def _find(engine: AsyncEngine, key: str, *, is_link: bool) -> tuple[int, Viewer] | None:
    async with engine.begin() as connection:
        wish = {"digest": sha256_hex(key), "used": USED_SECONDS, "is_link": is_link}
        found = (await connection.execute(_FIND, wish)).one_or_none()
        if found is None:
            return None
        key_id, name, role, scope, is_long_ago = found
        if is_long_ago:
            await connection.execute(_USED, {"key_id": key_id})
    return key_id, Viewer(f"key {key_id} {name}", Role(role), scope)
