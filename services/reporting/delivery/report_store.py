"""Reports and where their sending stands. A report is written with its delivery, in one transaction, once."""

import json
from collections.abc import Collection, Iterable
from datetime import date
from typing import Any, Final

import msgspec
from sqlalchemy import ColumnElement, Row, Text, cast, exists, func, insert, select, text, update
from sqlalchemy.dialects.postgresql import insert as insert_once
from sqlalchemy.ext.asyncio import AsyncConnection

from services.reporting.delivery.documents import Prepared
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
from shared.contracts.manifests import DayClosed, StatementIssued
from shared.contracts.reports import Receipt
from shared.domain.errors import Refused

DAY_NAME: Final = cast(DAY_CLOSED.c.day, Text)
"""The name of a closed day as an item of a step."""


async def add_reports(connection: AsyncConnection, prepared: Iterable[Prepared]) -> list[str]:
    """Write reports that are not there yet, each with its delivery; returns the kinds of the new ones.

    One that is there stays as it is, whatever is prepared now: what was published is never sent anew.
    """
    added: list[str] = []
    for each in prepared:
        statement = insert_once(REPORT).values(each.row).on_conflict_do_nothing().returning(REPORT.c.kind)
        kind = await connection.scalar(statement)
        if kind is None:
            continue
        report_id = each.document.report_id
        await connection.execute(insert(DELIVERY).values(report_id=report_id))
        rows = [
            {"report_id": report_id, "enterprise": enterprise, "orders": orders, "amount": amount}
            for enterprise, (orders, amount) in sorted(each.shares.items())
        ]
        if rows:
            await connection.execute(insert(SHARE), rows)
        added.append(kind)
    return added


async def unbuilt_days(connection: AsyncConnection, quarantine: Quarantine) -> list[Item[date]]:
    """Closed days whose reports are not all built, oldest first, without those that are set aside."""
    is_built = exists().where(DAY_BUILT.c.day == DAY_CLOSED.c.day)
    return await due_days(connection, quarantine, Step.BUILD_DAY, is_built)


async def due_days(
    connection: AsyncConnection, quarantine: Quarantine, step: Step, is_done: ColumnElement[bool]
) -> list[Item[date]]:
    """Closed days that a step has not done, oldest first, without those that are set aside.

    The database names them: the first and the last day of the calendar are infinite to it.
    """
    is_waiting = quarantine.is_waiting(step, DAY_NAME)
    query = select(DAY_CLOSED.c.day, DAY_NAME.label("name")).where(~is_done, ~is_waiting).order_by(DAY_CLOSED.c.day)
    rows = (await connection.execute(query)).all()
    return [Item(step, row.name, row.day, {"day": row.day}) for row in rows]


async def read_closed_day(connection: AsyncConnection, day: date) -> DayClosed:
    """A closed day out of the message that is kept; raises where that is none."""
    rows = await connection.execute(select(DAY_CLOSED.c.body).where(DAY_CLOSED.c.day == day))
    return decode_day(rows.scalar_one(), day)


def decode_day(body: bytes, day: date) -> DayClosed:
    """The closed day of a kept message; raises `Refused` where the message is about another day."""
    closed = msgspec.json.decode(body, type=DayClosed)
    if closed.day != day:
        raise Refused(f"the message is about {closed.day}")
    return closed


def decode_statement(item: Item[bytes]) -> StatementIssued:
    """The statement of a kept message; raises `Refused` where the message is about another statement."""
    issued = msgspec.json.decode(item.content, type=StatementIssued)
    if issued.statement_id != item.name:
        raise Refused("the message is about another statement")
    return issued


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


async def undeclared_statements(
    connection: AsyncConnection, quarantine: Quarantine, limit: int = 500
) -> list[Item[bytes]]:
    """The messages of statements without a declaration, without those that are set aside."""
    is_declared = exists().where(REPORT.c.statement_id == STATEMENT_ISSUED.c.statement_id)
    is_waiting = quarantine.is_waiting(Step.BUILD_DECLARATION, STATEMENT_ISSUED.c.statement_id)
    query = select(STATEMENT_ISSUED).where(~is_declared, ~is_waiting).order_by(STATEMENT_ISSUED.c.statement_id)
    rows = (await connection.execute(query.limit(limit))).all()
    return [statement_item(Step.BUILD_DECLARATION, row) for row in rows]


def statement_item(step: Step, row: Row[Any]) -> Item[bytes]:
    """A row of `reporting.statement_issued` as an item of a step: its message, and where it belongs."""
    place = {"period": row.period, "province": row.province, "enterprise": row.enterprise}
    return Item(step, row.statement_id, bytes(row.body), place)


async def due_deliveries(
    connection: AsyncConnection, quarantine: Quarantine, in_flight: Collection[str], limit: int
) -> list[Row[Any]]:
    """Reports to send now (`report_id`, `body`), oldest first, without those under way and those set aside."""
    query = (
        select(REPORT)
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
    return list((await connection.execute(query)).all())


async def note_attempt(connection: AsyncConnection, report_id: str, error: str | None, **changes: Any) -> int:
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
    values["unconfirmed"] = json.dumps([each.model_dump(mode="json") for each in receipt.unconfirmed])
    await connection.execute(insert_once(RECEIPT).values(values).on_conflict_do_nothing())


async def send_again(connection: AsyncConnection, report_id: str) -> bool:
    """Let a refused or undeliverable report be tried anew, the same bytes; False where there is none such."""
    statement = (
        update(DELIVERY)
        .where(DELIVERY.c.report_id == report_id, DELIVERY.c.state.in_(("refused", "undeliverable")))
        .values(state="pending", attempts=0, next_attempt_at=func.clock_timestamp())
        .returning(DELIVERY.c.report_id)
    )
    return await connection.scalar(statement) is not None


async def list_receipts(connection: AsyncConnection, period: str | None) -> list[dict[str, Any]]:
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
    return [dict(row) for row in (await connection.execute(query)).mappings()]


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
       (select count(*) from reporting.set_aside where resolved_at is null) as set_aside,
       (select count(*) from reporting.set_aside where resolved_at is null
         and step in ('build_day', 'build_declaration', 'send_report')) as unreportable,
       (select count(*) from reporting.refused_message m
         where not exists (select from reporting.refused_review r where r.refused_id = m.refused_id))
         as refused_messages
""")


async def count_all(connection: AsyncConnection) -> dict[str, int]:
    """How much there is; `pending` is what is due and has no answer yet, built or not, and is not set aside."""
    counts = dict((await connection.execute(_COUNTS)).mappings().one())
    due = counts["undelivered"] + counts["unbuilt_days"] + counts["undeclared"]
    return counts | {"pending": due - counts.pop("unreportable")}


_UNFINISHED = text("""
with aside as (select step, item from reporting.set_aside where resolved_at is null)
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
    """What of a month is still to be built or answered; what is set aside is a finding and holds up no other."""
    return int(await connection.scalar(_UNFINISHED, {"period": period}) or 0)


async def sent_reports(connection: AsyncConnection, period: str) -> dict[str, tuple[str, str]]:
    """Every report of a month: id to the SHA-256 of its bytes and the state of its delivery."""
    query = select(REPORT.c.report_id, REPORT.c.body_sha256, DELIVERY.c.state).join(
        DELIVERY, DELIVERY.c.report_id == REPORT.c.report_id
    )
    rows = (await connection.execute(query.where(REPORT.c.period == period))).all()
    return {row.report_id: (row.body_sha256, row.state) for row in rows}
