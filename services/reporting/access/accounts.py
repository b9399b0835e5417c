"""Manage accounts of people (账户), which an operator makes and ends, and limit attempts to sign in."""

import hashlib
import hmac
import re
from dataclasses import dataclass
from datetime import datetime
from math import ceil
from typing import Final, Literal

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.reporting.access.passwords import Passwords
from services.reporting.access.viewers import Role, Viewer, act, check_scope
from shared.adapters.postgres.sealing.day_key import read_day_key
from shared.domain.errors import Refused
from shared.domain.privacy.identity import reads_as_identity
from shared.runtime.http.client_address import network_of

ATTEMPT_MINUTES: Final = 15
"""Failed attempts older than this count no more."""
KNOWN_DAYS: Final = 90
"""An address is known to an account when somebody signed in to it from there within so many days."""


@dataclass(frozen=True, slots=True)
class Patience:
    """So many failed attempts are `free`; each one more doubles the seconds to wait after it, up to `longest`."""

    free: int
    longest: int

    def seconds(self, failed: int) -> int:
        """Seconds for which attempts are refused unread after so many failures."""
        return 0 if failed < self.free else min(2 ** min(failed - self.free, 20), self.longest)


OF_PAIR: Final = Patience(free=4, longest=15 * 60)
"""Attempts at one account from one address (one /64 network of IPv6), since it was last signed in to from there."""
OF_ACCOUNT: Final = Patience(free=10, longest=15 * 60)
"""Attempts at one account from all addresses that are not known to it. Nobody at a known address waits for them."""
OF_ADDRESS: Final = Patience(free=100, longest=4)
"""Attempts from one address at accounts that do not know it. A few seconds, and no more: others are behind it, too."""

What = Literal["attempted", "signed_in", "password_changed", "link_opened"]
"""Events that the service logs itself; the database's functions log the making and ending of accounts and keys."""
NAME: Final = re.compile(r"^[a-z0-9][a-z0-9._@-]{0,63}$")
_ADD: Final = text("select reporting.add_account(:credential, :name, :role, :scope, :hash)")
_LIST: Final = text("select * from reporting.list_accounts(:credential)")
_CHANGE: Final = text("select reporting.change_account(:credential, :name, :hash)")
_NOTE: Final = text(
    "insert into reporting.access_note (what, subject, address, actor) values (:what, :subject, :address, :actor)"
)
_ATTEMPTS: Final = text("""
with lately as (
    select what, subject, address, noted_at from reporting.access_note
    where noted_at > clock_timestamp() - make_interval(mins => :minutes)
        and what in ('attempted', 'signed_in', 'password_changed')
        and (subject = :name or address = :network)
), known as (
    select distinct address from reporting.access_note where subject = :name and what = 'signed_in'
        and noted_at > clock_timestamp() - make_interval(days => :days)
), entered as (
    select max(noted_at) as last_at from lately
    where subject = :name and address = :network and what in ('signed_in', 'password_changed')
), counted as (
    select 'pair' as kind, noted_at from lately, entered where what = 'attempted' and subject = :name
        and address = :network and noted_at > coalesce(last_at, '-infinity')
    union all
    select 'account', noted_at from lately where what = 'attempted' and subject = :name
        and :network not in (select address from known) and address not in (select address from known)
    union all
    select 'address', noted_at from lately where what = 'attempted' and address = :network
        and :network not in (select address from known)
)
select kind, count(*) as failed, extract(epoch from clock_timestamp() - max(noted_at)) as seconds_ago
from counted group by kind
""")
_PATIENCE: Final = {"pair": OF_PAIR, "account": OF_ACCOUNT, "address": OF_ADDRESS}
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
    must_change: bool
    made_at: datetime
    last_sign_in_at: datetime | None


class Throttled(Refused):
    """Too many failed attempts: refused unread for so many more seconds."""

    def __init__(self, seconds: int) -> None:
        super().__init__(f"too many failed attempts: try again in {seconds} s")
        self.seconds = seconds


