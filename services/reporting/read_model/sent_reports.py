"""Reports to the national platform, as they were sent, with how far their sending is."""

from datetime import date, datetime
from typing import Annotated

from pydantic import Field
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.reporting.read_model.responses import Answer, Province
from services.reporting.tables import DELIVERY, RECEIPT, REPORT
from shared.contracts.reports import REPORT as DOCUMENT
from shared.contracts.reports import Report

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
    # Before the joins, so that these few are looked up, and not all.
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
