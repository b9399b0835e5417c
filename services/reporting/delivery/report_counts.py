"""Count and list reports, deliveries and receipts for the status and for a month's reconciliation."""

from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.reporting.tables import DELIVERY, RECEIPT, REPORT


@dataclass(frozen=True, slots=True)
class ReceiptListed:
    """A receipt, with what its report is."""

    report_id: str
    kind: str
    day: date | None
    period: str
    province: str
    enterprise: str | None
    receipt_id: str
    received_at: datetime


async def list_receipts(connection: AsyncConnection, period: str | None) -> list[ReceiptListed]:
    """Receipts (of a month) with what their reports are, in the order of the ids."""
    query = (
        select(
            REPORT.c.report_id,
            REPORT.c.kind,
            REPORT.c.day,
            REPORT.c.period,
            REPORT.c.province,
            REPORT.c.enterprise,
            RECEIPT.c.receipt_id,
            RECEIPT.c.received_at,
        )
        .join(RECEIPT, RECEIPT.c.report_id == REPORT.c.report_id)
        .order_by(REPORT.c.report_id)
    )
    if period is not None:
        query = query.where(REPORT.c.period == period)
    return [ReceiptListed(*row) for row in await connection.execute(query)]


_COUNTS = text("""
select (select count(*) from reporting.report) as reports,
       (select count(*) from reporting.delivery where attempts > 0) as sent,
       (select count(*) from reporting.receipt) as receipts,
       (select count(*) from reporting.delivery where state = 'pending') as undelivered,
       (select count(*) from reporting.delivery where state = 'refused') as refused,
       (select count(*) from reporting.delivery where state = 'undeliverable') as undeliverable,
       (select count(*) from reporting.day_closed) as days,
       (select count(*) from reporting.day_closed d
         where not exists (select from reporting.day_built b where b.day = d.day)) as unbuilt_days,
       (select count(*) from reporting.day_closed d
         where not exists (select from reporting.day_examined e where e.day = d.day)) as unexamined_days,
       (select count(*) from reporting.statement_issued) as statements,
       (select count(*) from reporting.statement_issued s
         where not exists (select from reporting.report r where r.statement_id = s.statement_id)) as undeclared,
       (select count(*) from reporting.discrepancy_standing where state = 'open') as discrepancies,
       (select count(*) from reporting.set_aside where resolved_at is null and next_at > last_at) as set_aside,
       (select count(*) from reporting.set_aside where resolved_at is null and next_at > last_at
         and step in ('build_day', 'build_declaration', 'send_report')) as unreportable,
       (select count(*) from reporting.refused_message m
         where not exists (select from reporting.refused_review r where r.refused_id = m.refused_id))
         as refused_messages
""")


async def count_all(connection: AsyncConnection) -> dict[str, int]:
    """Counts for the status; `pending` is what is due without an answer yet, built or not, and not set aside."""
    counts = dict((await connection.execute(_COUNTS)).mappings().one())
    due = counts["undelivered"] + counts["unbuilt_days"] + counts["undeclared"]
    return counts | {"pending": due - counts.pop("unreportable")}


_UNFINISHED = text("""
with aside as (select step, item from reporting.set_aside where resolved_at is null and next_at > last_at)
select (select count(*) from reporting.delivery d join reporting.report r using (report_id)
         where d.state = 'pending' and r.period = :period
           and ('send_report', r.report_id) not in (table aside))
     + (select count(*) from reporting.statement_issued s
         where s.period = :period
           and not exists (select from reporting.report r where r.statement_id = s.statement_id)
           and ('build_declaration', s.statement_id) not in (table aside))
     + (select count(*) from reporting.day_closed d
         where to_char(d.day, 'YYYY-MM') = :period
           and not exists (select from reporting.day_built b where b.day = d.day)
           and ('build_day', d.day::text) not in (table aside))
""")


async def count_unfinished(connection: AsyncConnection, period: str) -> int:
    """Items of a month still to be built or answered; an item set aside is a finding and holds up no other."""
    return int(await connection.scalar(_UNFINISHED, {"period": period}) or 0)


async def sent_reports(connection: AsyncConnection, period: str) -> dict[str, tuple[str, str]]:
    """Every report of a month: id to the SHA-256 of its bytes and the state of its delivery."""
    query = select(REPORT.c.report_id, REPORT.c.body_sha256, DELIVERY.c.state).join(
        DELIVERY, DELIVERY.c.report_id == REPORT.c.report_id
    )
    rows = (await connection.execute(query.where(REPORT.c.period == period))).all()
    return {row.report_id: (row.body_sha256, row.state) for row in rows}
