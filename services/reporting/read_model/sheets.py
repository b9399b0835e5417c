"""Query a sheet: the figures of some days of some place. A handful of indexed queries for any amount of data.

They run over a connection whose role sees the rows of its scope only (row-level security), so nothing here cuts
to a scope; `Where` narrows further.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.reporting.read_model.responses import (
    Amendment,
    DayPart,
    Delays,
    Figures,
    MonthPart,
    Part,
    Participation,
    Period,
    Reason,
    Sheet,
    Where,
)
from shared.domain.books.delays import BUCKETS
from shared.domain.calendar import Month

Values = Mapping[str, str | int | date]
"""Parameters of a query, by name."""
LINE_DAYS: Final = 30
_SUMS: Final = ", ".join(
    f"coalesce(sum({name}), 0)::bigint as {name}" for name in ("charged", "reversed", "presumed", "excluded", "premium")
)
_DELAYS: Final = ", ".join(f"coalesce(sum(delays[{n + 1}]), 0)::bigint" for n in range(BUCKETS))
_HOURS: Final = ", ".join(f"sum(orders[{n + 1}])::bigint" for n in range(24))


@dataclass(frozen=True, slots=True)
class Span:
    """Days in a row, both included, and those before that they are compared with."""

    first: date
    last: date
    before: tuple[date, date]

    @classmethod
    def of_day(cls, day: date) -> "Span":
        """A day, and the one before."""
        return cls(day, day, (day - timedelta(days=1),) * 2)

    @classmethod
    def of_month(cls, month: Month) -> "Span":
        """A calendar month, and the one before."""
        earlier = Month.of(month.first_day - timedelta(days=1))
        return cls(month.first_day, month.last_day, (earlier.first_day, earlier.last_day))

    @property
    def is_day(self) -> bool:
        return self.first == self.last

    @property
    def line(self) -> tuple[date, date]:
        """The days that are drawn as a line."""
        return (self.last - timedelta(days=LINE_DAYS - 1), self.last) if self.is_day else (self.first, self.last)


async def read_sheet(
    connection: AsyncConnection, where: Where, span: Span, most_amendments: int | None = None
) -> Sheet:
    """Everything about these days of this place; zeros where there is nothing. All amendments, or the newest ones."""
    now, before, parts = await _read_parts(connection, where, span)
    participation, worker_days = await _read_participation(connection, where, span)
    amendments, amendment_count = await _read_amendments(connection, where, span, most_amendments)
    return Sheet(
        where=where,
        figures=Period(first=span.first, last=span.last, **now),
        before=Period(first=span.before[0], last=span.before[1], **before),
        provinces=_parts(parts["province"], worker_days),
        enterprises=_parts(parts["enterprise"], worker_days),
        industries=_parts(parts["industry"], {}),
        days=await _read_days(connection, where, span),
        reasons=await _read_reasons(connection, where, span),
        # Neither is reported by industry, and those of all industries are no figures of one.
        delays=None if where.industry else await _read_delays(connection, where, span),
        hours=None if where.industry else await _read_hours(connection, where, span),
        participation=participation,
        amendments=amendments,
        amendment_count=amendment_count,
    )


async def read_months(connection: AsyncConnection, where: Where, months: int = 13) -> list[MonthPart]:
    """The newest months with figures, and no older ones than so many, oldest first, by insured month."""
    own = f"from reporting.monthly_sum where true{_within(where)}"
    sql = f"""
        select month, {_SUMS} {own}
            and month > cast((select max(month) {own}) - make_interval(months => :months) as date)
        group by month order by month desc"""
    rows = await _fetch(connection, sql, {"months": months, **_values(where)})
    return [MonthPart(month=str(Month.of(row["month"])), **_counts(row)) for row in reversed(rows)]


async def read_since_start(connection: AsyncConnection, where: Where) -> Figures:
    """Everything of every insured day."""
    sql = f"select {_SUMS} from reporting.whole_sum where true{_within(where)}"
    (row,) = await _fetch(connection, sql, _values(where))
    return Figures(**_counts(row))


_NAMES: Final = ("province", "enterprise", "industry")
_Parts = dict[str, dict[str, Mapping[str, int]]]


async def _read_parts(
    connection: AsyncConnection, where: Where, span: Span
) -> tuple[Mapping[str, int], Mapping[str, int], _Parts]:
    """Sums of the span and of the one before, and of the span by province, enterprise and industry: one pass."""
    sql = f"""
        select is_now, province, enterprise, industry, {_SUMS}
        from (select *, insured_on >= :first as is_now from reporting.daily_sum
              where insured_on between :before and :last{_within(where)}) s
        group by grouping sets ((is_now), (is_now, province), (is_now, enterprise), (is_now, industry))"""
    values: Values = {"before": span.before[0], "first": span.first, "last": span.last, **_values(where)}
    sums: dict[bool, Mapping[str, int]] = {}
    parts: _Parts = {name: {} for name in _NAMES}
    for row in await _fetch(connection, sql, values):
        name = next((kind for kind in _NAMES if row[kind] is not None), None)
        if name is None:
            sums[row["is_now"]] = _counts(row)
        elif row["is_now"]:
            parts[name][row[name]] = _counts(row)
    return sums.get(True, {}), sums.get(False, {}), parts


def _parts(parts: Mapping[str, Mapping[str, int]], worker_days: Mapping[str, int]) -> list[Part]:
    """Those with most orders first."""
    named = [Part(code=code, worker_days=worker_days.get(code), **counts) for code, counts in parts.items()]
    return sorted(named, key=lambda part: (-part.orders, part.code))


async def _read_days(connection: AsyncConnection, where: Where, span: Span) -> list[DayPart]:
    sql = f"""
        select d.*, p.workers from (
            select insured_on, {_SUMS} from reporting.daily_sum
            where insured_on between :first and :last{_within(where)} group by insured_on) d
        left join (
            select insured_on, sum(workers)::bigint as workers from reporting.participation
            where insured_on between :first and :last{_counted(where)} group by insured_on) p using (insured_on)
        order by insured_on"""
    rows = await _fetch(connection, sql, {"first": span.line[0], "last": span.line[1], **_values(where)})
    return [
        DayPart(day=row["insured_on"], worker_days=None if where.industry else row["workers"] or 0, **_counts(row))
        for row in rows
    ]


async def _read_participation(
    connection: AsyncConnection, where: Where, span: Span
) -> tuple[Participation, dict[str, int]]:
    """The span's, and worker-days by code of province and of enterprise."""
    if where.industry is not None:  # workers are not reported by industry
        return Participation(), {}
    sql = f"""
        select province, enterprise, sum(workers)::bigint as workers from reporting.participation
        where insured_on between :first and :last{_within(where, _NAMES[:2])} group by 1, 2"""
    values: Values = {"first": span.first, "last": span.last, **_values(where)}
    worker_days: dict[str, int] = {}
    total = 0
    for row in await _fetch(connection, sql, values):
        if row["enterprise"] is not None:
            worker_days[row["enterprise"]] = worker_days.get(row["enterprise"], 0) + row["workers"]
        if row["enterprise"] == where.enterprise:
            worker_days[row["province"]] = row["workers"]
            total += row["workers"]
    new, since = (None, None) if where.enterprise else await _read_first_time(connection, where, span)
    is_distinct = span.is_day and where.province is not None
    participation = Participation(worker_days=total, is_distinct=is_distinct, first_time=new, since_start=since)
    return participation, worker_days


