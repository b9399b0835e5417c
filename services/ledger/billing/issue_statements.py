"""Issue the statements of a month, once every day of it is closed; all of them in one transaction.

If the process dies here: no statement of the month exists, or all do with their messages. A statement that
cannot be drawn up is set aside with an alarm, the others are issued, and it is tried again later.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from typing import Literal

import msgspec
import structlog
from msgspec import Struct
from sqlalchemy import case, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.ledger import tables
from services.ledger.billing.debts import credit_to_advance, read_advances, use_advances
from services.ledger.billing.due_dates import store_edition
from services.ledger.books.journal import Source, write_journal_entry
from services.ledger.books.open_days import Books, as_json, ledger_lock, read_books, write_to_outbox
from services.ledger.books.outside_declaration import OutsideSum, read_outside
from services.ledger.books.set_aside import Step, open_quarantine
from shared.adapters.postgres.decisions import Decision
from shared.adapters.postgres.quarantine import Item
from shared.contracts.manifests import Outcome, StatementIssued, StatementLine
from shared.contracts.topics import STATEMENTS
from shared.domain.books.billing import Allocation, Bill, BookedSum, draw_up_bill
from shared.domain.books.journal import ROUNDING, Balance, EntryKind, Party, receivable
from shared.domain.calendar import Month, insured_day
from shared.domain.money import Amount
from shared.domain.scheme.presumption import assessed_reason, series_of
from shared.domain.working_days import DueDate, WorkingDays, due_date

log = structlog.get_logger(__name__)


class _SumRow(Struct, frozen=True):
    """The booked sum of one statement line in a month."""

    enterprise: str
    province: str
    month: date
    industry: str
    tariff_line: int
    assessed: str | None
    assessed_on: date | None
    charged: Decimal
    reversed: Decimal
    premium: Decimal
    base_amounts: list[int]


@dataclass(frozen=True, slots=True)
class IssueResult:
    """Result of a request to bill; `statements` counts those of the month, also when issued before."""

    state: Literal["issued", "already_issued", "refused"]
    reason: str | None = None
    statements: int = 0


async def issue_statements(
    engine: AsyncEngine,
    period: Month,
    as_of: datetime,
    calendar: WorkingDays,
    decision: Decision | None = None,
) -> IssueResult:
    """Bill a month: a statement for each enterprise and province with lines posted in it; again it changes nothing.

    Refused before the month is over, while a day of it is open, or while an earlier month is not billed. Lines that no
    bill can explain keep their enterprise and province from a statement, and nobody else. The month refers to the
    decision; the clock bills without one.
    """
    async with ledger_lock(engine) as connection:
        if answer := await _objection(connection, period, as_of):
            return answer
        parties = await _read_parties(connection, period)
        issued = await _issue(engine, connection, period, as_of, calendar, parties)
        row = {"period": str(period), "as_of": as_of, "statements": len(parties)}
        decision_id = None if decision is None else decision.decision_id
        await connection.execute(insert(tables.period_issued).values(row | {"decision_id": decision_id}))
    aside = len(parties) - issued
    log.info("month billed", period=str(period), statements=issued, set_aside=aside)
    return IssueResult("issued", f"{aside} statements are set aside" if aside else None, issued)


async def issue_set_aside(engine: AsyncEngine, as_of: datetime, calendar: WorkingDays) -> int:
    """Issue statements of billed months that were set aside, where it is time to try again; returns how many.

    They are due when their month is, for the audit works that out; what late fee the delay made is for a person.
    """
    issued = 0
    async with ledger_lock(engine) as connection:
        names = await open_quarantine(engine).read_due(connection, Step.BILL)
        for period in sorted({Month.parse(name[:7]) for name in names}):
            parties = await _read_parties(connection, period)
            chosen = {party: rows for party, rows in parties.items() if statement_id(period, party) in names}
            issued += await _issue(engine, connection, period, as_of, calendar, chosen)
    return issued


async def _objection(connection: AsyncConnection, period: Month, as_of: datetime) -> IssueResult | None:
    issued = tables.period_issued.c
    count = await connection.scalar(select(issued.statements).where(issued.period == str(period)))
    if count is not None:
        return IssueResult("already_issued", f"{period} is billed already", count)
    books = await read_books(connection)
    if period < Month.of(books.opened_on):
        return IssueResult("refused", f"the books begin on {books.opened_on}")
    if insured_day(as_of) <= period.last_day:
        return IssueResult("refused", f"{period} is not over on {insured_day(as_of)}")
    if books.first_open <= period.last_day:
        return IssueResult("refused", f"{books.first_open} is not closed yet")
    expected = await read_first_unbilled(connection, books)
    return None if period == expected else IssueResult("refused", f"{expected} has to be billed first")


async def read_first_unbilled(connection: AsyncConnection, books: Books) -> Month:
    """The month that is billed next: months are billed in order, and a month without statements counts."""
    last = await connection.scalar(select(func.max(tables.period_issued.c.period)))
    return Month.parse(last).next() if last else Month.of(books.opened_on)


def statement_id(period: Month, party: Party) -> str:
    """The id of the one statement of a party and month."""
    return f"{period}-{party.province}-{party.enterprise}"


async def _issue(
    engine: AsyncEngine,
    connection: AsyncConnection,
    period: Month,
    as_of: datetime,
    calendar: WorkingDays,
    parties: Mapping[Party, list[BookedSum]],
) -> int:
    """Issue the statements of these parties; returns how many, without those that are set aside.

    In a year that the calendar does not have no due date is known: the statements are set aside until it has.
    """
    await store_edition(connection, calendar)
    posting_day = max(insured_day(as_of), (await read_books(connection)).oldest_open_day)
    advances = await read_advances(connection)

    async def issue(items: Sequence[Item[Party]]) -> int:
        due = due_date(period, calendar.is_working_day)
        bills = {item.content: draw_up_bill(period, parties[item.content]) for item in items}
        issued = [_statement(party, period, as_of, due, calendar.edition, bill) for party, bill in bills.items()]
        await _write(connection, issued)
        for statement in issued:
            await _post(connection, statement, posting_day, advances)
        return len(issued)

    items = [Item(Step.BILL, statement_id(period, party), party) for party in sorted(parties)]
    return sum(await open_quarantine(engine).do_all_within(connection, items, issue))


async def _read_parties(connection: AsyncConnection, period: Month) -> dict[Party, list[BookedSum]]:
    """Sums charged and reversed on the closed days of the month, and what of them lies outside declarations."""
    parties = await _read_booked(connection, period)
    for party, rows in (await read_outside(connection, period)).items():
        parties[party] = list(_with_outside(parties.get(party, []), rows))
    return parties


def _with_outside(booked: list[BookedSum], rows: list[OutsideSum]) -> Iterator[BookedSum]:
    """Sums with what lies outside; one of no orders where nothing of a line was booked in the month."""
    outside: dict[tuple[Month, str, int], list[OutsideSum]] = defaultdict(list)
    for row in rows:
        outside[Month.of(row.month), row.industry, row.tariff_line].append(row)
    for one in booked:
        rows_outside = [] if one.series else outside.pop((one.insured_month, one.industry, one.tariff_line), [])
        yield _added(one, rows_outside)
    for key, rows_outside in outside.items():
        yield _added(BookedSum(*key, 0, 0, Amount(0), frozenset()), rows_outside)


def _added(one: BookedSum, rows: list[OutsideSum]) -> BookedSum:
    amounts = one.base_amounts | {row.base_amount for row in rows}
    return replace(one, outside=sum(int(row.orders) for row in rows), base_amounts=amounts)


async def _read_booked(connection: AsyncConnection, period: Month) -> dict[Party, list[BookedSum]]:
    """By party: a sum for each insured month, industry and tariff line; of assessed numbers for each series and day."""
    line = tables.day_sum.c
    month = func.date_trunc("month", line.insured_on)
    charged = line.outcome == Outcome.CHARGED.value
    is_assessed = line.reason.startswith(assessed_reason(""))
    assessed = case((is_assessed, line.reason)).label("assessed")
    assessed_on = case((is_assessed, line.insured_on)).label("assessed_on")
    query = (
        select(
            line.enterprise,
            line.province,
            func.cast(month, line.insured_on.type).label("month"),
            line.industry,
            line.tariff_line,
            assessed,
            assessed_on,
            func.coalesce(func.sum(line.orders).filter(charged), 0).label("charged"),
            func.coalesce(func.sum(line.orders).filter(~charged), 0).label("reversed"),
            func.sum(line.premium).label("premium"),
            func.array_agg(line.base_amount.distinct()).label("base_amounts"),
        )
        .where(line.posting_day.between(period.first_day, period.last_day))
        .group_by(line.enterprise, line.province, "month", line.industry, line.tariff_line, "assessed", "assessed_on")
    )
    parties: dict[Party, list[BookedSum]] = defaultdict(list)
    for row in (await connection.execute(query)).all():
        parties[Party(row.enterprise, row.province)].append(_sum(_SumRow(*row)))
    return parties


def _sum(row: _SumRow) -> BookedSum:
    return BookedSum(
        insured_month=Month.of(row.month),
        industry=row.industry,
        tariff_line=row.tariff_line,
        charged=int(row.charged),
        reversed=int(row.reversed),
        premium=Amount(int(row.premium)),
        base_amounts=frozenset(row.base_amounts),
        series=series_of(row.assessed),
        insured_on=row.assessed_on,
    )


def _statement(party: Party, period: Month, as_of: datetime, due: DueDate, edition: str, bill: Bill) -> StatementIssued:
    lines = [
        StatementLine(
            number=line.number,
            kind=line.kind,
            insured_month=str(line.insured_month),
            industry=line.industry,
            tariff_line=line.tariff_line,
            base_amount=line.base_amount,
            orders=line.orders,
            exact_amount=line.exact_amount,
            amount=line.amount,
            series=line.series,
            insured_on=line.insured_on,
        )
        for line in bill.lines
    ]
    return StatementIssued(
        statement_id=statement_id(period, party),
        enterprise=party.enterprise,
        province=party.province,
        period=str(period),
        as_of=as_of,
        due_on=due.due_on,
        due_on_is_provisional=due.is_provisional,
        calendar=edition,
        lines=lines,
        orders=bill.orders,
        exact_amount=bill.exact_amount,
        amount=bill.amount,
    )


async def _write(connection: AsyncConnection, issued: Sequence[StatementIssued]) -> None:
    rows, lines = [], []
    for statement in issued:
        row = as_json(statement)
        del row["lines"]
        rows.append(row | {"as_of": statement.as_of, "due_on": statement.due_on})
        lines += [{**msgspec.structs.asdict(line), "statement_id": statement.statement_id} for line in statement.lines]
    if rows:
        await connection.execute(insert(tables.statement), rows)
        await connection.execute(insert(tables.statement_line), lines)


async def _post(
    connection: AsyncConnection, issued: StatementIssued, posting_day: date, advances: Mapping[Party, Amount]
) -> None:
    """Post what a statement moves beyond its lines, and write its message; `advances` are those held before."""
    party = Party(issued.enterprise, issued.province)
    balance = Balance()
    balance.move(receivable(party), ROUNDING, issued.amount - issued.exact_amount)
    if entry := balance.entry(EntryKind.ROUNDING):
        await write_journal_entry(connection, entry, posting_day, Source(statement_id=issued.statement_id))
    issued_on = insured_day(issued.as_of)
    if issued.amount < 0:
        credit = Allocation(issued.statement_id, "principal", Amount(issued.amount))
        await credit_to_advance(connection, party, credit, issued_on, posting_day)
    if issued.amount < 0 or party in advances:
        await use_advances(connection, party, issued_on, posting_day)
    await write_to_outbox(connection, STATEMENTS, issued.statement_id, issued)
