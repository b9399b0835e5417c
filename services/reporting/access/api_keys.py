"""Manage API keys of programs (接口密钥) and links of workers: shown once, stored as hashes, with an end."""

import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.reporting.access.accounts import note
from services.reporting.access.viewers import Role, Viewer, act, check_scope
from shared.domain.errors import Refused
from shared.runtime.access import sha256_hex

PREFIX: Final = "danbao_"
"""Prefix of a key, so that scanners for leaked keys recognise one."""
KEY_DAYS: Final = 90
"""A key is valid for so long where nobody says how long; a link likewise."""
LINK_DAYS: Final = 7
LONGEST_DAYS: Final = 366
LONGEST_LINK_DAYS: Final = 31
OPENINGS_A_DAY: Final = 20
"""A link that was opened so often within a day opens no more until the first of them is older."""

_ADD: Final = text("select * from reporting.add_key(:credential, :digest, :name, :role, :scope, :days)")
_LIST: Final = text("select * from reporting.list_keys(:credential)")
_REVOKE: Final = text("select reporting.revoke_key(:credential, :key_id)")
_FIND: Final = text("select name, role, scope from reporting.find_key(:digest)")
_FIND_LINK: Final = text("""
with link as (
    select key_id, last_used_at from reporting.api_key
    where key_sha256 = :digest and revoked_at is null and ends_at > clock_timestamp() and role = 'worker'
), used as (
    update reporting.api_key k set last_used_at = clock_timestamp() from link
    where k.key_id = link.key_id and coalesce(link.last_used_at < clock_timestamp() - interval '1 minute', true)
)
select key_id from link
""")
_OPENINGS: Final = text("""
select count(*) from reporting.access_note where subject = :subject and what = 'link_opened'
    and noted_at > clock_timestamp() - interval '1 day'
""")
_ONE_OPENS: Final = text("select pg_advisory_xact_lock(3, hashtext(:subject))")


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

    An enterprise makes keys for its own scope only, and links to a worker's orders with it.
    """
    check_scope(role, scope)
    most = LONGEST_LINK_DAYS if role is Role.WORKER else LONGEST_DAYS
    if not 0 < len(name) <= 100 or not name.isprintable() or not 1 <= days <= most:
        raise Refused(f"a key has a name of up to 100 characters, and 1 to {most} days")
    key = PREFIX + secrets.token_urlsafe(32)
    row = {"digest": sha256_hex(key), "name": name, "role": role, "scope": scope, "days": days}
    async with engine.begin() as connection:
        made = (await act(connection, maker, _ADD, **row)).one_or_none()
    if made is None:
        raise Refused(f"{maker.name} makes no key of role {role} and scope {scope}")
    return NewKey(made.new_id, key, made.new_end)


async def add_link(engine: AsyncEngine, maker: Viewer, worker: str, enterprise: str | None, days: int) -> NewKey:
    """A link to a worker's receipts: of the maker's own orders, else of one enterprise's, else of all."""
    own = maker.scope or enterprise
    return await add_key(engine, maker, "link", Role.WORKER, f"{worker}:{own}" if own else worker, days)


def address_of_link(place: str, link: NewKey) -> str:
    """The address at which a worker opens a link; `place` is the address of the portal."""
    return f"{place.rstrip('/')}/w/{link.key}"


async def list_keys(connection: AsyncConnection, viewer: Viewer) -> list[ApiKey]:
    """The keys of the viewer's own scope, all for an operator; links are not among them."""
    rows = await act(connection, viewer, _LIST)
    return [ApiKey(**dict(row) | {"role": Role(row["role"])}) for row in rows.mappings()]


async def revoke_key(engine: AsyncEngine, viewer: Viewer, key_id: int) -> None:
    """End a key at once; a second time changes nothing. Raises Refused where it is not the viewer's."""
    async with engine.begin() as connection:
        if not (await act(connection, viewer, _REVOKE, key_id=key_id)).scalar_one():
            raise Refused(f"there is no key {key_id}")


async def find_key(engine: AsyncEngine, key: str) -> Viewer | None:
    """Whose key this is; None where it has ended or never was."""
    digest = sha256_hex(key)
    async with engine.begin() as connection:
        row = (await connection.execute(_FIND, {"digest": digest})).one_or_none()
    if row is None:
        return None
    name, role, scope = row
    return Viewer(name, Role(role), scope, credential=digest)


async def find_link(engine: AsyncEngine, link: str) -> int | None:
    """The number of a worker's link that has not ended."""
    async with engine.begin() as connection:
        number: int | None = await connection.scalar(_FIND_LINK, {"digest": sha256_hex(link)})
    return number


class LinkUsedUp(Refused):
    """A link was opened too often."""


async def note_opening(engine: AsyncEngine, key_id: int) -> None:
    """Write down that a link is opened; raises LinkUsedUp where that was OPENINGS_A_DAY times within a day."""
    subject = str(key_id)
    async with engine.begin() as connection:
        await connection.execute(_ONE_OPENS, {"subject": subject})
        if await connection.scalar(_OPENINGS, {"subject": subject}) >= OPENINGS_A_DAY:
            raise LinkUsedUp(f"this link was opened {OPENINGS_A_DAY} times within a day: wait, or request a new one")
        await note(connection, "link_opened", subject)
