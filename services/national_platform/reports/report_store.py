"""Stores deliveries, reports and receipts, and reads them. Nothing here is ever updated or deleted."""

import hashlib
import json
from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

from sqlalchemy import RowMapping, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.national_platform.reports.checks import AnyReport
from services.national_platform.tables import COVERAGE_LINE, DECLARATION, DELIVERY, RECEIPT, REPORT
from shared.adapters.postgres.queries.storable_text import storable
from shared.contracts.reports import (
    CoverageReport,
    DeclarationReport,
    EmployeeExclusion,
    PaymentReport,
    Receipt,
    Refusal,
    RegistrationReport,
)
from shared.domain.calendar import Month
from shared.domain.money import parse_yuan


@dataclass(frozen=True, slots=True)
class Delivery:
    """One request as it came. `provinces` None: the reporter may report for all."""

    reporter: str
    provinces: frozenset[str] | None
    idempotency_key: str | None
    signature: str | None
    body: bytes

    @property
    def sha256(self) -> str:
        """The SHA-256 of the body, in hex."""
        return hashlib.sha256(self.body).hexdigest()


async def lock_report(connection: AsyncConnection, report_id: str) -> None:
    """Let deliveries of one report go one after the other, so that one of them is the first."""
    await connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(report_id, 0))))


async def find_receipt(connection: AsyncConnection, report_id: str) -> Receipt | None:
    """The receipt that was given for a report, if one was."""
    query = select(RECEIPT).where(RECEIPT.c.report_id == report_id)
    row = (await connection.execute(query)).mappings().one_or_none()
    return _receipt(row) if row is not None else None


async def keep_refused(connection: AsyncConnection, delivery: Delivery, refusal: Refusal) -> None:
    """Keep the bytes of a refused delivery with the reason."""
    await _keep(
        connection,
        delivery,
        outcome="refused",
        reason=refusal.reason,
        detail=storable(refusal.detail),
        report_id=refusal.report_id,
    )


async def keep_repeat(connection: AsyncConnection, delivery: Delivery, report_id: str) -> None:
    """Keep that a held report came once more."""
    await _keep(connection, delivery, outcome="repeat", report_id=report_id)


async def keep_taken(
    connection: AsyncConnection, delivery: Delivery, report: AnyReport, unconfirmed: list[EmployeeExclusion]
) -> Receipt:
    """Keep a report that is new and give its receipt."""
    kept = await _keep(connection, delivery, outcome="taken", report_id=report.report_id)
    await connection.execute(insert(REPORT).values(delivery_id=kept["id"], **index_of(report)))
    receipt = Receipt(
        receipt_id=f"R{kept['id']:012d}",
        report_id=report.report_id,
        body_sha256=delivery.sha256,
        received_at=kept["received_at"],
        unconfirmed=unconfirmed,
    )
    shown = json.dumps([exclusion.model_dump(mode="json") for exclusion in unconfirmed])
    await connection.execute(
        insert(RECEIPT).values(receipt.model_dump(exclude={"unconfirmed"}) | {"unconfirmed": shown})
    )
    await _keep_figures(connection, report)
    return receipt


def index_of(report: AnyReport) -> dict[str, str | date]:
    """The columns that a report is searched by: a daily one belongs to the month of its day."""
    common: dict[str, str | date] = {"report_id": report.report_id, "kind": report.kind, "province": report.province}
    match report:
        case CoverageReport() | RegistrationReport():
            return common | {"day": report.day, "period": str(Month.of(report.day))}
        case DeclarationReport():
            return common | {"period": report.period, "enterprise": report.enterprise}
        case PaymentReport():
            return common | {"period": report.period}


@dataclass(frozen=True, slots=True)
class ReportFilter:
    """Filter of a reader's report query. `provinces` None: all."""

    provinces: Collection[str] | None
    kind: str | None = None
    day: date | None = None
    period: str | None = None
    after: str = ""
    limit: int = 1_000


MOST_ALARMS: Final = 100
"""Alarms of a kind that the status names."""


@dataclass(frozen=True, slots=True)
class ReportListed:
    """A report that is held, with its receipt and without its body."""

    report_id: str
    kind: str
    province: str
    enterprise: str | None
    day: date | None
    period: str
    receipt_id: str
    body_sha256: str
    received_at: datetime


