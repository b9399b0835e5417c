"""A year of closed days in the read model: the newest two projected, the others their copies, made by the set."""

from datetime import date, timedelta
from typing import Final

import asyncpg

from shared.contracts.manifests import AcceptancesByHour, DayClosed, FirstTime, Total
from shared.domain.scheme.province import PROVINCES
from tests.integration.reporting.reporting_harness import BLUE, GREEN, closed_day, total, worker_count

LAST = date(2026, 10, 31)
ENTERPRISES: Final = (BLUE, GREEN, *(f"9131000000000000{number:02d}" for number in range(3)))
PLACES: Final = tuple(PROVINCES)[:31]
INDUSTRIES: Final = {"instant_delivery": (7, 2_500), "ride_hailing": (8, 401)}
AMENDED: Final = (1, 3)
"""Days before its own for which a close reports late orders, in a tenth of the places."""
FINDINGS_A_DAY: Final = 40
OPEN_FINDINGS: Final = 60


def a_day(day: date) -> DayClosed:
    """31 provinces, five enterprises, two industries, and some of earlier days; the same on every day."""
    totals, workers, hours = [], [], []
    for number, province in enumerate(PLACES):
        for enterprise in ENTERPRISES:
            late = [day - timedelta(days=back) for back in AMENDED] if number % 10 == 0 else []
            for insured_on in (day, *late):
                totals += _totals(insured_on, province, enterprise)
                workers.append(worker_count(insured_on, enterprise, 40 + number, province))
                orders = [number % 7 + hour for hour in range(24)]
                hours.append(
                    AcceptancesByHour(insured_on=insured_on, province=province, enterprise=enterprise, orders=orders)
                )
        workers.append(worker_count(day, None, 90 + number, province))
    first_time = [FirstTime(province=place, workers=3) for place in PLACES]
    return closed_day(day, totals, workers=workers, first_time=first_time, hours=hours)


def _totals(insured_on: date, province: str, enterprise: str) -> list[Total]:
    totals = []
    for industry, (line, base) in INDUSTRIES.items():
        known = {"province": province, "enterprise": enterprise, "industry": industry}
        totals += [
            total(insured_on, "charged", 500, **known, tariff_line=line, premium=500 * base),
            total(insured_on, "reversed", 4, **known, tariff_line=line, premium=-4 * base, reason="cancelled"),
            total(insured_on, "excluded", 3, **known, reason="enterprise_not_enrolled"),
        ]
    return totals


_DATED: Final = {
    "daily_sum": "insured_on - {n}, province, enterprise, industry, day - {n}, charged, reversed, presumed, excluded,"
    " premium",
    "daily_reason": "insured_on - {n}, province, enterprise, industry, outcome, reason, day - {n}, orders",
    "participation": "insured_on - {n}, province, enterprise, day - {n}, workers",
    "daily_hours": "insured_on - {n}, province, enterprise, day - {n}, orders",
    "first_time": "day - {n}, province, workers",
}
"""The columns of the model's tables of days, in their order, `n` days earlier."""
_SUMS: Final = "sum(charged), sum(reversed), sum(presumed), sum(excluded), sum(premium)"
_SUMMED: Final = {
    "monthly_sum": f"select date_trunc('month', insured_on)::date, province, enterprise, industry, {_SUMS}"
    " from reporting.daily_sum group by 1, 2, 3, 4",
    "whole_sum": f"select province, enterprise, industry, {_SUMS} from reporting.daily_sum group by 1, 2, 3",
    "monthly_first_time": "select date_trunc('month', day)::date, province, sum(workers) from reporting.first_time"
    " group by 1, 2",
}
_DAY: Final = f"date '{LAST}'"
_TOLD: Final = f"""
insert into reporting.day_closed (day, as_of, body, body_sha256)
    select {_DAY} - n, as_of - make_interval(days => n), body, body_sha256
    from reporting.day_closed, generate_series($1::int, $2::int) n where day = {_DAY};
insert into reporting.day_projected select {_DAY} - n from generate_series($1::int, $2::int) n;
insert into reporting.day_built select {_DAY} - n from generate_series($1::int, $2::int) n;
insert into reporting.day_examined (day, findings) select {_DAY} - n, 0 from generate_series($1::int, $2::int) n;
insert into reporting.day_figure select {_DAY} - n, {_DAY} - n, e, p, '{{9,8,7,6,5,4,3,2}}', 44, 3
    from generate_series($1::int, $2::int) n, unnest($3::text[]) e, unnest($4::text[]) p order by n desc;
insert into reporting.report (report_id, kind, day, period, province, body, body_sha256)
    select 'coverage.' || ({_DAY} - n) || '.' || r.province, r.kind, {_DAY} - n, to_char({_DAY} - n, 'YYYY-MM'),
        r.province, r.body, r.body_sha256
    from reporting.report r, generate_series($1::int, $2::int) n where r.kind = 'coverage' and r.day = {_DAY}
    order by n desc;
"""
_STATED: Final = f"""
with months as (select distinct to_char({_DAY} - n, 'YYYY-MM') as period from generate_series($1::int, $2::int) n)
insert into reporting.statement_issued (statement_id, period, province, enterprise, body, body_sha256)
    select m.period || '.' || p || '.' || e, m.period, p, e, s.body, s.body_sha256
    from months m, unnest($3::text[]) e, unnest($4::text[]) p,
        (select * from reporting.statement_issued order by statement_id limit 1) s
    on conflict do nothing;
insert into reporting.statement_sum
    select i.statement_id, i.period, i.province, i.enterprise, s.issued_as_of, s.due_on,
        s.due_on_is_provisional, s.orders, s.exact_amount, s.amount, s.adjustments, s.adjusted, s.assessed
    from reporting.statement_issued i, (select * from reporting.statement_sum order by statement_id limit 1) s
    on conflict do nothing;
insert into reporting.report (report_id, kind, period, province, enterprise, statement_id, body, body_sha256)
    select 'declaration.' || i.statement_id, 'declaration', i.period, i.province, i.enterprise, i.statement_id,
        r.body, r.body_sha256
    from reporting.statement_issued i, (select * from reporting.report where kind = 'declaration' limit 1) r
    on conflict do nothing;
insert into reporting.remittance (remittance_id, province, enterprise, amount, received_on)
    select 'paid-' || i.statement_id, i.province, i.enterprise, 2500, (i.period || '-16')::date
    from reporting.statement_issued i on conflict do nothing;
insert into reporting.delivery (report_id, state, attempts)
    select report_id, 'received', 1 from reporting.report on conflict do nothing;
insert into reporting.receipt (report_id, receipt_id, body_sha256, received_at, unconfirmed)
    select r.report_id, 'r-' || r.number, r.body_sha256, now(), '[]' from reporting.report r on conflict do nothing;
insert into reporting.look (viewer, role, what, subject)
    select 'somebody', 'national', 'orders_of_finding', n::text from generate_series($1::int * 50, $2::int * 50) n;
"""
_FOUND: Final = """
with new as (
    insert into reporting.discrepancy (identity_sha256, kind, key, day, period, province, enterprise, detail)
    select encode(sha256(convert_to(n || '.' || each, 'utf8')), 'hex'),
        (array['sequence_gap', 'late_acceptances', 'refused'])[1 + each % 3], n || '.' || each, {day} - n,
        to_char({day} - n, 'YYYY-MM'), ($4::text[])[1 + (each + n) % 31], ($3::text[])[1 + each % 5], 'found'
    from generate_series($1::int, $2::int) n, generate_series(1, {a_day}) each order by n desc, each
    returning id)
insert into reporting.discrepancy_state (discrepancy_id, state, actor, note)
    select id, state, 'danbao', 'test' from new, (values (1, 'open'), (2, 'corrected')) s (turn, state)
    order by turn, id
""".replace("{day}", _DAY).replace("{a_day}", str(FINDINGS_A_DAY))
_OPENED: Final = """
insert into reporting.discrepancy_state (discrepancy_id, state, actor, note)
    select id, 'open', 'danbao', 'again' from reporting.discrepancy order by id limit $1
"""


