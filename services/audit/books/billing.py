"""Check statements against day lines, and money against statements: second half of I4, I5, and payments."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import date
from typing import Final, NamedTuple

from msgspec import Struct

from services.audit.books.bookings import Books, JournalRow, postings_of
from services.audit.books.due_dates import DueDates, StatementRow, check_due_dates
from services.audit.books.reversals import RemittanceRow, check_reversals
from services.audit.facts import Facts
from services.audit.verdict import Check, Verdict
from shared.adapters.postgres.pool import Connection
from shared.adapters.postgres.typed_rows import fetch_structs
from shared.domain.books.billing import Bill, BookedSum, Debt, Paid, accrued_late_fee, draw_up_bill
from shared.domain.calendar import Month
from shared.domain.errors import Refused
from shared.domain.money import Amount

Party = tuple[str, str]
_LINES: Final = "select * from ledger.statement_line order by statement_id, number"


class _LineRow(Struct, frozen=True):
    """A row of `ledger.statement_line`."""

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


class _IssuedRow(Struct, frozen=True):
    """A row of `ledger.period_issued`."""

    period: str
    statements: int


class _AllocationRow(Struct, frozen=True):
    """A row of `ledger.allocation`."""

    allocation_id: int
    statement_id: str
    what: str
    amount: int
    effective_on: date
    remittance_id: str | None
    entry_id: int


class _FeeRow(Struct, frozen=True):
    """A row of `ledger.late_fee`."""

    late_fee_id: int
    statement_id: str
    as_of: date
    amount: int
    total: int
    entry_id: int


class _OutsideRow(Struct, frozen=True):
    """Orders outside signed declarations, as a close counted them."""

    posting_day: date
    insured_on: date
    enterprise: str
    province: str
    industry: str
    tariff_line: int
    base_amount: int
    orders: int


class _SumKey(NamedTuple):
    """The booked sums behind a statement line."""

    enterprise: str
    province: str
    insured_month: Month
    industry: str
    tariff_line: int
    series: str | None
    insured_on: date | None


async def check_billing(connection: Connection, facts: Facts, books: Books, verdict: Verdict) -> None:
    """Recompute every billed month from the day lines."""
    check = verdict.check("I4", "day lines = statement lines, to the fen with the rounding; nothing unbilled")
    rows = await fetch_structs(connection, StatementRow, "select * from ledger.statement")
    statements = {row.statement_id: row for row in rows}
    lines: dict[str, list[_LineRow]] = defaultdict(list)
    for line in await fetch_structs(connection, _LineRow, _LINES):
        lines[line.statement_id].append(line)
    outside = await fetch_structs(connection, _OutsideRow, "select * from ledger.outside_declaration")
    due_dates = await check_due_dates(connection, rows, verdict)
    issued = await fetch_structs(connection, _IssuedRow, "select * from ledger.period_issued order by period")
    for period in issued:
        month = Month.parse(period.period)
        if not facts.closed_on(month.last_day):
            check.find(f"ledger.period_issued {month}: its last day is not closed")
        _check_month(check, month, period, _sums(books, month, outside), statements, lines)
    known = {period.period for period in issued}
    for name, row in statements.items():
        if row.period not in known:
            check.find(f"ledger.statement {name}: {row.period} is not billed")
    _check_rounding(books, statements, verdict)
    await _check_money(connection, books, statements, due_dates, verdict)


def _sums(books: Books, month: Month, outside: list[_OutsideRow]) -> dict[Party, list[BookedSum]]:
    """Sum the bookings of a posting month by party, with the share outside signed declarations."""
    orders: Counter[tuple[_SumKey, str]] = Counter()
    premium: Counter[_SumKey] = Counter()
    bases: dict[_SumKey, set[int]] = defaultdict(set)
    for lines in books.lines.values():
        for line, times in lines.items():
            posted, insured, uscc, province, industry, tariff_line, outcome, reason, count, amount = line
            if outcome not in {"charged", "reversed"} or not month.contains(posted):
                continue
            # The table's CHECKs refuse lines with money that lack one; the lines' own check has found it then.
            if insured is None or province is None or industry is None or tariff_line is None:
                continue
            series = reason.removeprefix("assessed:") if reason and reason.startswith("assessed:") else None
            on = None if series is None else insured
            key = _SumKey(uscc, province, Month.of(insured), industry, tariff_line, series, on)
            orders[key, outcome] += count * times
            premium[key] += amount * times
            bases[key].add(abs(amount) // count)
    for key, amount, count in _outside(outside, month):
        premium[key] += 0
        bases[key].add(amount)
        orders[key, "outside"] += count
    sums: dict[Party, list[BookedSum]] = defaultdict(list)
    for key, total in premium.items():
        sums[key.enterprise, key.province].append(
            BookedSum(
                insured_month=key.insured_month,
                industry=key.industry,
                tariff_line=key.tariff_line,
                charged=orders[key, "charged"],
                reversed=orders[key, "reversed"],
                premium=Amount(total),
                base_amounts=frozenset(bases[key]),
                series=key.series,
                insured_on=key.insured_on,
                outside=orders[key, "outside"],
            )
        )
    return sums


def _outside(rows: list[_OutsideRow], month: Month) -> Iterator[tuple[_SumKey, int, int]]:
    """Key, amount of an order, and orders that lie outside signed declarations by the month's closes."""
    apart: Counter[tuple[_SumKey, int]] = Counter()
    for row in rows:
        if month.contains(row.posting_day):
            line = (Month.of(row.insured_on), row.industry, row.tariff_line)
            apart[_SumKey(row.enterprise, row.province, *line, None, None), row.base_amount] += row.orders
    for (key, amount), count in apart.items():
        if count:
            yield key, amount, count