async def add_account(
    engine: AsyncEngine, passwords: Passwords, name: str, role: Role, scope: str | None, password: str, actor: Viewer
) -> None:
    """Make an account; raises Refused where its name is taken, or name and scope are not of the form."""
    if not NAME.fullmatch(name) or role is Role.WORKER:
        raise Refused("a name has up to 64 small letters, digits and . _ @ -; workers have links, not accounts")
    if reads_as_identity(name):
        raise Refused("a name that reads as a citizen's number or a mobile number is shown to many: take another")
    check_scope(role, scope)
    row = {"name": name, "role": role, "scope": scope, "hash": await passwords.hash(password, name)}
    async with engine.begin() as connection:
        if not (await act(connection, actor, _ADD, **row)).scalar_one():
            raise Refused(f"there is an account {name!r}")


async def list_accounts(connection: AsyncConnection, actor: Viewer) -> list[Account]:
    """All, by name."""
    rows = (await act(connection, actor, _LIST)).mappings()
    return [Account(**dict(row) | {"role": Role(row["role"])}) for row in rows]


async def disable_account(engine: AsyncEngine, name: str, actor: Viewer) -> None:
    """End an account and its sessions, for good; raises Refused where there is none."""
    await _change(engine, name, None, actor)


async def change_password(engine: AsyncEngine, passwords: Passwords, name: str, password: str, actor: Viewer) -> None:
    """Give an account another password, which it must change, and end its sessions; raises Refused where there is none.

    Whether it is one of the last is not said: an operator could try out what somebody's password was.
    """
    await _change(engine, name, await passwords.hash(password, name), actor)


async def _change(engine: AsyncEngine, name: str, new_hash: str | None, actor: Viewer) -> None:
    async with engine.begin() as connection:
        if not (await act(connection, actor, _CHANGE, name=name, hash=new_hash)).scalar_one():
            raise Refused(f"there is no account {name!r}")


async def check_password(engine: AsyncEngine, passwords: Passwords, name: str, password: str, address: str) -> bool:
    """Check the password of an account that is not disabled and log the sign-in; raises Throttled."""
    if not await is_password_of(engine, passwords, name, password, address):
        return False
    async with engine.begin() as connection:
        await note(connection, "signed_in", name[:64], address=network_of(address))
    return True


async def is_password_of(engine: AsyncEngine, passwords: Passwords, name: str, password: str, address: str) -> bool:
    """Whether this is the password of an account that is not disabled; raises Throttled.

    The attempt is written before the password is checked, so that many at once are counted as many; what is throttled
    writes nothing, so that nobody fills the table.
    """
    name, network = name[:64], network_of(address)
    async with engine.begin() as connection:
        await connection.execute(_ONE_AT_A_TIME, {"name": name, "network": network})
        subject = await _subject_of(connection, name)
        await _check_throttle(connection, subject, network)
        await note(connection, "attempted", subject, address=network)
        kept = await connection.scalar(_HASH, {"name": name})
    return await passwords.is_right(kept, password, network)


async def _subject_of(connection: AsyncConnection, name: str) -> str:
    """The name, where there is such an account. Anything else may be what somebody typed by mistake, a password or an
    identity number: it is identified by its HMAC under a key of the day, which is destroyed after a time."""
    key = await read_day_key(connection, "reporting")
    masked = UNKNOWN + hmac.new(key.key, name.encode(), hashlib.sha256).hexdigest()[:32]
    return name if await connection.scalar(_IS_ACCOUNT, {"name": name}) else masked


async def _check_throttle(connection: AsyncConnection, name: str, network: str) -> None:
    wish = {"name": name, "network": network, "minutes": ATTEMPT_MINUTES, "days": KNOWN_DAYS}
    waits = [
        _PATIENCE[kind].seconds(failed) - float(seconds_ago)
        for kind, failed, seconds_ago in await connection.execute(_ATTEMPTS, wish)
    ]
    if (longest := max(waits, default=0.0)) > 0:
        raise Throttled(ceil(longest))


async def note(
    connection: AsyncConnection, what: What, subject: str, *, address: str | None = None, actor: str | None = None
) -> None:
    """Write down what happened."""
    await connection.execute(_NOTE, {"what": what, "subject": subject, "address": address, "actor": actor})
