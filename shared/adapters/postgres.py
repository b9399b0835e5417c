"""The one room that knows asyncpg and SQLAlchemy's way to it.

URLs are `postgresql://role:password@host:port/database`, whatever the driver.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import asyncpg
import stamina
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

Connection = asyncpg.Connection
Pool = asyncpg.Pool
UniqueViolation = asyncpg.UniqueViolationError
BadData = asyncpg.DataError
BrokenConstraint = asyncpg.IntegrityConstraintViolationError
CONNECT_SECONDS: Final = 30.0
"""How long a starting service waits for PostgreSQL before it gives up and says so."""

_NOT_YET = (OSError, asyncpg.CannotConnectNowError, asyncpg.TooManyConnectionsError)


def with_login(url: str, role: str, password: str, database: str | None = None) -> str:
    """The same server, another role (and database)."""
    changed = make_url(url).set(username=role, password=password)
    return (changed.set(database=database) if database else changed).render_as_string(hide_password=False)


@asynccontextmanager
async def open_pool(url: str, *, size: int = 4) -> AsyncIterator[Pool]:
    """A pool of raw asyncpg connections, for COPY; waits CONNECT_SECONDS for a server that is starting."""
    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    pool: Pool | None = None
    async for attempt in stamina.retry_context(on=_NOT_YET, attempts=None, timeout=CONNECT_SECONDS, wait_max=1.0):
        with attempt:
            pool = await asyncpg.create_pool(plain, min_size=1, max_size=size, server_settings={"timezone": "UTC"})
    assert pool is not None
    try:
        yield pool
    finally:
        pool.terminate()


@asynccontextmanager
async def open_engine(url: str, *, size: int = 4) -> AsyncIterator[AsyncEngine]:
    """A SQLAlchemy engine over asyncpg; waits CONNECT_SECONDS for a server that is starting."""
    engine = create_async_engine(
        make_url(url).set(drivername="postgresql+asyncpg"),
        pool_size=size,
        max_overflow=0,
        pool_pre_ping=True,
        connect_args={"server_settings": {"timezone": "UTC"}},
    )
    async for attempt in stamina.retry_context(on=_NOT_YET, attempts=None, timeout=CONNECT_SECONDS, wait_max=1.0):
        with attempt:
            async with engine.connect():
                pass
    try:
        yield engine
    finally:
        await engine.dispose()