def _check_month(
    check: Check,
    month: Month,
    period: _IssuedRow,
    sums: dict[Party, list[BookedSum]],
    statements: dict[str, StatementRow],
    lines: dict[str, list[_LineRow]],
) -> None:
    check.compare(f"ledger.period_issued {month}, statements", period.statements, len(sums))
    by_party = {(row.enterprise, row.province): row for row in statements.values() if row.period == str(month)}
    for party in sorted(sums.keys() | by_party.keys()):
        row = by_party.get(party)
        if row is None:
            check.find(f"ledger.statement of {'/'.join(party)} for {month} is missing")
            continue
        try:
            bill = draw_up_bill(month, sums.get(party, []))
        except Refused as error:
            check.find(f"ledger.statement {row.statement_id}: {error}")
            continue
        _compare_bill(check, row, lines[row.statement_id], bill)


def _compare_bill(check: Check, row: StatementRow, lines: list[_LineRow], bill: Bill) -> None:
    name = row.statement_id
    stored = (row.orders, row.exact_amount, row.amount)
    worked_out = (bill.orders, bill.exact_amount, bill.amount)
    check.compare(f"ledger.statement {name}", stored, worked_out)
    kept = {
        line.number: (
            line.kind, line.insured_month, line.industry, line.tariff_line, line.base_amount,
            line.orders, line.exact_amount, line.amount, line.series, line.insured_on,
        )
        for line in lines
    }  # fmt: skip
    drawn = {
        line.number: (
            line.kind, str(line.insured_month), line.industry, line.tariff_line, line.base_amount, line.orders,
            line.exact_amount, line.amount, line.series, line.insured_on,
        )
        for line in bill.lines
    }  # fmt: skip
    check.compare_all(f"ledger.statement_line {name}/", kept, drawn)


def _check_rounding(books: Books, statements: dict[str, StatementRow], verdict: Verdict) -> None:
    """Check that the rounding difference of each statement is posted."""
    check = verdict.check("I4", "what rounding added to a statement is posted to the account rounding")
    posted: Counter[str | None] = Counter()
    for entry in books.entries:
        if entry.kind == "rounding":
            posted[entry.statement_id] += sum(a for kind, _, _, a in postings_of(entry) if kind == "receivable")
    for name, row in statements.items():
        check.compare(f"ledger.journal_entry rounding of {name}", posted[name], row.amount - row.exact_amount)


async def _check_money(
    connection: Connection, books: Books, statements: dict[str, StatementRow], due_dates: DueDates, verdict: Verdict
) -> None:
    check = verdict.check(
        "I3", "every remittance, allocation and late fee is in the journal, and none is for more than is owed"
    )
    allocations = await fetch_structs(
        connection, _AllocationRow, "select * from ledger.allocation order by allocation_id"
    )
    fees = await fetch_structs(connection, _FeeRow, "select * from ledger.late_fee order by late_fee_id")
    entries = {entry.entry_id: entry for entry in books.entries}
    _check_allocations(check, allocations, statements, entries)
    await _check_remittances(connection, check, books, allocations)
    debts = _debts(allocations, statements, due_dates)
    _check_fees(check, fees, allocations, debts, due_dates, entries)
    _check_debts(check, debts)


def _moved(entry: JournalRow, kind: str, party: Party | None = None) -> int:
    """Sum an entry's postings on accounts of one kind (of one party)."""
    return sum(
        amount
        for account, uscc, province, amount in postings_of(entry)
        if account == kind and (party is None or (uscc, province) == party)
    )


