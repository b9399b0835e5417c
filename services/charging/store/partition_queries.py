"""Asking for few rows among millions: by an order's id, by a worker, by a batch. Reads only.

The part of each day is asked by itself: to plan over the parts of five years takes longer than to look into one, and
all rows of an order are in one. A part that is still written to has summaries of stretches of it, a sealed one has
indexes (`charging.seal_partition`).
"""

from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager
from datetime import date
from typing import Any, Final

from shared.adapters.postgres.pool import Connection, Pool, Waits, open_pool
from shared.domain.calendar import day_bounds

# The planner knows too little of a part that grows to choose its summaries by itself, and would go through all of the
# key's index, where order and worker stand behind the time.
_SETTINGS: Final = {
    "enable_seqscan": "off",
    "cpu_index_tuple_cost": "1000",
    "max_parallel_workers_per_gather": "0",
    "default_transaction_read_only": "on",
}
_AT_ONCE: Final = 3
"""Questions that are answered at once; others wait for one of these to end."""
_ENTRY: Final = "charging.entry "
_OF_DAY: Final = "(select * from charging.entry where accepted_at >= '{}' and accepted_at < '{}') "


def open_asking(url: str, waits: Waits, wait_seconds: float | None = None) -> AbstractAsyncContextManager[Pool]:
    """Connections whose plans go by summaries and indexes wherever there are any.

    A question is a statement or three and nothing else: beside a busy worker, what an answer takes is how often it
    waits for its turn.
    """
    return open_pool(url, size=_AT_ONCE, waits=waits, settings=_SETTINGS, skip_reset=True, wait_seconds=wait_seconds)


async def fetch_of_days(connection: Connection, sql: str, days: Iterable[date], *values: object) -> list[Any]:
    """What each of the days' parts answers, day by day; wherever `sql` reads `charging.entry` it reads that part."""
    return [row for day in days for row in await connection.fetch(of_day(sql, day), *values)]


def of_day(sql: str, day: date) -> str:
    """The same with the day's bounds as constants, so that the plan holds its one part."""
    begin, end = day_bounds(day)
    return sql.replace(_ENTRY, _OF_DAY.format(begin.isoformat(), end.isoformat()))


def is_order_sql(row: str, order_id: str) -> str:
    """SQL: a row of the order with this id; the hash is what a sealed part is indexed by."""
    hashed = "hashtext({}) & 1048575"
    return f"{hashed.format(f'{row}.order_id')} = {hashed.format(order_id)} and {row}.order_id = {order_id}"