async def _read_first_time(connection: AsyncConnection, where: Where, span: Span) -> tuple[int, int]:
    """In the span, and ever up to its end: by the closes of these days."""
    own = _within(where, ("province",))
    sql = f"""
        select coalesce(sum(workers) filter (where day >= :first), 0)::bigint as new,
            (coalesce(sum(workers) filter (where day >= :month), 0) + (select coalesce(sum(workers), 0)
                from reporting.monthly_first_time where month < :month{own}))::bigint as since
        from reporting.first_time where day between least(:first, :month) and :last{own}"""
    values = {"first": span.first, "last": span.last, "month": span.last.replace(day=1), **_values(where)}
    row = (await connection.execute(text(sql), values)).one()
    return row.new, row.since


async def _read_reasons(connection: AsyncConnection, where: Where, span: Span) -> list[Reason]:
    sql = f"""
        select outcome, reason, sum(orders)::bigint as orders from reporting.daily_reason
        where insured_on between :first and :last{_within(where)} group by 1, 2 order by 1, 3 desc, 2"""
    rows = await _fetch(connection, sql, {"first": span.first, "last": span.last, **_values(where)})
    return [Reason(**row) for row in rows]


async def _read_delays(connection: AsyncConnection, where: Where, span: Span) -> Delays:
    own = _within(where, _NAMES[:2])
    sql = f"select {_DELAYS} from reporting.day_figure where insured_on between :first and :last{own}"
    row = (await connection.execute(text(sql), {"first": span.first, "last": span.last, **_values(where)})).one()
    return Delays(orders=tuple(row))


async def _read_hours(connection: AsyncConnection, where: Where, span: Span) -> tuple[int, ...] | None:
    own = _within(where, _NAMES[:2])
    sql = f"select {_HOURS} from reporting.daily_hours where insured_on between :first and :last{own}"
    row = (await connection.execute(text(sql), {"first": span.first, "last": span.last, **_values(where)})).one()
    return None if row[0] is None else tuple(row)


async def _read_amendments(
    connection: AsyncConnection, where: Where, span: Span, most: int | None
) -> tuple[list[Amendment], int]:
    """The newest amendments, and how many there are."""
    # Two queries, each with its own index: for one, the planner may read all rows that an enterprise ever had.
    sql = f"""
        select day, insured_on, {_SUMS}, count(*) over () as amendments from (
            select * from reporting.daily_sum
            where day <> insured_on and insured_on between :first and :last{_within(where)}
            union all
            select * from reporting.daily_sum
            where day <> insured_on and day between :first and :last and insured_on not between :first and :last
                {_within(where)}) amended
        group by 1, 2 order by 1 desc, 2 desc{"" if most is None else f" limit {most}"}"""
    rows = await _fetch(connection, sql, {"first": span.first, "last": span.last, **_values(where)})
    amendments = [Amendment(day=row["day"], insured_on=row["insured_on"], **_counts(row)) for row in rows]
    return amendments, rows[0]["amendments"] if rows else 0


async def _fetch(connection: AsyncConnection, sql: str, values: Values) -> list[RowMapping]:
    return list((await connection.execute(text(sql), values)).mappings())


def _within(where: Where, names: tuple[str, ...] = _NAMES) -> str:
    """The conditions of `where` on the columns of these names."""
    return "".join(f" and {name} = :{name}" for name in names if getattr(where, name) is not None)


def _counted(where: Where) -> str:
    """The rows of `participation` that count for `where`: of the enterprise, or over all of them."""
    rest = "" if where.enterprise else " and enterprise is null"
    return _within(where, _NAMES[:2]) + rest


def _values(where: Where) -> dict[str, str]:
    return {name: value for name in _NAMES if (value := getattr(where, name)) is not None}


def _counts(row: RowMapping) -> dict[str, int]:
    return {name: row[name] for name in ("charged", "reversed", "presumed", "excluded", "premium")}