def _check_allocations(
    check: Check, allocations: list[_AllocationRow], statements: dict[str, StatementRow], entries: dict[int, JournalRow]
) -> None:
    """Check that an entry settles receivables as its allocations say, by party."""
    said: Counter[tuple[int, str, Party]] = Counter()
    for row in allocations:
        statement = statements[row.statement_id]
        account = "receivable" if row.what == "principal" else "late_fee_receivable"
        said[row.entry_id, account, (statement.enterprise, statement.province)] += row.amount
    for (entry_id, account, party), amount in said.items():
        moved = -_moved(entries[entry_id], account, party)
        check.compare(f"ledger.allocation of entry {entry_id}, {account} {'/'.join(party)}", amount, moved)


async def _check_remittances(
    connection: Connection, check: Check, books: Books, allocations: list[_AllocationRow]
) -> None:
    """Check that each remittance is one entry that debits cash by its amount, for its party only."""
    entries: dict[str, list[JournalRow]] = defaultdict(list)
    for entry in books.entries:
        if entry.remittance_id is not None:
            entries[entry.remittance_id].append(entry)
    rows = await fetch_structs(connection, RemittanceRow, "select * from ledger.remittance")
    check_reversals(check, rows, entries, _principal_settled(allocations))
    for row in rows:
        mine, party = entries.get(row.remittance_id, []), (row.enterprise, row.province)
        name = f"ledger.remittance {row.remittance_id}"
        check.compare(f"{name}, cash", row.amount, sum(_moved(entry, "cash") for entry in mine))
        others = {(u, p) for entry in mine for kind, u, p, _ in postings_of(entry) if kind != "cash"} - {party}
        for part in allocations:
            if part.remittance_id == row.remittance_id:
                allocated = f"ledger.allocation {part.allocation_id} of {name}, effective on"
                check.compare(allocated, part.effective_on, row.received_on)
        if others or len(mine) != 1:
            check.find(f"{name}: {len(mine)} entries, also of {sorted(others)}")


def _principal_settled(allocations: list[_AllocationRow]) -> Counter[tuple[str, str]]:
    """Principal by remittance and statement."""
    settled = Counter[tuple[str, str]]()
    for part in allocations:
        if part.remittance_id is not None and part.what == "principal":
            settled[part.remittance_id, part.statement_id] += part.amount
    return settled


def _debts(
    allocations: list[_AllocationRow], statements: dict[str, StatementRow], due_dates: DueDates
) -> dict[str, Debt]:
    paid: dict[str, list[Paid]] = defaultdict(list)
    for row in allocations:
        if row.what == "principal":
            paid[row.statement_id].append(Paid(Amount(row.amount), row.effective_on))
    return {
        name: Debt(
            name,
            Amount(row.amount),
            due_dates[name][-1].due_on,
            tuple(paid[name]),
            due_on_is_provisional=due_dates[name][-1].is_provisional,
        )
        for name, row in statements.items()
    }


def _check_fees(
    check: Check,
    fees: list[_FeeRow],
    allocations: list[_AllocationRow],
    debts: dict[str, Debt],
    due_dates: DueDates,
    entries: dict[int, JournalRow],
) -> None:
    """Recompute late fees: the last increment's total is the fee, increments add up to it and are posted."""
    sums = Counter[str]()
    last: dict[str, _FeeRow] = {}
    for row in fees:
        name = f"ledger.late_fee {row.late_fee_id} of {row.statement_id}"
        sums[row.statement_id] += row.amount
        check.compare(f"{name}, total", row.total, sums[row.statement_id])
        check.compare(f"{name}, posted", row.amount, _moved(entries[row.entry_id], "late_fee_receivable"))
        last[row.statement_id] = row
    for statement, row in last.items():
        worked_out = accrued_late_fee(debts[statement], row.as_of)
        # A remittance reported, or a due date moved, after the fee was booked lowers it only at the next assessment.
        is_news = len(due_dates[statement]) > 1 or _came_later(allocations, statement, row.as_of)
        is_late_news = worked_out < row.total and is_news
        # Likewise one that was taken back raises it.
        is_late_news |= worked_out > row.total and _was_taken_back(allocations, statement)
        if not is_late_news:
            check.compare(f"ledger.late_fee {row.late_fee_id} of {statement}", row.total, worked_out)


def _came_later(allocations: list[_AllocationRow], statement: str, as_of: date) -> bool:
    """Return whether the statement has a payment effective by `as_of`, which may be reported after the fee."""
    return any(row.statement_id == statement and row.effective_on <= as_of for row in allocations)


def _was_taken_back(allocations: list[_AllocationRow], statement: str) -> bool:
    return any(row.statement_id == statement and row.what == "principal" and row.amount < 0 for row in allocations)


def _check_debts(check: Check, debts: dict[str, Debt]) -> None:
    for name, debt in debts.items():
        if debt.principal > 0 and debt.outstanding < 0:
            check.find(f"ledger.allocation of {name}: {-debt.outstanding} more than is owed")
