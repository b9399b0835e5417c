"""Measure the audit of a day of orders against reading every row's leaf columns and hashing its leaf once.

Audited is a closed day (`benchmarks/day.py`), by everything that grows with orders: rows rated, hashed and counted
again, manifests, assessments, settlements, the books, the counts of the close, statements. What grows with days only
(reports, checkpoints, the register, identities) is left out. The rival reads the same columns in the same way, row by
row as they lie in the table, and hashes each leaf: one process, as the audit is.
"""

import asyncio
import json
import resource
import sys
import time
from collections.abc import Awaitable, Collection, Mapping
from typing import Any, Final

from benchmarks import close, day
from benchmarks.orders import SCHEME
from benchmarks.table import Row
from deploy.embedded.postgres import EmbeddedPostgres
from services.audit.books.billing import check_billing
from services.audit.books.bookings import Books
from services.audit.books.day_counts import check_counts
from services.audit.charging.assessments import check_assessments
from services.audit.charging.assignments import check_assignments
from services.audit.charging.deployments import Charging
from services.audit.charging.manifests import check_manifests
from services.audit.charging.order_rows import ENTRY, encoded_uscc, entry_leaf, token_of
from services.audit.charging.row_contents import FETCH_ROWS, RowReader
from services.audit.charging.settlements import check_settlements
from services.audit.facts import read_facts
from services.audit.verdict import Verdict
from shared.adapters.files.scheme import load_scheme
from shared.adapters.postgres.pool import Connection, open_pool
from shared.domain.evidence.merkle import leaf_hash

_RIVAL: Final = f"select {ENTRY} from charging.entry"
ORDERS: Final = 2_000_000
NAMES: Final = ("close", "statements", "audit")
TARGETS: Final = {"close": 3.0, "statements": 0.05, "audit": 3.0}


def rows(wanted: Collection[str] = NAMES, orders: int = ORDERS, targets: Mapping[str, float] = TARGETS) -> list[Row]:
    """The rows of the table: a day is made, closed, audited, and then billed as a month of such days."""
    with EmbeddedPostgres() as postgres:
        postgres.create_database("bench")
        measured = asyncio.run(_make_and_measure(postgres.url("bench"), orders))
    return [_row(name, measured, targets[name]) for name in NAMES if name in wanted]


_WHAT: Final = {
    "close": ("close of a day against one GROUP BY with distinct workers over its rows", "times"),
    "statements": ("statements of a month of 31 such days against one close", "of a close"),
    "audit": ("audit of the day against reading and hashing its rows once", "times"),
}


def _row(name: str, found: dict[str, Any], target: float) -> Row:
    what, unit = _WHAT[name]
    return Row(name, what, unit, found[name], target, is_at_most=True, measured=found)


async def _make_and_measure(owner: str, orders: int) -> dict[str, Any]:
    await day.make_day(owner, orders)
    async with open_pool(owner, size=1) as pool, pool.acquire() as connection:
        closed = await close.measure_close(owner, connection)
        audited = await measure(owner)
        month = await close.measure_month(owner, connection)
    statements = round(month["statements_seconds"] / closed["close_seconds"], 3)
    return {**closed, **audited, **month, "statements": statements}


async def measure(owner: str) -> dict[str, Any]:
    """Measure a database in which the day is closed already."""
    async with open_pool(day.login(owner, "danbao_auditor"), size=1) as pool, pool.acquire() as connection:
        began = time.perf_counter()
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            rows = await _hash_rows(connection)
        rival, before = time.perf_counter() - began, _megabytes()
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            spans = await _audit(connection)
    whole = sum(spans.values())
    return {
        "rows": rows,
        "reading_and_hashing_seconds": round(rival, 1),
        "audit_seconds": round(whole, 1),
        "audit": round(whole / rival, 2),
        **{f"{name}_seconds": round(seconds, 1) for name, seconds in spans.items()},
        "rival_memory_mb": before,
        "audit_memory_mb": _megabytes(),
    }


async def _hash_rows(connection: Connection) -> int:
    known = await connection.fetch("select * from charging.enterprise")
    enterprises = {row["id"]: encoded_uscc(row["uscc"]) for row in known}
    count = 0
    async for row in connection.cursor(_RIVAL, prefetch=FETCH_ROWS):
        leaf_hash(entry_leaf(row, enterprises[row["enterprise"]], token_of(row)))
        count += 1
    return count


async def _audit(connection: Connection) -> dict[str, float]:
    """Seconds of each part; raises when the audit does not pass."""
    spans: dict[str, float] = {}

    async def timed(name: str, work: Awaitable[None]) -> None:
        began = time.perf_counter()
        await work
        spans[name] = time.perf_counter() - began

    verdict = Verdict()
    facts = await read_facts(connection, load_scheme(SCHEME), verdict.check("I4", "messages"))
    rows, books = RowReader(facts, verdict.check("I4", "rates")), Books(facts, verdict)
    await timed("rows", rows.read(connection))
    await timed("manifests", check_manifests(connection, facts, rows, verdict))
    await timed("assessments", check_assessments(connection, facts, verdict))
    await timed("settlements", check_settlements(connection, facts, verdict))
    await timed("assignments", check_assignments(connection, facts, verdict))
    await timed("books", books.check(connection))
    await timed("counts", check_counts(connection, [Charging(connection, facts, rows)], verdict))
    await timed("billing", check_billing(connection, facts, books, verdict))
    if not verdict.has_passed:
        raise RuntimeError("\n".join(verdict.lines()))
    return spans


def _megabytes() -> int:
    """The most that this process ever held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def main() -> None:
    """`python -m benchmarks.audit [orders]`"""
    reported = rows(orders=int(sys.argv[1]) if len(sys.argv) > 1 else ORDERS)
    print(json.dumps([row.as_json() for row in reported], indent=2))


if __name__ == "__main__":
    main()