async def list_reports(connection: AsyncConnection, chosen: ReportFilter) -> list[ReportListed]:
    """Reports with their receipts, by id, without their bodies."""
    own = REPORT.c
    columns = (own.report_id, own.kind, own.province, own.enterprise, own.day, own.period)
    query = select(*columns, RECEIPT.c.receipt_id, RECEIPT.c.body_sha256, RECEIPT.c.received_at).join(
        RECEIPT, REPORT.c.report_id == RECEIPT.c.report_id
    )
    query = query.where(REPORT.c.report_id > chosen.after).order_by(REPORT.c.report_id).limit(chosen.limit)
    if chosen.provinces is not None:
        query = query.where(REPORT.c.province.in_(chosen.provinces))
    for column, value in (
        (REPORT.c.kind, chosen.kind),
        (REPORT.c.day, chosen.day),
        (REPORT.c.period, chosen.period),
    ):
        if value is not None:
            query = query.where(column == value)
    return [ReportListed(*row) for row in await connection.execute(query)]


async def read_body(connection: AsyncConnection, report_id: str) -> tuple[str, bytes] | None:
    """Province and bytes of a report, exactly as they came."""
    query = select(REPORT.c.province, DELIVERY.c.body).join(DELIVERY, REPORT.c.delivery_id == DELIVERY.c.id)
    row = (await connection.execute(query.where(REPORT.c.report_id == report_id))).one_or_none()
    return (row.province, bytes(row.body)) if row is not None else None


async def count_deliveries(connection: AsyncConnection) -> dict[str, int]:
    """Deliveries by outcome; the refused ones by reason too, as `refused:<reason>`."""
    query = select(DELIVERY.c.outcome, DELIVERY.c.reason, func.count()).group_by(DELIVERY.c.outcome, DELIVERY.c.reason)
    rows = (await connection.execute(query)).all()
    return {f"{outcome}:{reason}" if reason else outcome: count for outcome, reason, count in rows}


async def list_alarms(connection: AsyncConnection, limit: int = MOST_ALARMS) -> list[str]:
    """The newest deliveries that said something else under a known id; then that there are older ones, if so."""
    query = (
        select(DELIVERY.c.id, DELIVERY.c.report_id, DELIVERY.c.detail)
        .where(DELIVERY.c.reason == "different_content")
        .order_by(DELIVERY.c.id.desc())
        .limit(limit + 1)
    )
    alarms = [f"delivery {row.id}: {row.report_id}: {row.detail}" for row in (await connection.execute(query)).all()]
    return alarms if len(alarms) <= limit else [*alarms[:limit], "delivery: there are older ones"]


async def _keep(connection: AsyncConnection, delivery: Delivery, **outcome: str | None) -> RowMapping:
    values = {
        "reporter": delivery.reporter,
        "idempotency_key": delivery.idempotency_key,
        "signature": delivery.signature,
        "body": delivery.body,
        "body_sha256": delivery.sha256,
    }
    statement = insert(DELIVERY).values(values | outcome).returning(DELIVERY.c.id, DELIVERY.c.received_at)
    return (await connection.execute(statement)).mappings().one()


async def _keep_figures(connection: AsyncConnection, report: AnyReport) -> None:
    share = {key: value for key, value in index_of(report).items() if key not in ("kind", "day")}
    match report:
        case CoverageReport(lines=lines) if lines:
            rows = [
                share
                | {
                    "number": number,
                    "enterprise": line.enterprise,
                    "insured_on": line.insured_on,
                    "orders": line.orders,
                    "premium": parse_yuan(line.premium_yuan),
                }
                for number, line in enumerate(lines, 1)
            ]
            await connection.execute(insert(COVERAGE_LINE), rows)
        case DeclarationReport():
            amounts = {"exact": parse_yuan(report.exact_yuan), "amount": parse_yuan(report.amount_yuan)}
            await connection.execute(insert(DECLARATION).values(share | amounts | {"orders": report.orders}))
        case _:
            return


def _receipt(row: RowMapping) -> Receipt:
    return Receipt.model_validate(dict(row) | {"unconfirmed": json.loads(row["unconfirmed"])})
