"""Take in messages: closed days, statements, injury notices, others' totals; each is stored once, as received.

A message with the content of the one that is held under its key is a repeat, in any spelling. Another content is a
finding, and the first one holds; a count of others is corrected by it instead.
"""

import hashlib
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import date, timedelta

import msgspec
import structlog
from msgspec import Struct
from sqlalchemy import Table, func, insert, select
from sqlalchemy.dialects.postgresql import insert as insert_once
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.reporting.read_model.arrivals import take_manifest
from services.reporting.read_model.read_model_tables import REMITTANCE
from services.reporting.register.discrepancies import Discrepancy, record
from services.reporting.tables import DAY_CLOSED, INJURY_NOTICE, REPORTED_TOTAL, STATEMENT_ISSUED
from shared.adapters.postgres.message_faults import detail_of, meaning_of
from shared.contracts.findings import FindingKind
from shared.contracts.manifests import DayClosed, RemittanceReceived, StatementIssued
from shared.contracts.notices import InjuryNoticed, TotalReported
from shared.contracts.quarantine import Message, Quarantined, QuarantineReason
from shared.contracts.topics import DAYS_CLOSED, INJURIES, MANIFESTS, REMITTANCES, STATEMENTS, TOTALS
from shared.domain.calendar import insured_day
from shared.domain.errors import Refused
from shared.domain.money import parse_yuan
from shared.intake.free_fields import find_identity
from shared.intake.message_content import content_hash
from shared.intake.time_bounds import SPAN, TimeBounds

log = structlog.get_logger(__name__)


class Intake:
    """Handlers of the topics. Each raises for a message that is not taken: who reads it quarantines it and goes on."""

    def __init__(self, engine: AsyncEngine, wake: Callable[[], None], span: timedelta = SPAN) -> None:
        self._engine, self._wake, self._span = engine, wake, span
        self._handlers: dict[str, Callable[[bytes], Awaitable[None]]] = {
            DAYS_CLOSED: self.take_day_closed,
            STATEMENTS: self.take_statement,
            INJURIES: self.take_injury,
            REMITTANCES: self.take_remittance,
            TOTALS: self.take_total,
        }

    @property
    def topics(self) -> Iterable[str]:
        """The topics that reporting reads."""
        return (*self._handlers, MANIFESTS)

    async def take(self, message: Message) -> None:
        """Handle a message of any of the topics; one that is not taken is a finding of the register, too."""
        try:
            if message.topic == MANIFESTS:
                await take_manifest(self._engine, message.body, message.recorded_at)
            else:
                await self._handlers[message.topic](message.body)
        except Exception as error:
            reason = meaning_of(error)
            if isinstance(reason, QuarantineReason) and reason is not QuarantineReason.DIFFERENT_CONTENT:
                await self._note_unreadable(message, detail_of(error))
            raise

    async def take_day_closed(self, body: bytes) -> None:
        """Keep a closed day; a second message with other content is a discrepancy, and the first is kept."""
        closed = msgspec.json.decode(body, type=DayClosed)
        await self._keep(DAY_CLOSED, closed, body, {"day": closed.day}, {"as_of": closed.as_of})

    async def take_statement(self, body: bytes) -> None:
        """Keep an issued statement; a second message with other content is a discrepancy, and the first is kept."""
        statement = msgspec.json.decode(body, type=StatementIssued)
        share = {"period": statement.period, "province": statement.province, "enterprise": statement.enterprise}
        await self._keep(STATEMENT_ISSUED, statement, body, {"statement_id": statement.statement_id}, share)

    async def take_injury(self, body: bytes) -> None:
        """Keep an injury notice; it is matched with orders by a later step."""
        notice = msgspec.json.decode(body, type=InjuryNoticed)
        _refuse_identity(notice)
        bounds = await self._read_bounds()
        bounds.check_instant("injured_at", notice.injured_at)
        bounds.check_instant("noticed_at", notice.noticed_at)
        injured_on = insured_day(notice.injured_at)
        await self._keep(INJURY_NOTICE, notice, body, {"notice_id": notice.notice_id}, {"injured_on": injured_on})

    async def take_total(self, body: bytes) -> None:
        """Keep somebody else's count of an enterprise's day; another count of the same source corrects the last one."""
        total = msgspec.json.decode(body, type=TotalReported)
        _refuse_identity(total)
        (await self._read_bounds()).check_day("day", total.day)
        key = {"source": total.source, "enterprise": total.enterprise, "day": total.day}
        row = {**key, "count": total.count, "body": body, "body_sha256": hashlib.sha256(body).hexdigest()}
        last = select(REPORTED_TOTAL.c.count).filter_by(**key).order_by(REPORTED_TOTAL.c.number.desc()).limit(1)
        async with self._engine.begin() as connection:
            held = await connection.scalar(last)
            if held != total.count:
                await connection.execute(insert(REPORTED_TOTAL).values(row))
        if held not in (None, total.count):
            log.info("count corrected", source=total.source, day=str(total.day), held=held, count=total.count)
        self._wake()

    async def take_remittance(self, body: bytes) -> None:
        """Keep money that arrived, for the pages; the first message of an id is kept."""
        remittance = msgspec.json.decode(body, type=RemittanceReceived)
        _refuse_identity(remittance)
        amount = parse_yuan(remittance.amount_yuan)
        if amount <= 0:
            raise Refused(f"remittance {remittance.remittance_id} of {remittance.amount_yuan} yuan")
        (await self._read_bounds()).check_day("received_on", remittance.received_on)
        row = {
            "remittance_id": remittance.remittance_id,
            "province": remittance.province,
            "enterprise": remittance.enterprise,
            "amount": amount if remittance.reverses is None else -amount,
            "received_on": remittance.received_on,
            "reverses": remittance.reverses,
            "reason": remittance.reason,
            "authority": remittance.authority,
        }
        async with self._engine.begin() as connection:
            if remittance.reverses is not None:
                await _check_reversed(connection, row)
            await connection.execute(insert_once(REMITTANCE).values(row).on_conflict_do_nothing())
            known = await connection.execute(select(REMITTANCE).filter_by(remittance_id=remittance.remittance_id))
            held = dict(known.mappings().one())
        if any(held[name] != value for name, value in row.items()):
            detail = f"remittance {remittance.remittance_id} is known with other content"
            raise Quarantined(QuarantineReason.DIFFERENT_CONTENT, detail)

    async def _read_bounds(self) -> TimeBounds:
        """The bounds of dates that others send; the first closed day is the first of the books."""
        query = select(func.clock_timestamp().label("at"), func.min(DAY_CLOSED.c.day).label("opened_on"))
        async with self._engine.connect() as connection:
            row = (await connection.execute(query)).one()
        return TimeBounds(row.opened_on, row.at, self._span)

    async def _keep(
        self, table: Table, message: Struct, body: bytes, key: Mapping[str, str | date], more: Mapping[str, str | date]
    ) -> None:
        digest = hashlib.sha256(body).hexdigest()
        contradiction = None
        async with self._engine.begin() as connection:
            row = {**key, **more, "body": body, "body_sha256": digest}
            await connection.execute(insert_once(table).values(row).on_conflict_do_nothing())
            held = await connection.scalar(select(table.c.body).filter_by(**key))
            if held is None or not _is_same(held, body, message):
                contradiction = await self._keep_contradiction(connection, table, key, held, digest)
        self._wake()
        if contradiction is not None:
            raise Quarantined(QuarantineReason.DIFFERENT_CONTENT, contradiction)

    async def _keep_contradiction(
        self, connection: AsyncConnection, table: Table, key: Mapping[str, str | date], held: bytes | None, digest: str
    ) -> str:
        named = " ".join(map(str, key.values()))
        before = "another statement of this month" if held is None else hashlib.sha256(held).hexdigest()
        detail = f"{table.name} {named}: held as {before}, received again as {digest}"
        log.error("received again with other content", detail=detail)
        day, enterprise = key.get("day"), key.get("enterprise")
        discrepancy = Discrepancy(
            kind=FindingKind.DIFFERENT_CONTENT,
            detail=detail,
            day=day if isinstance(day, date) else None,
            enterprise=enterprise if isinstance(enterprise, str) else None,
        )
        await record(connection, discrepancy)
        return detail

    async def _note_unreadable(self, message: Message, error: str) -> None:
        digest = hashlib.sha256(message.body).hexdigest()
        async with self._engine.begin() as connection:
            detail = f"{message.topic}: {error}; bytes kept under SHA-256 {digest}"
            await record(connection, Discrepancy(kind=FindingKind.UNREADABLE_MESSAGE, detail=detail))


