"""Query reports to the national platform, as they were sent, with the state of their delivery."""

import json
from dataclasses import dataclass
from datetime import date, datetime
from typing import Annotated

from pydantic import Field
from sqlalchemy import ColumnElement, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.reporting.read_model.responses import Answer, Province
from services.reporting.tables import DELIVERY, RECEIPT, REPORT
from shared.contracts.reports import REPORT as DOCUMENT
from shared.contracts.reports import CoverageReport, PremiumLine, Report

AnyReport = Report


class ReportListed(Answer):
    """A report in a list; `number` counts them in the order in which they were built."""

    number: Annotated[int, Field(examples=[17])]
    report_id: Annotated[str, Field(examples=["coverage.2026-10-03.44"])]
    kind: Annotated[str, Field(examples=["coverage"])]
    day: date | None
    period: Annotated[str, Field(examples=["2026-10"])]
    province: Province
    enterprise: str | None
    state: Annotated[str, Field(description="pending, received, refused or undeliverable", examples=["received"])]
    receipt_id: str | None
    received_at: datetime | None


async def list_reports(
    connection: AsyncConnection,
    kind: str | None,
    period: str | None,
    province: str | None,
    after: int | None,
    limit: int,
) -> list[ReportListed]:
    """The newest first, below the number of the last one seen."""
    own = REPORT.c
    chosen = select(own.number, own.report_id, own.kind, own.day, own.period, own.province, own.enterprise)
    for column, value in ((own.kind, kind), (own.period, period), (own.province, province)):
        if value is not None:
            chosen = chosen.where(column == value)
    if after is not None:
        chosen = chosen.where(own.number < after)
    # Before the joins, so that only these few rows are joined.
    page = chosen.order_by(own.number.desc()).limit(limit).subquery()
    query = (
        select(page, DELIVERY.c.state, RECEIPT.c.receipt_id, RECEIPT.c.received_at)
        .join(DELIVERY, DELIVERY.c.report_id == page.c.report_id)
        .outerjoin(RECEIPT, RECEIPT.c.report_id == page.c.report_id)
    )
    rows = await connection.execute(query.order_by(page.c.number.desc()))
    return [ReportListed(**row) for row in rows.mappings()]


async def find_report(connection: AsyncConnection, report_id: str) -> Report | None:
    """The document; None where there is none to see."""
    body = await connection.scalar(select(REPORT.c.body).where(REPORT.c.report_id == report_id))
    return None if body is None else DOCUMENT.validate_json(bytes(body))


@dataclass(frozen=True, slots=True)
class SentReport:
    """Progress of a report: the delivery's state and, once there is one, the receipt."""

    report_id: str
    kind: str
    state: str
    receipt_id: str | None
    received_at: datetime | None
    last_error: str | None
    body: bytes


@dataclass(frozen=True, slots=True)
class CoverageView:
    """A coverage report; `unconfirmed` are worker and number of every exclusion that its receipt does not confirm."""

    report: CoverageReport
    receipt: SentReport
    registrations: list[SentReport]
    unconfirmed: frozenset[tuple[str, str]]

    @property
    def day_lines(self) -> list[PremiumLine]:
        return [line for line in self.report.lines if line.insured_on == self.report.day]

    @property
    def amendments(self) -> list[PremiumLine]:
        return [line for line in self.report.lines if line.insured_on != self.report.day]


async def find_coverage(connection: AsyncConnection, day: date, province: str) -> CoverageView | None:
    """The day's report of a province with its registrations; None where there is none to see."""
    own = (REPORT.c.day == day, REPORT.c.province == province)
    reports = await _find(connection, REPORT.c.kind == "coverage", *own)
    if not reports:
        return None
    report = CoverageReport.model_validate_json(reports[0].body)
    registrations = await _find(connection, REPORT.c.kind == "registration", *own)
    return CoverageView(report, reports[0], registrations, await _unconfirmed(connection, report.report_id))


async def find_filing(connection: AsyncConnection, statement_id: str) -> SentReport | None:
    """The declaration of a statement; None while there is none."""
    reports = await _find(connection, REPORT.c.statement_id == statement_id)
    return reports[0] if reports else None


async def _find(connection: AsyncConnection, *conditions: ColumnElement[bool]) -> list[SentReport]:
    columns = (REPORT.c.report_id, REPORT.c.kind, DELIVERY.c.state, RECEIPT.c.receipt_id, RECEIPT.c.received_at)
    query = (
        select(*columns, DELIVERY.c.last_error, REPORT.c.body)
        .join(DELIVERY, DELIVERY.c.report_id == REPORT.c.report_id)
        .outerjoin(RECEIPT, RECEIPT.c.report_id == REPORT.c.report_id)
        .where(*conditions)
        .order_by(REPORT.c.number)
    )
    return [SentReport(*row) for row in (await connection.execute(query)).all()]


async def _unconfirmed(connection: AsyncConnection, report_id: str) -> frozenset[tuple[str, str]]:
    text = await connection.scalar(select(RECEIPT.c.unconfirmed).where(RECEIPT.c.report_id == report_id))
    named = json.loads(text) if text else []
    return frozenset((exclusion["worker_id"], exclusion["employer_insurance_no"]) for exclusion in named)
