"""Answers the ledger's API from the books; money leaves as decimal strings in yuan."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from math import inf

from msgspec import Struct
from sqlalchemy import Select, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.ledger import tables
from services.ledger.billing.debts import read_debts
from services.ledger.books.clocks import BOUND, Clocks
from services.ledger.books.open_days import read_booked_through, read_books
from services.ledger.books.outside_declaration import Difference
from services.ledger.close.compare_count import latest_differences
from services.ledger.log.checkpoints import LogState, read_log_state
from services.ledger.operations.alarms import calendar_alarms, read_alarms
from shared.domain.books.billing import Debt, payment_state
from shared.domain.books.journal import Party
from shared.domain.calendar import Month
from shared.domain.money import Amount, yuan
from shared.domain.working_days import WorkingDays


@dataclass(frozen=True, slots=True)
class CalendarStatus:
    """The calendar that due dates are worked out with: the last day of its published years, and its edition."""

    published_until: date
    edition: str


@dataclass(frozen=True, slots=True)
class LedgerStatus:
    """How far the books are, and what a person has to attend to."""

    oldest_open_day: date
    closing: date | None
    last_closed_day: date | None
    runs: dict[str, int]
    waiting: int
    alarms: list[str]
    calendar: CalendarStatus
    log: LogState
    unpublished: int


@dataclass(frozen=True, slots=True)
class DayState:
    """The state of one day; `differences` are those of the last attempt while it is not closed.

    `decided_by` is the person behind the latest attempt: an account, or null where the clock started it.
    """

    day: date
    state: str
    attempt: int
    differences: list[Difference] = field(default_factory=list)
    closed_as_of: datetime | None = None
    decided_by: str | None = None


@dataclass(frozen=True, slots=True)
class StatementLine:
    """A line of an issued statement."""

    number: int
    kind: str
    insured_month: str
    industry: str
    tariff_line: int
    base_yuan: str
    orders: int
    exact_yuan: str
    amount_yuan: str
    series: str | None
    insured_on: date | None


@dataclass(frozen=True, slots=True)
class DueDateShown:
    """A due date of a statement with the edition of the calendar that it was worked out with.

    `notice`: the notice of holidays behind a later one; null for the one that the statement was issued with.
    """

    due_on: date
    due_on_is_provisional: bool
    calendar: str
    notice: str | None


@dataclass(frozen=True, slots=True)
class Statement:
    """An issued statement. `due_on` is what holds now, the last of `due_dates`."""

    statement_id: str
    enterprise: str
    province: str
    period: str
    orders: int
    exact_yuan: str
    amount_yuan: str
    rounding_yuan: str
    due_on: date
    due_on_is_provisional: bool
    due_dates: list[DueDateShown]
    issued_as_of: datetime
    lines: list[StatementLine]


@dataclass(frozen=True, slots=True)
class PaymentState:
    """How far a statement is paid at the end of a day."""

    enterprise: str
    province: str
    statement_id: str
    due_on: date
    due_on_is_provisional: bool
    due_yuan: str
    remitted_yuan: str
    outstanding_yuan: str
    arrears_yuan: str
    late_fee_yuan: str


@dataclass(frozen=True, slots=True)
class MonthTotal:
    """Orders and premium of one outcome and reason that were posted in a month."""

    enterprise: str
    province: str | None
    outcome: str
    reason: str | None
    is_correction: bool
    orders: int
    premium_yuan: str


class _StatementRow(Struct, frozen=True):
    statement_id: str
    enterprise: str
    province: str
    period: str
    orders: int
    exact_amount: int
    amount: int
    due_on: date
    due_on_is_provisional: bool
    calendar: str
    as_of: datetime


class _LineRow(Struct, frozen=True):
    statement_id: str
    number: int
    kind: str
    insured_month: str
    industry: str
    tariff_line: int
    base_amount: int
    orders: int
    exact_amount: int
    amount: int
    series: str | None
    insured_on: date | None


async def read_status(
    connection: AsyncConnection,
    calendar: WorkingDays,
    today: date,
    close_timeout_seconds: float,
    cosign_timeout_seconds: float = inf,
    clocks: Clocks = BOUND,
) -> LedgerStatus:
    """Read the status of the books, and of the calendar."""
    books = await read_books(connection)
    alarms = await read_alarms(connection, books, close_timeout_seconds, cosign_timeout_seconds, clocks)
    return LedgerStatus(
        oldest_open_day=books.first_open,
        closing=books.closing.day if books.closing else None,
        last_closed_day=books.last_closed,
        runs=await read_booked_through(connection),
        waiting=await connection.scalar(select(func.count()).select_from(tables.manifest_inbox)) or 0,
        alarms=alarms + calendar_alarms(calendar, today),
        calendar=CalendarStatus(calendar.published_until, calendar.edition),
        log=await read_log_state(connection),
        unpublished=await connection.scalar(select(func.count()).select_from(tables.outbox)) or 0,
    )


async def read_day(connection: AsyncConnection, day: date) -> DayState:
    """Read the state of one day."""
    books = await read_books(connection)
    closed = tables.day_closed.c
    query = select(closed.attempt, closed.as_of).where(closed.day == day)
    if row := (await connection.execute(query)).one_or_none():
        decided_by = await _read_person(connection, day, row.attempt)
        return DayState(day, "closed", row.attempt, closed_as_of=row.as_of, decided_by=decided_by)
    if books.closing and books.closing.day == day:
        differences = await latest_differences(connection, books.closing)
        decided_by = await _read_person(connection, day, books.closing.attempt)
        return DayState(day, "closing", books.closing.attempt, differences, decided_by=decided_by)
    return DayState(day, "open", 0)


async def _read_person(connection: AsyncConnection, day: date, attempt: int) -> str | None:
    closing, decided = tables.day_closing.c, tables.decision.c
    query = select(decided.person).where(decided.decision_id == closing.decision_id)
    person: str | None = await connection.scalar(query.where(closing.day == day, closing.attempt == attempt))
    return person


async def read_statements(
    connection: AsyncConnection, period: Month | None, enterprise: str | None, province: str | None
) -> list[Statement]:
    """Issued statements with their lines, by enterprise, province and period."""
    own = tables.statement.c
    query = select(*(own[name] for name in _StatementRow.__struct_fields__))
    wanted = ((own.period, str(period) if period else None), (own.enterprise, enterprise), (own.province, province))
    for column, value in wanted:
        if value is not None:
            query = query.where(column == value)
    lines = await _read_lines(connection, query.with_only_columns(own.statement_id))
    changes = await _read_due_dates(connection, query.with_only_columns(own.statement_id))
    rows = await connection.execute(query.order_by(own.enterprise, own.province, own.period))
    return [
        _statement(row, lines[row.statement_id], changes.get(row.statement_id, []))
        for row in (_StatementRow(*values) for values in rows)
    ]


async def _read_due_dates(connection: AsyncConnection, wanted: Select[str]) -> dict[str, list[DueDateShown]]:
    own = tables.due_date_change.c
    query = select(own.statement_id, own.due_on, own.due_on_is_provisional, own.calendar, own.notice)
    changes: dict[str, list[DueDateShown]] = {}
    for name, *values in await connection.execute(query.where(own.statement_id.in_(wanted)).order_by(own.change_id)):
        changes.setdefault(name, []).append(DueDateShown(*values))
    return changes


async def _read_lines(connection: AsyncConnection, wanted: Select[str]) -> dict[str, list[StatementLine]]:
    own = tables.statement_line.c
    query = select(*(own[name] for name in _LineRow.__struct_fields__)).where(own.statement_id.in_(wanted))
    lines: dict[str, list[StatementLine]] = {}
    for values in await connection.execute(query.order_by(own.statement_id, own.number)):
        row = _LineRow(*values)
        lines.setdefault(row.statement_id, []).append(_line(row))
    return lines


def _statement(row: _StatementRow, lines: Sequence[StatementLine], changes: Sequence[DueDateShown]) -> Statement:
    due_dates = [DueDateShown(row.due_on, row.due_on_is_provisional, row.calendar, None), *changes]
    return Statement(
        statement_id=row.statement_id,
        enterprise=row.enterprise,
        province=row.province,
        period=row.period,
        orders=row.orders,
        exact_yuan=yuan(Amount(row.exact_amount)),
        amount_yuan=yuan(Amount(row.amount)),
        rounding_yuan=yuan(Amount(row.amount - row.exact_amount)),
        due_on=due_dates[-1].due_on,
        due_on_is_provisional=due_dates[-1].due_on_is_provisional,
        due_dates=due_dates,
        issued_as_of=row.as_of,
        lines=list(lines),
    )


def _line(row: _LineRow) -> StatementLine:
    return StatementLine(
        number=row.number,
        kind=row.kind,
        insured_month=row.insured_month,
        industry=row.industry,
        tariff_line=row.tariff_line,
        base_yuan=yuan(Amount(row.base_amount)),
        orders=row.orders,
        exact_yuan=yuan(Amount(row.exact_amount)),
        amount_yuan=yuan(Amount(row.amount)),
        series=row.series,
        insured_on=row.insured_on,
    )


async def read_payment_states(connection: AsyncConnection, period: Month, as_of: date) -> list[PaymentState]:
    """Read how far each statement of the month is paid at the end of `as_of`."""
    debts = await read_debts(connection, period=str(period))
    return [_payment(party, debt, as_of) for party in sorted(debts) for debt in debts[party]]


def _payment(party: Party, debt: Debt, as_of: date) -> PaymentState:
    state = payment_state(debt, as_of)
    return PaymentState(
        enterprise=party.enterprise,
        province=party.province,
        statement_id=debt.statement_id,
        due_on=debt.due_on,
        due_on_is_provisional=debt.due_on_is_provisional,
        due_yuan=yuan(state.due),
        remitted_yuan=yuan(state.remitted),
        outstanding_yuan=yuan(state.outstanding),
        arrears_yuan=yuan(state.arrears),
        late_fee_yuan=yuan(state.late_fee),
    )


async def read_totals(connection: AsyncConnection, period: Month) -> list[MonthTotal]:
    """Booked lines by posting month: orders and premium of every outcome and reason.

    Lines of a correction or an assessment are separate: re-rated or presumed orders, and no events (decision 0004).
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
        MonthTotal(
            enterprise=row.enterprise,
            province=row.province,
            outcome=row.outcome,
            reason=row.reason,
            is_correction=row.is_correction,
            orders=int(row.orders),
            premium_yuan=yuan(Amount(int(row.premium))),
        )
        for row in await connection.execute(query)
    ]