async def _check_reversed(connection: AsyncConnection, row: Mapping[str, object]) -> None:
    """Raise for a reversal that does not repeat a remittance that is held, or of one that was reversed before."""
    own = REMITTANCE.c
    same = {name: row[name] for name in ("province", "enterprise", "received_on")}
    held = select(own.amount).filter_by(remittance_id=row["reverses"], reverses=None, **same)
    by = await connection.scalar(select(own.remittance_id).filter_by(reverses=row["reverses"]))
    if by not in (None, row["remittance_id"]):
        detail = f"remittance {row['reverses']} was reversed by {by} before"
        raise Quarantined(QuarantineReason.UNEXPECTED, detail)
    amount = await connection.scalar(held)
    if amount is None or amount + row["amount"] != 0:
        detail = f"remittance {row['remittance_id']} does not repeat a remittance {row['reverses']} that is held"
        raise Quarantined(QuarantineReason.UNEXPECTED, detail)


def _is_same(held: bytes, body: bytes, message: Struct) -> bool:
    """Whether a held message says the same; one that cannot be read any more says the same in the same bytes only."""
    try:
        return held == body or content_hash(msgspec.json.decode(held, type=type(message))) == content_hash(message)
    except (msgspec.MsgspecError, ValueError):
        return False


def _refuse_identity(message: Struct) -> None:
    """Raise for a text that reads as an identity; the text is not repeated, for findings are read by many."""
    if name := find_identity(message):
        detail = f"identity_in_clear: {name} reads as a citizen's number or a mobile number; send another"
        raise Quarantined(QuarantineReason.IDENTITY_IN_CLEAR, detail)
