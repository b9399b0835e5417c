"""Connections for point lookups among millions of rows, a day's partition at a time (`queries.entry_rows`)."""

from contextlib import AbstractAsyncContextManager
from typing import Final

from shared.adapters.postgres.pool import Pool, Waits, open_pool

# The planner knows too little of a part that grows to choose its summaries by itself, and would go through all of the
# key's index, where order and worker follow the time.
_SETTINGS: Final = {
    "enable_seqscan": "off",
    "cpu_index_tuple_cost": "1000",
    "max_parallel_workers_per_gather": "0",
    "default_transaction_read_only": "on",
}
_AT_ONCE: Final = 3
"""Queries that run at once; others wait for one of these to end."""


def open_query_pool(url: str, waits: Waits, wait_seconds: float | None = None) -> AbstractAsyncContextManager[Pool]:
    """Connections whose plans use summaries and indexes where there are any.

    A query is at most three statements and nothing else: next to a busy worker, its latency is dominated by how
    often it waits for the event loop.
    """
    return open_pool(url, size=_AT_ONCE, waits=waits, settings=_SETTINGS, skip_reset=True, wait_seconds=wait_seconds)
