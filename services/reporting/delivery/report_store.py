"""Store reports and the state of their delivery. A report is written once, in one transaction with its delivery."""

import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import date

from sqlalchemy import exists, func, insert, select, text, update
from sqlalchemy.dialects.postgresql import insert as insert_once
from sqlalchemy.ext.asyncio import AsyncConnection

from services.reporting.delivery.documents import PreparedReport
from services.reporting.kept_messages import due_days, due_statements, read_statement_items
from services.reporting.register.set_aside import Step
from services.reporting.tables import (
    DAY_BUILT,
    DAY_CLOSED,
    DELIVERY,
    PROVINCE_BUILT,
    RECEIPT,
    REPORT,
    SHARE,
    STATEMENT_ISSUED,
)
from shared.adapters.postgres.quarantine import Item, Quarantine
from shared.contracts.reports import Receipt


async def add_reports(connection: AsyncConnection, prepared: Iterable[PreparedReport]) -> list[str]:
    """Write reports that are not there yet, each with its delivery; returns the kinds of the new ones.

    An existing report stays as it is even if the new one differs: a published report is never replaced.
    """
    added: list[str] = []
    for report in prepared:
        statement = insert_once(REPORT).values(report.row).on_conflict_do_nothing().returning(REPORT.c.kind)
        kind = await connection.scalar(statement)
        if kind is None:
            continue
        report_id = report.document.report_id
        await connection.execute(insert(DELIVERY).values(report_id=report_id))
        rows = [
            {"report_id": report_id, "enterprise": enterprise, "orders": orders, "amount": amount}
            for enterprise, (orders, amount) in sorted(report.shares.items())
        ]
        if rows:
            await connection.execute(insert(SHARE), rows)
        added.append(kind)
    return added


async def unbuilt_days(connection: AsyncConnection, quarantine: Quarantine) -> list[Item[date]]:
    """Closed days whose reports are not all built, oldest first, without those that are set aside."""
    is_built = exists().where(DAY_BUILT.c.day == DAY_CLOSED.c.day)
    return await due_days(connection, quarantine, Step.BUILD_DAY, is_built)


async def built_provinces(connection: AsyncConnection, day: date) -> set[str]:
    """The provinces whose reports of the day are written."""
    query = select(PROVINCE_BUILT.c.province).where(PROVINCE_BUILT.c.day == day)
    return set((await connection.execute(query)).scalars())


async def mark_province_built(connection: AsyncConnection, day: date, province: str) -> None:
    """Note, with the reports, that there are no more of them."""
    await connection.execute(insert_once(PROVINCE_BUILT).values(day=day, province=province).on_conflict_do_nothing())


async def mark_day_built(connection: AsyncConnection, day: date) -> None:
    """Note that every province of the day is built."""
    await connection.execute(insert_once(DAY_BUILT).values(day=day).on_conflict_do_nothing())


async def unfiled_statements(
    connection: AsyncConnection, quarantine: Quarantine, limit: int = 500
) -> list[Item[bytes]]:
    """The messages of statements without a declaration, without those that are set aside."""
    is_declared = exists().where(REPORT.c.statement_id == STATEMENT_ISSUED.c.statement_id)
    query = due_statements(quarantine, Step.BUILD_DECLARATION, is_declared).limit(limit)
    return await read_statement_items(connection, query, Step.BUILD_DECLARATION)


@dataclass(frozen=True, slots=True)
class DueReport:
    """A report that is to be sent: its bytes, and what a discrepancy of it names."""

    report_id: str
    body: bytes
    period: str | None
    day: date | None
    province: str | None
    enterprise: str | None


async def due_deliveries(
    connection: AsyncConnection, quarantine: Quarantine, in_flight: Collection[str], limit: int
) -> list[DueReport]:
    """Reports to send now, oldest first, without those under way and those set aside."""
    own = REPORT.c
    query = (
        select(own.report_id, own.body, own.period, own.day, own.province, own.enterprise)
        .join(DELIVERY, DELIVERY.c.report_id == REPORT.c.report_id)
        .where(
            DELIVERY.c.state == "pending",
            DELIVERY.c.next_attempt_at <= func.clock_timestamp(),
            REPORT.c.report_id.not_in(in_flight),
            ~quarantine.is_waiting(Step.SEND_REPORT, REPORT.c.report_id),
        )
        .order_by(REPORT.c.number)
        .limit(limit)
    )
    return [DueReport(*row) for row in await connection.execute(query)]


async def note_attempt(connection: AsyncConnection, report_id: str, error: str | None, **changes: str) -> int:
    """Count an attempt and change what is given (`state`); returns how many there were. Only a pending one moves."""
    statement = (
        update(DELIVERY)
        .where(DELIVERY.c.report_id == report_id, DELIVERY.c.state == "pending")
        .values(attempts=DELIVERY.c.attempts + 1, last_error=error, **changes)
        .returning(DELIVERY.c.attempts)
    )
    return int(await connection.scalar(statement) or 0)


async def give_up(connection: AsyncConnection, report_id: str) -> None:
    """Try no more, until somebody says so."""
    statement = update(DELIVERY).where(DELIVERY.c.report_id == report_id, DELIVERY.c.state == "pending")
    await connection.execute(statement.values(state="undeliverable"))


async def postpone(connection: AsyncConnection, report_id: str, pause_seconds: float) -> None:
    """Try again after a pause, by the database's clock."""
    statement = text(
        "update reporting.delivery set next_attempt_at = clock_timestamp() + make_interval(secs => :pause)"
        " where report_id = :report_id and state = 'pending'"
    )
    await connection.execute(statement, {"pause": pause_seconds, "report_id": report_id})


async def keep_receipt(connection: AsyncConnection, receipt: Receipt) -> None:
    """Keep the first receipt of a report."""
    values = receipt.model_dump(exclude={"unconfirmed"})
    values["unconfirmed"] = json.dumps([exclusion.model_dump(mode="json") for exclusion in receipt.unconfirmed])
    await connection.execute(insert_once(RECEIPT).values(values).on_conflict_do_nothing())


async def send_again(connection: AsyncConnection, report_id: str) -> bool:
    """Queue a refused or undeliverable report for another try with identical bytes; False where there is none such."""
    statement = (
        update(DELIVERY)
        .where(DELIVERY.c.report_id == report_id, DELIVERY.c.state.in_(("refused", "undeliverable")))
        .values(state="pending", attempts=0, next_attempt_at=func.clock_timestamp())
        .returning(DELIVERY.c.report_id)
    )
    return await connection.scalar(statement) is not None
