"""Accounts of people (账户): made and ended by an operator; and how often one may try to sign in."""

import hashlib
import hmac
import ipaddress
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.reporting.access.passwords import Passwords
from services.reporting.access.viewers import Role, check_scope
from services.reporting.kept_keys import read_day_key
from shared.domain.errors import Refused
from shared.domain.identity import reads_as_identity

ATTEMPT_MINUTES: Final = 15
ATTEMPTS_OF_ACCOUNT: Final = 10
"""So many failed attempts in ATTEMPT_MINUTES, and nobody signs in to the account until the oldest is older: nobody but
from an address that its owner has used, which is counted by itself: else a stranger could keep the owner out."""
KNOWN_DAYS: Final = 90
"""An address has been used by an account's owner when somebody signed in from there within so many days."""
ATTEMPTS_FROM_ADDRESS: Final = 30
"""The same for all that comes from one address (one /64 network of IPv6), whichever accounts are named."""

What = Literal[
    "attempted", "signed_in", "signed_out", "account_added", "account_disabled", "password_changed", "key_added",
    "key_revoked", "link_opened",
]  # fmt: skip
NAME: Final = re.compile(r"^[a-z0-9][a-z0-9._@-]{0,63}$")
_ADD: Final = text(
    "insert into reporting.account (name, role, scope, password_hash) values (:name, :role, :scope, :hash)"
    " on conflict do nothing returning 1"
)
_LIST: Final = text("""
select name, role, scope, is_disabled, made_at,
    (select max(noted_at) from reporting.access_note n where n.subject = a.name and n.what = 'signed_in')
        as last_sign_in_at
from reporting.account a order by name
""")
_CHANGE: Final = text("""
update reporting.account set password_hash = coalesce(:hash, password_hash), is_disabled = is_disabled or :disable
where name = :name returning 1
""")
_END_SESSIONS: Final = text("delete from reporting.session where account = :name")
_NOTE: Final = text(
    "insert into reporting.access_note (what, subject, address, actor) values (:what, :subject, :address, :actor)"
)
_FAILED: Final = """
select coalesce(sum(case what when 'attempted' then 1 when 'signed_in' then -1 else 0 end), 0) as failed
from reporting.access_note where noted_at > clock_timestamp() - make_interval(mins => :minutes) and
"""
_FAILED_OF: Final = text(_FAILED + "subject = :value and (address = :network or not :is_known)")
_FAILED_FROM: Final = text(_FAILED + "address = :value")
_IS_KNOWN: Final = text("""
select exists (select from reporting.access_note where subject = :name and address = :network and what = 'signed_in'
               and noted_at > clock_timestamp() - make_interval(days => :days))
""")
_ONE_AT_A_TIME: Final = text(
    "select pg_advisory_xact_lock(1, hashtext(:name)), pg_advisory_xact_lock(2, hashtext(:network))"
)
_IS_ACCOUNT: Final = text("select exists (select from reporting.account where name = :name)")
UNKNOWN: Final = "unknown:"
"""Begins the subject of an attempt with a name that no account has."""
_HASH: Final = text("select password_hash from reporting.account where name = :name and not is_disabled")


@dataclass(frozen=True, slots=True)
class Account:
    """An account as lists show it."""

    name: str
    role: Role
    scope: str | None
    is_disabled: bool
    made_at: datetime
    last_sign_in_at: datetime | None


class Throttled(Refused):
    """Too many failed attempts: not even looked at."""


async def add_account(
    engine: AsyncEngine, passwords: Passwords, name: str, role: Role, scope: str | None, password: str, actor: str
) -> None:
    """Make an account; raises Refused where its name is taken, or name and scope are not of the form."""
    if not NAME.fullmatch(name) or role is Role.WORKER:
        raise Refused("a name has up to 64 small letters, digits and . _ @ -; workers have links, not accounts")
    if reads_as_identity(name):
        raise Refused("a name that reads as a citizen's number or a mobile number is shown to many: take another")
    check_scope(role, scope)
    row = {"name": name, "role": role, "scope": scope, "hash": await passwords.hash(password)}
    async with engine.begin() as connection:
        if await connection.scalar(_ADD, row) is None:
            raise Refused(f"there is an account {name!r}")
        await note(connection, "account_added", name, actor=actor)


