"""Project a closed day or a statement as received to the rows that pages read: live and for a rebuild."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from datetime import date

from sqlalchemy import Table, insert
from sqlalchemy.dialects.postgresql import insert as insert_once
from sqlalchemy.ext.asyncio import AsyncConnection

from services.reporting.read_model import read_model_tables as tables
from services.reporting.register.figure_bounds import check_day, check_statement
from shared.contracts.manifests import DayClosed, Outcome, StatementIssued, Total

ASSESSED = "assessed:"
"""Prefix of the reason of totals of presumed orders (shared/contracts/manifests.py)."""
Row = dict[str, date | str | int | list[int] | None]
Place = tuple[date, str, str, str]
"""Insured day, province, enterprise, industry."""


async def project_day(connection: AsyncConnection, closed: DayClosed) -> bool:
    """Write the rows of a closed day, once; False where they are there. Of two writers one waits.

    Raises `Refused` for absurd figures: the sums of the good days would overflow with them.
    """
    mark = insert_once(tables.DAY_PROJECTED).values(day=closed.day).on_conflict_do_nothing()
    if await connection.scalar(mark.returning(tables.DAY_PROJECTED.c.day)) is None:
        return False
    check_day(closed)
    sums = _sums(closed)
    await _add(
        connection,
        tables.DAILY_SUM,
        [{**_placed(place), "day": closed.day, **row} for place, row in sums.items()],
    )
    await _add(connection, tables.DAILY_REASON, _reasons(closed))
    await _add(connection, tables.PARTICIPATION, _participation(closed))
    await _add(connection, tables.DAILY_HOURS, _hours(closed))
    first_time = Counter[str]()
    for count in closed.first_time:
        first_time[count.province] += count.workers
    new: list[Row] = [
        {"day": closed.day, "province": province, "workers": workers} for province, workers in first_time.items()
    ]
    await _add(connection, tables.FIRST_TIME, new)
    await _add_to_months(connection, closed.day, sums, first_time)
    return True


async def project_statement(connection: AsyncConnection, statement: StatementIssued) -> None:
    """Write the row of a statement, once; raises `Refused` for absurd figures."""
    check_statement(statement)
    adjustments = [line.amount for line in statement.lines if line.kind == "adjustment"]
    row = {
        "statement_id": statement.statement_id,
        "period": statement.period,
        "province": statement.province,
        "enterprise": statement.enterprise,
        "issued_as_of": statement.as_of,
        "due_on": statement.due_on,
        "due_on_is_provisional": statement.due_on_is_provisional,
        "orders": statement.orders,
        "exact_amount": statement.exact_amount,
        "amount": statement.amount,
        "adjustments": len(adjustments),
        "adjusted": sum(adjustments),
        "assessed": sum(line.kind == "assessed" for line in statement.lines),
    }
    await connection.execute(insert_once(tables.STATEMENT_SUM).values(row).on_conflict_do_nothing())


def place_of(total: Total) -> Place | None:
    """The place of a total; None for a total without one (an event without a province carries no money)."""
    if total.insured_on is None or total.province is None or total.industry is None:
        return None
    return total.insured_on, total.province, total.enterprise, total.industry


def _sums(closed: DayClosed) -> dict[Place, Counter[str]]:
    sums: dict[Place, Counter[str]] = defaultdict(lambda: Counter(dict.fromkeys(tables.COUNTS, 0)))
    for total in closed.totals:
        place = place_of(total)
        if place is None or total.outcome not in (Outcome.CHARGED, Outcome.REVERSED, Outcome.EXCLUDED):
            continue
        sums[place][total.outcome.value] += total.orders
        sums[place]["premium"] += total.premium
        if (total.reason or "").startswith(ASSESSED):
            sums[place]["presumed"] += total.orders if total.outcome == Outcome.CHARGED else -total.orders
    return sums


def _placed(place: Place) -> Row:
    insured_on, province, enterprise, industry = place
    return {"insured_on": insured_on, "province": province, "enterprise": enterprise, "industry": industry}


def _reasons(closed: DayClosed) -> list[Row]:
    counts = Counter[tuple[Place, str, str]]()
    for total in closed.totals:
        place = place_of(total)
        if place is not None and total.outcome in (Outcome.REVERSED, Outcome.EXCLUDED):
            reason = (total.reason or "").partition(":")[0]  # of an assessed series, not which
            counts[place, total.outcome.value, reason] += total.orders
    return [
        _placed(place) | {"day": closed.day, "outcome": outcome, "reason": reason, "orders": orders}
        for (place, outcome, reason), orders in counts.items()
    ]


def _participation(closed: DayClosed) -> list[Row]:
    workers = Counter[tuple[date, str, str | None]]()
    for count in closed.workers:
        workers[count.insured_on, count.province, count.enterprise] += count.workers
    return [
        {
            "insured_on": insured_on,
            "province": province,
            "enterprise": enterprise,
            "day": closed.day,
            "workers": total,
        }
        for (insured_on, province, enterprise), total in workers.items()
    ]


def _hours(closed: DayClosed) -> list[Row]:
    hours: dict[tuple[date, str, str], list[int]] = {}
    for count in closed.hours:
        key = count.insured_on, count.province, count.enterprise
        known = hours.get(key, [0] * len(count.orders))
        hours[key] = [sum(pair) for pair in zip(known, count.orders, strict=True)]
    return [
        {"insured_on": insured_on, "province": province, "enterprise": enterprise, "day": closed.day, "orders": orders}
        for (insured_on, province, enterprise), orders in hours.items()
    ]


async def _add_to_months(
    connection: AsyncConnection, day: date, sums: Mapping[Place, Counter[str]], first_time: Counter[str]
) -> None:
    months: dict[Place, Counter[str]] = defaultdict(lambda: Counter(dict.fromkeys(tables.COUNTS, 0)))
    whole: dict[tuple[str, str, str], Counter[str]] = defaultdict(lambda: Counter(dict.fromkeys(tables.COUNTS, 0)))
    for (insured_on, province, enterprise, industry), row in sums.items():
        for name, count in row.items():
            months[insured_on.replace(day=1), province, enterprise, industry][name] += count
            whole[province, enterprise, industry][name] += count
    names = ("province", "enterprise", "industry")
    by_month: list[Row] = [
        {"month": month, "province": province, "enterprise": enterprise, "industry": industry, **row}
        for (month, province, enterprise, industry), row in sorted(months.items(), key=str)
    ]
    in_all: list[Row] = [
        {"province": province, "enterprise": enterprise, "industry": industry, **row}
        for (province, enterprise, industry), row in sorted(whole.items(), key=str)
    ]
    await _upsert(connection, tables.MONTHLY_SUM, ("month", *names), by_month)
    await _upsert(connection, tables.WHOLE_SUM, names, in_all)
    new: list[Row] = [
        {"month": day.replace(day=1), "province": province, "workers": workers}
        for province, workers in first_time.items()
    ]
    await _upsert(connection, tables.MONTHLY_FIRST_TIME, ("month", "province"), new)


async def _add(connection: AsyncConnection, table: Table, rows: list[Row]) -> None:
    if rows:
        await connection.execute(insert(table), rows)


async def _upsert(connection: AsyncConnection, table: Table, key: tuple[str, ...], rows: list[Row]) -> None:
    """Add to the rows under the key."""
    if not rows:
        return
    statement = insert_once(table)
    more = {c.name: c + statement.excluded[c.name] for c in table.c if c.name not in key}
    await connection.execute(statement.on_conflict_do_update(index_elements=key, set_=more), rows)
