"""Check the portal's read model against the books: pages and API show the sums of the closed days and statements.

Worked out here from the ledger's own closed days, by other code than the projection's. A day that is not in the model
yet is none of it (a rebuild may be under way), unless its time is long over.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import date, timedelta
from typing import Final

from services.audit.facts import PATIENCE, Facts
from services.audit.reporting.reports import read_statements
from services.audit.verdict import Check, Verdict
from shared.adapters.postgres.pool import Connection, Record
from shared.contracts.manifests import DayClosed, Outcome, StatementIssued, Total

COUNTED: Final = ("charged", "reversed", "presumed", "excluded", "premium")
Cell = str | int | date | tuple[int, ...] | None
Key = tuple[Cell, ...]
"""The first columns of a row, which name what is counted."""
Rows = dict[Key, tuple[Cell, ...]]
Sums = dict[Key, tuple[int, ...]]
_OVERDUE: Final = """
    select d.day::text as name from reporting.day_closed d where d.received_at < now() - $1::interval
        and not exists (select from reporting.day_projected p where p.day = d.day)
    union all
    select s.statement_id from reporting.statement_issued s where s.received_at < now() - $1::interval
        and not exists (select from reporting.statement_sum m where m.statement_id = s.statement_id)"""
_STANDING: Final = """
    select distinct on (d.id) d.id, s.id as state_id, s.state, d.province, d.enterprise
    from reporting.discrepancy d join reporting.discrepancy_state s on s.discrepancy_id = d.id
    order by d.id, s.id desc"""
_PAID: Final = """
    select remittance_id, m.province, m.enterprise, m.amount, m.received_on, m.reverses,
        r.province as their_province, r.enterprise as their_enterprise, r.amount as their_amount,
        r.received_on as their_day, r.reverses as theirs
    from ledger.remittance r full join reporting.remittance m using (remittance_id)
    where (r.remittance_id is not null and m.remittance_id is not null)
        or coalesce(r.recorded_at, m.received_at) < now() - $1::interval"""
"""Both read the same topic, so what only one of them has after a while was swallowed at the other."""


async def check_portal(connection: Connection, facts: Facts, verdict: Verdict) -> None:
    """All of it, against the ledger's closed days and its statements."""
    days = [closed.reported for closed in facts.closed]
    check = await check_read_model(connection, days, verdict, facts.patience)
    await check_shown_money(connection, await read_statements(connection), check, facts.patience)


async def check_read_model(
    connection: Connection, days: Sequence[DayClosed], verdict: Verdict, patience: timedelta = PATIENCE
) -> Check:
    """Every table of the model of days and of the register, row by row."""
    check = verdict.check("I6", "the portal's figures are those of the closed days, the statements and the register")
    projected = {row["day"] for row in await connection.fetch("select day from reporting.day_projected")}
    known = [day for day in days if day.day in projected]
    for day in sorted(projected - {day.day for day in known}):
        check.find(f"reporting.day_projected {day}: no such day is closed")
    for row in await connection.fetch(_OVERDUE, patience):
        check.find(f"the portal's read model lacks {row['name']} after {patience}")
    for table, key, worked_out in (
        ("daily_sum", 5, sums_of(known)),
        ("daily_reason", 7, reasons_of(known)),
        ("participation", 4, workers_of(known)),
        ("daily_hours", 4, hours_of(known)),
        ("first_time", 2, first_time_of(known)),
        ("monthly_sum", 4, added(sums_of(known), lambda key: (_month(key), *key[1:4]))),
        ("whole_sum", 3, added(sums_of(known), lambda key: key[1:4])),
        ("monthly_first_time", 2, added(first_time_of(known), lambda key: (_month(key), key[1]))),
    ):
        rows = await connection.fetch(f"select * from reporting.{table}")
        check.compare_all(f"reporting.{table}", split(rows, key), worked_out)
    rows = await connection.fetch("select * from reporting.discrepancy_standing")
    check.compare_all("reporting.discrepancy_standing", split(rows, 1), split(await connection.fetch(_STANDING), 1))
    return check


async def check_shown_money(
    connection: Connection, statements: dict[str, StatementIssued], check: Check, patience: timedelta = PATIENCE
) -> None:
    """Check the list of statements and the remittances that both services received against the ledger's."""
    for row in await connection.fetch("select * from reporting.statement_sum"):
        stated = statements.get(row["statement_id"])
        worked_out = None if stated is None else listed(stated)
        check.compare(f"reporting.statement_sum {row['statement_id']}", tuple(row)[1:], worked_out)
    for name, *both in await connection.fetch(_PAID, patience):
        shown, booked = tuple(both[:5]), tuple(both[5:])
        if booked[0] is None:
            check.find(f"remittance {name}: reporting has it, the ledger has not booked it")
        elif shown[0] is None:
            check.find(f"remittance {name}: the ledger has booked it, reporting does not have it")
        else:
            check.compare(f"reporting.remittance {name}", shown, booked)