async def list_accounts(connection: AsyncConnection) -> list[Account]:
    """All, by name."""
    rows = (await connection.execute(_LIST)).mappings()
    return [Account(**dict(row) | {"role": Role(row["role"])}) for row in rows]


async def disable_account(engine: AsyncEngine, name: str, actor: str) -> None:
    """End an account and its sessions, for good; raises Refused where there is none."""
    await _change(engine, name, None, "account_disabled", actor)


async def change_password(engine: AsyncEngine, passwords: Passwords, name: str, password: str, actor: str) -> None:
    """Give an account another password and end its sessions; raises Refused where there is none."""
    await _change(engine, name, await passwords.hash(password), "password_changed", actor)


async def _change(engine: AsyncEngine, name: str, new_hash: str | None, what: What, actor: str) -> None:
    async with engine.begin() as connection:
        row = {"name": name, "hash": new_hash, "disable": what == "account_disabled"}
        if await connection.scalar(_CHANGE, row) is None:
            raise Refused(f"there is no account {name!r}")
        await connection.execute(_END_SESSIONS, {"name": name})
        await note(connection, what, name, actor=actor)


async def check_password(engine: AsyncEngine, passwords: Passwords, name: str, password: str, address: str) -> bool:
    """Whether this is the password of an account that is not disabled; raises Throttled.

    The attempt is written before the password is looked at, so that many at once are counted as many; what is throttled
    writes nothing, so that nobody fills the table.
    """
    name, network = name[:64], _network(address)
    async with engine.begin() as connection:
        await connection.execute(_ONE_AT_A_TIME, {"name": name, "network": network})
        subject = await _subject_of(connection, name)
        await _check_throttle(connection, subject, network)
        await note(connection, "attempted", subject, address=network)
        kept = await connection.scalar(_HASH, {"name": name})
    if not await passwords.is_right(kept, password):
        return False
    async with engine.begin() as connection:
        await note(connection, "signed_in", name, address=network)
    return True


async def _subject_of(connection: AsyncConnection, name: str) -> str:
    """The name, where there is such an account. Anything else may be what somebody typed by mistake, a password or an
    identity number: it is told apart by its HMAC under a key of the day, which is destroyed after a time."""
    key = await read_day_key(connection)
    masked = UNKNOWN + hmac.new(key.key, name.encode(), hashlib.sha256).hexdigest()[:32]
    return name if await connection.scalar(_IS_ACCOUNT, {"name": name}) else masked


async def _check_throttle(connection: AsyncConnection, name: str, network: str) -> None:
    is_known = await connection.scalar(_IS_KNOWN, {"name": name, "network": network, "days": KNOWN_DAYS})
    since = {"minutes": ATTEMPT_MINUTES}
    of_account = await connection.scalar(_FAILED_OF, since | {"value": name, "network": network, "is_known": is_known})
    if of_account >= ATTEMPTS_OF_ACCOUNT:
        raise Throttled("too many failed attempts to sign in to this account")
    if await connection.scalar(_FAILED_FROM, since | {"value": network}) >= ATTEMPTS_FROM_ADDRESS:
        raise Throttled("too many failed attempts to sign in from this address")


async def note(
    connection: AsyncConnection, what: What, subject: str, *, address: str | None = None, actor: str | None = None
) -> None:
    """Write down what happened."""
    await connection.execute(_NOTE, {"what": what, "subject": subject, "address": address, "actor": actor})


def _network(address: str) -> str:
    """An address as attempts are counted: IPv6 by its /64, which one machine may use up."""
    try:
        known = ipaddress.ip_address(address)
    except ValueError:
        return address[:64]
    return str(ipaddress.ip_network(f"{known}/64", strict=False)) if known.version == 6 else str(known)
