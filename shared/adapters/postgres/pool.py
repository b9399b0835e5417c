"""The one room that knows asyncpg; SQLAlchemy's way to it is in `engines`, which only those import who need it.

URLs are `postgresql://role:password@host:port/database`, with any driver.
"""

import re
import socket
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import quote, unquote

import asyncpg
import stamina

from shared.domain.errors import Refused
from shared.runtime.settings import Settings

Connection = asyncpg.Connection
Pool = asyncpg.Pool
Row = asyncpg.Record
Record = asyncpg.Record
UniqueViolation = asyncpg.UniqueViolationError
BadData = asyncpg.DataError
BrokenConstraint = asyncpg.IntegrityConstraintViolationError
AWAY: Final = (
    ConnectionError, asyncpg.PostgresConnectionError, asyncpg.CannotConnectNowError, asyncpg.TooManyConnectionsError,
)  # fmt: skip
"""What a connection raises when the database is away or full."""
CONNECT_SECONDS: Final = 30.0
"""How long a starting service waits for PostgreSQL before it gives up and says so."""


def is_not_yet(error: Exception) -> bool:
    """Whether a server that is starting answers so; one whose certificate is refused is another server."""
    starting = (OSError, asyncpg.CannotConnectNowError, asyncpg.TooManyConnectionsError)
    return isinstance(error, starting) and not isinstance(error, ssl.SSLError)


_PROBES: Final = 3
# As SQLAlchemy reads it, so that one URL means the same to both: a password may hold what others want written as %2F.
_URL: Final = re.compile(r"[\w+]+://(?:([^:/]*)(?::([^@]*))?@)?([^/?]*)(/[^?]*)?(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Waits:
    """Timeouts for a silent database: nothing reports that the other machine, or the way to it, is gone.

    After `silence_seconds` without a sign of life the kernel gives the connection up, on either side. A statement that
    takes `answer_seconds` is cancelled, and its connection is closed when even that is not answered: something on the
    way may give signs of life and forward nothing. The server ends a transaction in which it hears nothing for
    as long, so that what it had locked is free again.
    """

    answer_seconds: float
    silence_seconds: int

    @classmethod
    def of(cls, settings: Settings) -> "Waits":
        """For statements that touch a batch."""
        return cls(settings.database_answer_seconds, settings.database_silence_seconds)

    @classmethod
    def long(cls, settings: Settings) -> "Waits":
        """For statements that read a whole day or month."""
        return cls(settings.database_long_answer_seconds, settings.database_silence_seconds)

    @property
    def options(self) -> dict[str, Any]:
        """Options that a connection is opened with."""
        probe = max(1, self.silence_seconds // (_PROBES + 1))
        server = {
            "timezone": "UTC",
            "tcp_keepalives_idle": str(probe),
            "tcp_keepalives_interval": str(probe),
            "tcp_keepalives_count": str(_PROBES),
            "tcp_user_timeout": str(self.silence_seconds * 1000),
            "idle_in_transaction_session_timeout": str(round(self.answer_seconds * 1000)),
        }
        return {"command_timeout": self.answer_seconds, "timeout": self.silence_seconds, "server_settings": server}

    async def connect(self, *where: Any, **options: Any) -> Connection:
        """An asyncpg connection with TCP keepalive on its socket; asyncpg has no option for that."""
        connection: Connection = await asyncpg.connect(*where, **options)
        transport: Any = connection._transport
        _keep_alive(transport.get_extra_info("socket"), self.silence_seconds)
        return connection


PATIENT: Final = Waits(answer_seconds=3600.0, silence_seconds=30)
"""For an operator's own work: migrations, the audit."""


def _keep_alive(sock: socket.socket, silence_seconds: int) -> None:
    """Probes while nothing is on the way, a limit for what is; the names differ by operating system."""
    probe = max(1, silence_seconds // (_PROBES + 1))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    wanted = {
        "TCP_KEEPIDLE": probe,
        "TCP_KEEPALIVE": probe,
        "TCP_KEEPINTVL": probe,
        "TCP_KEEPCNT": _PROBES,
        "TCP_USER_TIMEOUT": silence_seconds * 1000,
    }
    for name, value in wanted.items():
        if hasattr(socket, name):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def with_login(url: str, role: str, password: str, database: str | None = None) -> str:
    """The URL of that server with another role (and database)."""
    _, _, server, own, rest = _parts(url)
    return f"postgresql://{quote(role, '')}:{quote(password, '')}@{server}{f'/{database}' if database else own}{rest}"


def plain_url(url: str) -> str:
    """The URL without a driver's name, with a login that every URL parser reads alike."""
    role, password, server, database, rest = _parts(url)
    login = ":".join(quote(unquote(part), "") for part in (role, password) if part is not None)
    return f"postgresql://{login}{'@' if login else ''}{server}{database}{rest}"


def _parts(url: str) -> tuple[str | None, str | None, str, str, str]:
    match = _URL.fullmatch(url)
    if match is None:
        raise Refused("a database is named by a URL: postgresql://role:password@host:port/database")
    role, password, server, database, rest = match.groups()
    return role, password, server, database or "", rest


async def _as_found(_: Connection) -> None:
    """Nothing to put in order."""


class DoorPool(asyncpg.Pool):
    """A pool for requests: one that waits too long for a connection gets TimeoutError, which is answered 503."""

    def __init__(self, url: str, *, wait_seconds: float, **options: Any) -> None:
        super().__init__(
            url,
            max_queries=50_000,
            max_inactive_connection_lifetime=300.0,
            loop=None,
            connection_class=asyncpg.Connection,
            record_class=asyncpg.Record,
            **options,
        )
        self._wait_seconds = wait_seconds

    def acquire(self, *, timeout: float | None = None) -> Any:
        """Acquire a connection as asyncpg does, with the time-out."""
        return super().acquire(timeout=self._wait_seconds if timeout is None else timeout)


@asynccontextmanager
async def open_pool(
    url: str,
    *,
    size: int = 4,
    waits: Waits = PATIENT,
    settings: Mapping[str, str] = MappingProxyType({}),
    skip_reset: bool = False,
    wait_seconds: float | None = None,
) -> AsyncIterator[Pool]:
    """A pool of raw asyncpg connections; waits CONNECT_SECONDS for a server that is starting.

    `settings` are the server's, for each connection. Who uses one sets nothing and locks nothing beyond a transaction
    where `skip_reset`: it then spares the statement with which asyncpg puts a connection back in order.
    With `wait_seconds` it is a DoorPool.
    """
    plain, options = plain_url(url), waits.options
    options["server_settings"] |= settings
    if skip_reset:
        options["reset"] = _as_found
    pool: Pool | None = None
    async for attempt in stamina.retry_context(on=is_not_yet, attempts=None, timeout=CONNECT_SECONDS, wait_max=1.0):
        with attempt:
            options |= {"connect": waits.connect, "min_size": 1, "max_size": size}
            if wait_seconds is None:
                pool = await asyncpg.create_pool(plain, **options)
            else:
                pool = await DoorPool(plain, wait_seconds=wait_seconds, **options)
    assert pool is not None
    try:
        yield pool
    finally:
        pool.terminate()
