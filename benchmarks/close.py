"""Measure the close of a day against one `GROUP BY` with distinct workers over the same rows; and a month's statements.

The close is charging's whole answer to `days.closing.v1` (settle, re-sends, numbers, totals, workers, seal) and the
ledger's part of it (freeze the cut, book what was settled, compare, close). Every worker of the day is met for the
first time, which makes it the most expensive day. The rival computes the day's totals and the distinct workers of each,
by the first eight bytes of their token. `benchmarks/day.py` says what day it is; it is vacuumed before anything is
timed.

The month has 31 such days: the other thirty are copies of the day's booked lines, as their manifests would have left.
"""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, Final

import msgspec
from sqlalchemy.ext.asyncio import AsyncEngine

from benchmarks import day
from benchmarks.authors import AUTHORS, CHARGING
from benchmarks.orders import SCHEME
from services.charging.close import count_day as counting
from services.ledger.billing.issue_statements import issue_statements
from services.ledger.close.close_day import close_day
from services.ledger.close.compare_count import take_count
from services.ledger.close.deployment_counts import CountingDeployments
from shared.adapters.files.holiday_calendar import load_calendar
from shared.adapters.files.scheme import load_scheme
from shared.adapters.postgres.engine import open_engine
from shared.adapters.postgres.pool import Connection, open_pool
from shared.contracts.manifests import DayClosing
from shared.domain.calendar import Month, day_bounds
from shared.runtime.settings import Settings

RIVALS: Final = 3
_RIVAL: Final = """
    select enterprise, region / 10000 as province, industry, tariff_line, reason, count(*), sum(premium),
        count(distinct worker_key)
    from charging.entry where kind = 1 and accepted_at >= $1 and accepted_at < $2 group by 1, 2, 3, 4, 5"""
_OUT: Final = "select payload from {}.outbox where topic = $1 order by id desc limit 1"


async def measure_close(owner: str, connection: Connection, rivals: int = RIVALS) -> dict[str, Any]:
    """Seconds of each part of the close of the day that `make_day` made, with the median of its rivals."""
    orders = await connection.fetchval("select count(*) from charging.entry where kind = 1")
    times = sorted([await _time_rival(connection) for _ in range(rivals)])
    spans = await close(owner, connection)
    whole, rival = sum(spans.values()), times[len(times) // 2]
    return {
        "acceptances": orders,
        "group_by_seconds": round(rival, 2),
        "close_seconds": round(whole, 2),
        "close": round(whole / rival, 2),
        **{f"{name}_seconds": round(seconds, 2) for name, seconds in spans.items()},
    }


async def measure_month(owner: str, connection: Connection) -> dict[str, Any]:
    """Seconds that the statements of 31 days like the closed one take."""
    async with open_engine(day.login(owner, "danbao_ledger"), size=1) as engine:
        statements, seconds = await _bill_month(engine, connection)
    lines = await connection.fetchval("select count(*) from ledger.day_line")
    return {"lines": lines, "statements_issued": statements, "statements_seconds": round(seconds, 2)}


async def _time_rival(connection: Connection) -> float:
    began = time.perf_counter()
    await connection.fetch(_RIVAL, *day_bounds(day.DAY))
    return time.perf_counter() - began


async def close(owner: str, connection: Connection) -> dict[str, float]:
    """Close the day that `make_day` made; seconds of each part."""
    spans: dict[str, float] = {}

    @asynccontextmanager
    async def timed(name: str) -> AsyncIterator[None]:
        began = time.perf_counter()
        yield
        spans[name] = time.perf_counter() - began

    as_of = day_bounds(day.DAY)[0] + timedelta(hours=36)
    async with (
        open_pool(day.login(owner, "danbao_charging"), size=1) as pool,
        open_engine(day.login(owner, "danbao_ledger"), size=1) as engine,
    ):
        async with timed("ledger_freezes"):
            await close_day(engine, day.DAY, as_of, 36)
        question = await connection.fetchval(_OUT.format("ledger"), "days.closing.v1")
        closing = msgspec.json.decode(question, type=DayClosing)
        async with timed("charging_answers"):
            await counting.count_day(pool, load_scheme(SCHEME), closing, CHARGING)
        answer = await connection.fetchval(_OUT.format("charging"), "days.counted.v1")
        async with timed("ledger_closes"):
            state = await take_count(engine, answer, CountingDeployments(AUTHORS))
        if state != "closed":
            raise RuntimeError(f"the day is {state}")
    return spans


async def _bill_month(engine: AsyncEngine, connection: Connection) -> tuple[int, float]:
    """How many statements, and the seconds they took."""
    month = Month.of(day.DAY)
    await _copy_days(connection, month)
    as_of = day_bounds(month.last_day)[1] + timedelta(hours=36)
    began = time.perf_counter()
    answer = await issue_statements(engine, month, as_of, load_calendar(Settings().calendar))
    if answer.state != "issued":
        raise RuntimeError(f"{month}: {answer}")
    return answer.statements, time.perf_counter() - began


async def _copy_days(connection: Connection, month: Month) -> None:
    """As owner, with the books' triggers off: each other day of the month becomes the first one again."""
    names = await connection.fetch(
        """select table_name, array_agg(column_name::text) as columns from information_schema.columns
        where table_schema = 'ledger' and table_name = any($1) and is_identity = 'NO' group by 1""",
        ["day_line", "day_closing", "day_count", "day_closed", "day_sum"],
    )
    async with connection.transaction():
        await connection.execute("set local session_replication_role = replica")
        for row in names:
            columns = ", ".join(row["columns"])
            moved = ", ".join(
                f"{name} + n" if name in {"day", "posting_day", "insured_on"} else name for name in row["columns"]
            )
            await connection.execute(
                f"insert into ledger.{row['table_name']} ({columns}) select {moved} from ledger.{row['table_name']},"
                f" generate_series(1, {month.last_day.day - 1}) n"
            )
    await connection.execute("vacuum analyze ledger.day_line")
