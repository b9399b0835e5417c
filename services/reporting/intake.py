"""Taking in what is told: closed days, statements, injury notices, others' totals; each kept once, as it came."""

import hashlib
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
import structlog
from sqlalchemy import Table, select
from sqlalchemy.dialects.postgresql import insert as insert_once
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.reporting.discrepancies import Discrepancy, record
from services.reporting.read_model.arrivals import take_manifest
from services.reporting.read_model.tables import REMITTANCE
from services.reporting.tables import DAY_CLOSED, INJURY_NOTICE, REPORTED_TOTAL, STATEMENT_ISSUED, UNREADABLE
from shared.adapters.kafka.clients import Told
from shared.contracts.findings import FindingKind
from shared.contracts.manifests import DayClosed, RemittanceReceived, StatementIssued
from shared.contracts.notices import InjuryNoticed, TotalReported
from shared.contracts.topics import DAYS_CLOSED, INJURIES, STATEMENTS, TOTALS
from shared.domain.calendar import insured_day
from shared.domain.errors import Refused
from shared.domain.identity import reads_as_identity
from shared.domain.money import parse_yuan

log = structlog.get_logger(__name__)
Message = TypeVar("Message", DayClosed, StatementIssued, InjuryNoticed, TotalReported)


class Intake:
    """Handlers of the topics. A message that cannot be read is kept too, and nothing waits for it."""

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

    async def take_injury(self, body: bytes) -> None:
        """Keep an injury notice; it is matched with orders by a later step."""
        told = await self._decode(INJURIES, body, InjuryNoticed)
        if told is None or await self._names_a_person(INJURIES, body, notice_id=told.notice_id):
            return
        try:
            more = {"injured_on": insured_day(told.injured_at)}
        except OverflowError as error:  # an instant at the end of the calendar has no day in Shanghai
            await self._keep_unreadable(INJURIES, body, str(error))
        else:
            await self._keep(INJURY_NOTICE, body, {"notice_id": told.notice_id}, more)

    async def take_total(self, body: bytes) -> None:
        """Keep somebody else's count of an enterprise's day."""
        told = await self._decode(TOTALS, body, TotalReported)
        if told is not None and not await self._names_a_person(TOTALS, body, source=told.source):
            key = {"source": told.source, "enterprise": told.enterprise, "day": told.day}
            await self._keep(REPORTED_TOTAL, body, key, {"count": told.count})

    async def take_remittance(self, body: bytes) -> None:
        """Keep money that arrived, for the pages. What the ledger keeps aside it names; here it is left out."""
        try:
            told = msgspec.json.decode(body, type=RemittanceReceived)
            amount = parse_yuan(told.amount_yuan)
        except (msgspec.MsgspecError, UnicodeDecodeError, Refused) as error:
            log.warning("a remittance that cannot be read is not shown", error=str(error))
            return
        if amount <= 0 or reads_as_identity(told.remittance_id):
            return
        row = {
            "remittance_id": told.remittance_id,
            "province": told.province,
            "enterprise": told.enterprise,
            "amount": amount,
            "received_on": told.received_on,
        }
        async with self._engine.begin() as connection:
            await connection.execute(insert_once(REMITTANCE).values(row).on_conflict_do_nothing())

    async def take_manifest(self, told: Told) -> None:
        """Count what arrived with a batch."""
        await take_manifest(self._engine, told.body, told.recorded_at)

    async def _decode(self, topic: str, body: bytes, message: type[Message]) -> Message | None:
        try:
            return msgspec.json.decode(body, type=message)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            await self._keep_unreadable(topic, body, str(error))
            return None

    async def _names_a_person(self, topic: str, body: bytes, **texts: str) -> bool:
        """Keep a message aside whose id reads as an identity; the id is not repeated, for findings are read by many."""
        for name, text in texts.items():
            if reads_as_identity(text):
                error = f"identity_in_clear: {name} reads as a citizen's number or a mobile number; send another"
                await self._keep_unreadable(topic, body, error)
                return True
        return False

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
        told = " ".join(map(str, key.values()))
        detail = f"{table.name} {told}: held as {held or 'another statement of this month'}, told again as {digest}"
        log.error("told again with other content", detail=detail)
        day, enterprise = key.get("day"), key.get("enterprise")
        found = Discrepancy(kind=FindingKind.DIFFERENT_CONTENT, detail=detail, day=day, enterprise=enterprise)
        await record(connection, found)

    async def _keep_unreadable(self, topic: str, body: bytes, error: str) -> None:
        digest = hashlib.sha256(body).hexdigest()
        log.error("unreadable message", topic=topic, error=error, body_sha256=digest)
        async with self._engine.begin() as connection:
            row = {"body_sha256": digest, "topic": topic, "body": body, "error": error}
            await connection.execute(insert_once(UNREADABLE).values(row).on_conflict_do_nothing())
            detail = f"{topic}: {error}; bytes kept under SHA-256 {digest}"
            await record(connection, Discrepancy(kind=FindingKind.UNREADABLE_MESSAGE, detail=detail))
