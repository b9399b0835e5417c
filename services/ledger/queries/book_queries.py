"""What the ledger's API answers from the books; money leaves as decimal strings in yuan."""

from dataclasses import asdict
from datetime import date
from math import inf
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.ledger import tables
from services.ledger.billing.debts import read_debts
from services.ledger.books.open_days import read_booked_through, read_books
from services.ledger.close.compare_count import latest_differences
from services.ledger.log.checkpoints import read_log_state
from services.ledger.operations.alarms import read_alarms
from shared.domain.books.billing import Debt, payment_state
from shared.domain.books.journal import Party
from shared.domain.calendar import Month
from shared.domain.money import yuan


async def read_status(
    connection: AsyncConnection, close_timeout_seconds: float, cosign_timeout_seconds: float = inf
) -> dict[str, Any]:
    """How far the books are, and what a person has to look at."""
    books = await read_books(connection)
    return {
        "oldest_open_day": books.first_open,
        "closing": books.closing.day if books.closing else None,
        "last_closed_day": books.last_closed,
        "runs": await read_booked_through(connection),
        "waiting": await connection.scalar(select(func.count()).select_from(tables.manifest_inbox)),
        "alarms": await read_alarms(connection, books, close_timeout_seconds, cosign_timeout_seconds),
        "log": asdict(await read_log_state(connection)),
        "unpublished": await connection.scalar(select(func.count()).select_from(tables.outbox)),
    }


async def read_day(connection: AsyncConnection, day: date) -> dict[str, Any]:
    """The state of one day; `differences` are those of the last attempt while it is not closed.

    `decided_by` is who asked for the latest attempt: an account, or null where the clock did.
    """
    books = await read_books(connection)
    closed = tables.day_closed.c
    query = select(closed.attempt, closed.as_of).where(closed.day == day)
    if row := (await connection.execute(query)).one_or_none():
        decided_by = await _read_person(connection, day, row.attempt)
        return {**_day(day, "closed", row.attempt), "closed_as_of": row.as_of, "decided_by": decided_by}
    if books.closing and books.closing.day == day:
        differences = await latest_differences(connection, books.closing)
        decided_by = await _read_person(connection, day, books.closing.attempt)
        return {**_day(day, "closing", books.closing.attempt), "differences": differences, "decided_by": decided_by}
    return _day(day, "open", 0)


async def _read_person(connection: AsyncConnection, day: date, attempt: int) -> str | None:
    asked, decided = tables.day_closing.c, tables.decision.c
    query = select(decided.person).where(decided.decision_id == asked.decision_id)
    person: str | None = await connection.scalar(query.where(asked.day == day, asked.attempt == attempt))
    return person


def _day(day: date, state: str, attempt: int) -> dict[str, Any]:
    return {"day": day, "state": state, "attempt": attempt, "differences": [], "closed_as_of": None, "decided_by": None}


async def read_statements(
    connection: AsyncConnection, period: Month | None, enterprise: str | None, province: str | None
) -> list[dict[str, Any]]:
    """Issued statements with their lines, by enterprise, province and period."""
    column = tables.statement.c
    query = select(tables.statement).order_by(column.enterprise, column.province, column.period)
    wanted = ((column.period, str(period) if period else None), (column.enterprise, enterprise))
    for named, value in (*wanted, (column.province, province)):
        if value is not None:
            query = query.where(named == value)
    lines = await _read_lines(connection, query.with_only_columns(column.statement_id).order_by(None))
    return [_statement(row, lines[row.statement_id]) for row in await connection.execute(query)]


async def _read_lines(connection: AsyncConnection, wanted: Any) -> dict[str, list[dict[str, Any]]]:
    line = tables.statement_line.c
    query = select(tables.statement_line).where(line.statement_id.in_(wanted))
    lines: dict[str, list[dict[str, Any]]] = {}
    for row in await connection.execute(query.order_by(line.statement_id, line.number)):
        lines.setdefault(row.statement_id, []).append(_line(row))
    return lines


def _statement(row: Any, lines: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "statement_id": row.statement_id,
        "enterprise": row.enterprise,
        "province": row.province,
        "period": row.period,
        "orders": row.orders,
        "exact_yuan": yuan(row.exact_amount),
        "amount_yuan": yuan(row.amount),
        "rounding_yuan": yuan(row.amount - row.exact_amount),
        "due_on": row.due_on,
        "issued_as_of": row.as_of,
        "lines": lines,
    }


def _line(row: Any) -> dict[str, Any]:
    return {
        "number": row.number,
        "kind": row.kind,
        "insured_month": row.insured_month,
        "industry": row.industry,
        "tariff_line": row.tariff_line,
        "base_yuan": yuan(row.base_amount),
        "orders": row.orders,
        "exact_yuan": yuan(row.exact_amount),
        "amount_yuan": yuan(row.amount),
        "series": row.series,
        "insured_on": row.insured_on,
    }


async def read_payment_states(connection: AsyncConnection, period: Month, as_of: date) -> list[dict[str, Any]]:
    """Where each statement of the month stands at the end of `as_of`."""
    debts = await read_debts(connection, period=str(period))
    return [_payment(party, debt, as_of) for party in sorted(debts) for debt in debts[party]]


def _payment(party: Party, debt: Debt, as_of: date) -> dict[str, Any]:
    state = payment_state(debt, as_of)
    return {
        "enterprise": party.enterprise,
        "province": party.province,
        "statement_id": debt.statement_id,
        "due_on": debt.due_on,
        "due_yuan": yuan(state.due),
        "remitted_yuan": yuan(state.remitted),
        "outstanding_yuan": yuan(state.outstanding),
        "arrears_yuan": yuan(state.arrears),
        "late_fee_yuan": yuan(state.late_fee),
    }


async def read_totals(connection: AsyncConnection, period: Month) -> list[dict[str, Any]]:
    """Booked lines by posting month: orders and premium of every outcome and reason.

    Lines of a correction or an assessment stand apart: orders rated anew or presumed, and no events (decision 0004).
    """
    line, booked = tables.day_line.c, tables.manifest_booked.c
    is_correction = booked.kind.in_(("correction", "assessment")).label("is_correction")
    key = (line.enterprise, line.province, line.outcome, line.reason, is_correction)
    query = (
        select(*key, func.sum(line.orders).label("orders"), func.sum(line.premium).label("premium"))
        .join(tables.manifest_booked, (line.run == booked.run) & (line.number == booked.number))
        .where(line.posting_day.between(period.first_day, period.last_day))
        .group_by(*key)
        .order_by(*key)
    )
    return [
        {
            "enterprise": row.enterprise,
            "province": row.province,
            "outcome": row.outcome,
            "reason": row.reason,
            "is_correction": row.is_correction,
            "orders": int(row.orders),
            "premium_yuan": yuan(int(row.premium)),  # type: ignore[arg-type]  # rows carry plain numbers
        }
        for row in await connection.execute(query)
    ]