async def copies_agree(owner: asyncpg.Connection) -> list[str]:
    """The tables in which the day before the last, as it was projected, is not the copy of the last one; or in which
    the sums of both are not the projected ones. Made before anything is copied."""
    wrong = []
    for table, columns in _DATED.items():
        last, before = (f"select {columns.format(n=n)} from reporting.{table} where day = {_DAY} - {n}" for n in (0, 1))
        copied = f"select {columns.format(n=1)} from reporting.{table} where day = {_DAY}"
        before = before.replace("insured_on - 1", "insured_on").replace("day - 1,", "day,", 1)
        if await _differ(owner, copied, before) or not await owner.fetchval(f"select count(*) from ({last}) l"):
            wrong.append(table)
    wrong += [name for name, sql in _SUMMED.items() if await _differ(owner, sql, f"select * from reporting.{name}")]
    return wrong


async def _differ(owner: asyncpg.Connection, one: str, other: str) -> bool:
    sql = f"select exists (({one}) except all ({other})) or exists (({other}) except all ({one}))"
    return bool(await owner.fetchval(sql))


async def copy_back(owner: asyncpg.Connection, first: int, last: int) -> None:
    """Days `first` to `last` before the newest, oldest first as they would come, with all rows that belong to them."""
    async with owner.transaction():
        for part in filter(str.strip, _TOLD.split(";\n")):
            await _run(owner, part, first, last)
        for table, columns in _DATED.items():
            rows = f"select {columns.format(n='n')} from reporting.{table}, generate_series($1::int, $2::int) n"
            await _run(owner, f"insert into reporting.{table} {rows} where day = {_DAY} order by n desc", first, last)
        for table, sql in _SUMMED.items():
            await owner.execute(f"truncate reporting.{table}")
            await owner.execute(f"insert into reporting.{table} {sql} order by 1, 2, 3")
        for part in filter(str.strip, _STATED.split(";\n")):
            await _run(owner, part, first, last)
        await _run(owner, _FOUND, first, last)
    await owner.execute("vacuum analyze")


async def open_some(owner: asyncpg.Connection) -> None:
    """Reopen OPEN_FINDINGS findings, independent of the register's length."""
    await owner.execute(_OPENED, OPEN_FINDINGS)


async def _run(owner: asyncpg.Connection, sql: str, first: int, last: int) -> None:
    values = (first, last, list(ENTERPRISES), list(PLACES))
    await owner.execute(sql, *values[: max(n for n in range(5) if n == 0 or f"${n}" in sql)])
