"""Taking in what the ledger tells: closed days and issued statements, each kept once, as it came."""

import hashlib
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
import structlog
from sqlalchemy import Table, select
from sqlalchemy.dialects.postgresql import insert as insert_once
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.reporting.discrepancies import Discrepancy, Kind, record
from services.reporting.tables import DAY_CLOSED, STATEMENT_ISSUED, UNREADABLE
from shared.contracts.manifests import DayClosed, StatementIssued
from shared.contracts.topics import DAYS_CLOSED, STATEMENTS

log = structlog.get_logger(__name__)
Message = TypeVar("Message", DayClosed, StatementIssued)


class Intake:
    """Handlers of the two topics. A message that cannot be read is kept too, and nothing waits for it."""

    def __init__(self, engine: AsyncEngine, wake: Callable[[], None]) -> None:
        self._engine, self._wake = engine, wake

    async def take_day_closed(self, body: bytes) -> None:
        """Keep a closed day; the same day with other content is a discrepancy, and the first stands."""
        told = await self._decode(DAYS_CLOSED, body, DayClosed)
        if told is not None:
            await self._keep(DAY_CLOSED, body, {"day": told.day}, {"as_of": told.as_of})

    async def take_statement(self, body: bytes) -> None:
        """Keep an issued statement; the same id with other content is a discrepancy, and the first stands."""
        told = await self._decode(STATEMENTS, body, StatementIssued)
        if told is not None:
            share = {"period": told.period, "province": told.province, "enterprise": told.enterprise}
            await self._keep(STATEMENT_ISSUED, body, {"statement_id": told.statement_id}, share)

    async def _decode(self, topic: str, body: bytes, message: type[Message]) -> Message | None:
        try:
            return msgspec.json.decode(body, type=message)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            await self._keep_unreadable(topic, body, str(error))
            return None

    async def _keep(self, table: Table, body: bytes, key: dict[str, Any], more: dict[str, Any]) -> None:
        digest = hashlib.sha256(body).hexdigest()
        async with self._engine.begin() as connection:
            row = key | more | {"body": body, "body_sha256": digest}
            await connection.execute(insert_once(table).values(row).on_conflict_do_nothing())
            query = select(table.c.body_sha256).filter_by(**key)
            held = await connection.scalar(query)
            if held != digest:
                await self._keep_contradiction(connection, table, key, held, digest)
        self._wake()

    async def _keep_contradiction(
        self, connection: AsyncConnection, table: Table, key: dict[str, Any], held: str | None, digest: str
    ) -> None:
        told = next(iter(key.values()))
        detail = f"{table.name} {told}: held as {held or 'another statement of this month'}, told again as {digest}"
        log.error("told again with other content", detail=detail)
        await record(connection, Discrepancy(kind=Kind.DIFFERENT_CONTENT, detail=detail, day=key.get("day")))

    async def _keep_unreadable(self, topic: str, body: bytes, error: str) -> None:
        digest = hashlib.sha256(body).hexdigest()
        log.error("unreadable message", topic=topic, error=error, body_sha256=digest)
        async with self._engine.begin() as connection:
            row = {"body_sha256": digest, "topic": topic, "body": body, "error": error}
            await connection.execute(insert_once(UNREADABLE).values(row).on_conflict_do_nothing())
            detail = f"{topic}: {error}; bytes kept under SHA-256 {digest}"
            await record(connection, Discrepancy(kind=Kind.UNREADABLE_MESSAGE, detail=detail))
