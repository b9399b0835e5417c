"""SQLAlchemy's way to PostgreSQL, apart from `postgres`: to import it takes 0.2 s and 19 MB."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import stamina
from sqlalchemy import event
from sqlalchemy.engine import ExceptionContext, make_url
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool

from shared.adapters.postgres.pool import (
    AWAY,
    CONNECT_SECONDS,
    PATIENT,
    BadData,
    Connection,
    Waits,
    is_not_yet,
    plain_url,
)
from shared.domain.errors import RefusedValue, Retry

LOOP_WAIT_SECONDS = 30.0
"""How long a background loop waits for a connection before its step fails and is tried again."""


@asynccontextmanager
async def open_engine(
    url: str, *, size: int = 4, waits: Waits = PATIENT, wait_seconds: float | None = None
) -> AsyncIterator[AsyncEngine]:
    """A SQLAlchemy engine over asyncpg; waits CONNECT_SECONDS for a server that is starting.

    With `wait_seconds` it is for requests: one that waits longer for a connection, or that finds the database away,
    gets Retry (answered 503); a value that no column takes is RefusedValue (422).
    """

    async def connect(*_: Any, **__: Any) -> Connection:
        # asyncpg reads the URL here as for a pool, and as libpq does: sslmode, sslrootcert and their like are in it.
        return await waits.connect(plain_url(url), **waits.options)

    engine = create_async_engine(
        make_url(url).set(drivername="postgresql+asyncpg"),
        poolclass=AsyncAdaptedQueuePool if wait_seconds is None else DoorQueue,
        pool_size=size,
        pool_timeout=LOOP_WAIT_SECONDS if wait_seconds is None else wait_seconds,
        max_overflow=0,
        pool_pre_ping=True,
        hide_parameters=True,  # an error's text goes to the log, and parameters are tokens and names
        connect_args={"async_creator_fn": connect},
    )
    if wait_seconds is not None:
        event.listen(engine.sync_engine, "handle_error", _translate)
    async for attempt in stamina.retry_context(on=is_not_yet, attempts=None, timeout=CONNECT_SECONDS, wait_max=1.0):
        with attempt:
            async with engine.connect():
                pass
    try:
        yield engine
    finally:
        await engine.dispose()


class DoorQueue(AsyncAdaptedQueuePool):
    """A pool for requests: raises Retry where no connection is free in time."""

    def connect(self) -> Any:
        """Connect as SQLAlchemy does."""
        try:
            return super().connect()
        except PoolTimeoutError as error:
            raise Retry("the database is busy: try again later") from error
        except AWAY as error:
            raise Retry("the database is away: try again later") from error


def _translate(context: ExceptionContext) -> BaseException | None:
    """The error that the handlers of requests know; None leaves it as it is."""
    if context.is_pre_ping:
        return None  # the pool then opens another connection
    cause = getattr(context.original_exception, "__cause__", None) or context.original_exception
    if isinstance(cause, BadData):
        return RefusedValue("a value is out of range")
    if isinstance(cause, AWAY) or context.is_disconnect:
        return Retry("the database is away: try again later")
    return None