def listed(stated: StatementIssued) -> Key:
    """A statement as the model lists it, without its id."""
    adjusted = [line.amount for line in stated.lines if line.kind == "adjustment"]
    return (
        stated.period, stated.province, stated.enterprise, stated.as_of, stated.due_on,
        stated.due_on_is_provisional, stated.orders, stated.exact_amount, stated.amount, len(adjusted), sum(adjusted),
        len([line for line in stated.lines if line.kind == "assessed"]),
    )  # fmt: skip


def split(rows: Iterable[Record], key: int) -> Rows:
    """Rows by their first columns; those that count come after them."""
    return {tuple(row)[:key]: tuple(plain(value) for value in tuple(row)[key:]) for row in rows}


def plain(value: Cell | list[int]) -> Cell:
    """A list as a tuple, so that rows compare."""
    return tuple(value) if isinstance(value, list) else value


def placed(days: Iterable[DayClosed]) -> Iterable[tuple[date, Total]]:
    """Totals about orders of a day, a province and an industry, with the day whose close reported them."""
    outcomes = (Outcome.CHARGED, Outcome.REVERSED, Outcome.EXCLUDED)
    for day in days:
        for total in day.totals:
            if total.outcome in outcomes and None not in (total.insured_on, total.province, total.industry):
                yield day.day, total


def sums_of(days: Iterable[DayClosed]) -> Sums:
    """`reporting.daily_sum`."""
    sums: dict[Key, list[int]] = {}
    for day, total in placed(days):
        row = sums.setdefault((total.insured_on, total.province, total.enterprise, total.industry, day), [0] * 5)
        row[COUNTED.index(total.outcome.value)] += total.orders
        row[COUNTED.index("premium")] += total.premium
        if total.reason is not None and total.reason.startswith("assessed:"):
            row[COUNTED.index("presumed")] += total.orders * (1 if total.outcome == Outcome.CHARGED else -1)
    return {key: tuple(row) for key, row in sums.items()}


def reasons_of(days: Iterable[DayClosed]) -> Sums:
    """`reporting.daily_reason`."""
    counts = Counter[Key]()
    for day, total in placed(days):
        if total.outcome != Outcome.CHARGED:
            place = (total.insured_on, total.province, total.enterprise, total.industry)
            counts[*place, total.outcome.value, (total.reason or "").split(":")[0], day] += total.orders
    return {key: (orders,) for key, orders in counts.items()}


def workers_of(days: Iterable[DayClosed]) -> Sums:
    """`reporting.participation`."""
    counts = Counter[Key]()
    for day in days:
        for count in day.workers:
            counts[count.insured_on, count.province, count.enterprise, day.day] += count.workers
    return {key: (workers,) for key, workers in counts.items()}


def hours_of(days: Iterable[DayClosed]) -> Rows:
    """`reporting.daily_hours`."""
    sums: dict[Key, list[int]] = {}
    for day in days:
        for count in day.hours:
            row = sums.setdefault((count.insured_on, count.province, count.enterprise, day.day), [0] * 24)
            row[:] = [sum(both) for both in zip(row, count.orders, strict=True)]
    return {key: (tuple(row),) for key, row in sums.items()}


def first_time_of(days: Iterable[DayClosed]) -> Sums:
    """`reporting.first_time`."""
    counts = Counter[Key]()
    for day in days:
        for count in day.first_time:
            counts[day.day, count.province] += count.workers
    return {key: (workers,) for key, workers in counts.items()}


def _month(key: Key) -> date:
    """The first day of the month of the day that a key begins with."""
    day = key[0]
    assert isinstance(day, date)
    return day.replace(day=1)


def added(rows: Sums, group: Callable[[Key], Key]) -> Sums:
    """Rows added up, column by column, by what `group` makes of a key."""
    grouped: dict[Key, list[int]] = {}
    for key, row in rows.items():
        sums = grouped.setdefault(group(key), [0] * len(row))
        sums[:] = [sum(both) for both in zip(sums, row, strict=True)]
    return {key: tuple(sums) for key, sums in grouped.items()}
