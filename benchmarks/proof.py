"""Lookups among millions: how long charging takes to answer one, with proof or without, and what it keeps for them.

The rows are made in the database itself, in batches as a worker writes them; every tenth one is a completion of the
order before it; each hundredth batch the part is summed up, as a worker does all the time. The batches of the orders
that are drawn have the manifest that follows from their rows. The orders are proved one after the other, first from a
part that is still written to and then from the same part sealed.
"""

import asyncio
import json
import random
import sys
import time
from collections.abc import Awaitable
from datetime import date, datetime, timedelta
from typing import Any, Final, TypeVar

import msgspec
from sqlalchemy import bindparam

from benchmarks.orders import SCHEME
from deploy.embedded.postgres import EmbeddedPostgres
from services.charging.queries.entry_rows import EntryRow, entry_content, entry_of_day, fetch_of_days, select_entries
from services.charging.queries.orders import OrderQueries
from services.charging.queries.proofs import Proofs
from services.charging.store.leaf_groups import Groups
from services.charging.store.partition_queries import open_query_pool
from shared.adapters.files.scheme import load_scheme
from shared.adapters.postgres.migrations import migrate
from shared.adapters.postgres.pool import PATIENT, Connection, Pool, open_pool, with_login
from shared.adapters.postgres.queries.statements import query
from shared.contracts.manifests import PremiumsCharged
from shared.domain.calendar import SHANGHAI
from shared.domain.evidence.merkle import leaf_hash
from shared.runtime.settings import HOUSE

BATCH: Final = 8_000
DAY: Final = date(2026, 10, 9)
RUN: Final = "b" * 32
USCC: Final = "91000000FAKE00001F"
T = TypeVar("T")
_SUMMED_UP_EACH: Final = 100
"""Batches."""
_START: Final = datetime(2026, 10, 9, tzinfo=SHANGHAI)
_ROWS: Final = """insert into charging.entry (accepted_at, worker_key, batch, ended_at, sequence, leaf_index, premium,
        region, tariff_line, enterprise, token_key, industry, kind, reason, departed, order_id, worker_rest, received,
        series)
    select $3::timestamptz + o * $4::interval, hashint8extended(o % 200000, 0), $1,
        case when k = 2 then $3::timestamptz + o * $4::interval + interval '20 minutes' end,
        case when k = 1 then o end, i, case when k = 1 then 100 else 0 end, 440106,
        case when k = 1 then 1 else 0 end, 1, 1, 1,
        k, 0, null, 'B' || lpad(o::text, 19, '0'), substr(sha256(int8send(o % 200000)), 1, 24),
        sha256(int8send(o * 2 + k)), case when k = 1 then 'main' end
    from (select i, $2 + i - i % 10 / 9 as o, (1 + i % 10 / 9)::smallint as k
        from generate_series(0, $5::bigint - 1) i) drawn
    order by 1"""


def run(*, orders: int = 10_000_000, questions: int = 1_000) -> dict[str, Any]:
    """Measure; times in milliseconds, bytes a row. Runs in the main thread."""
    with EmbeddedPostgres({"max_wal_size": "1GB"}) as postgres:
        postgres.create_database("bench")
        return asyncio.run(_measure(postgres.url("bench"), orders, questions))


async def _measure(owner: str, orders: int, questions: int) -> dict[str, Any]:
    roles = {"danbao_charging": "bench-charging", "danbao_auditor": "bench-auditor"}
    await migrate(owner, "charging", HOUSE / "services" / "charging" / "migrations", roles)
    drawn = [random.Random(1).randrange(orders) for _ in range(questions)]
    async with open_pool(owner, size=2) as pool, pool.acquire() as connection:
        await _fill(connection, orders)
        summed_up = await _bytes(connection)
        async with open_query_pool(with_login(owner, "danbao_charging", "bench-charging"), PATIENT) as ours:
            await _write_manifests(pool, ours, {1 << 32 | place // BATCH + 1 for place in drawn})
            open_part = await _measure_queries(ours, orders, drawn[: questions // 10])
            began = time.perf_counter()
            await connection.execute("select charging.seal_partition($1)", DAY)
            sealing = time.perf_counter() - began
            sealed_part = await _measure_queries(ours, orders, drawn)
        key = int(await connection.fetchval(f"select pg_relation_size('charging.entry_{DAY:%Y%m%d}_pkey')"))
        heap = int(await connection.fetchval(f"select pg_table_size('charging.entry_{DAY:%Y%m%d}')"))
        return {
            "rows": orders,
            "questions": questions,
            "open_part_ms": open_part,
            "sealed_part_ms": sealed_part,
            "sealing_seconds": round(sealing, 1),
            "bytes_a_row_and_its_key": round((heap + key) / orders, 1),
            "bytes_a_row_of_summaries_while_open": round((summed_up - heap - key) / orders, 1),
            "bytes_a_row_of_indexes_when_sealed": round((await _bytes(connection) - heap - key) / orders, 1),
        }


async def _bytes(connection: Connection) -> int:
    sql = "select sum(pg_total_relation_size(relid)) from pg_partition_tree('charging.entry')"
    return int(await connection.fetchval(sql))


async def _fill(connection: Connection, rows: int) -> None:
    await connection.execute("insert into charging.enterprise (uscc) values ($1)", USCC)
    await connection.execute("insert into charging.run (run, purpose) values ($1, 'orders')", RUN)
    await connection.execute("select charging.ensure_partitions($1, $1)", DAY)
    step, stretch = timedelta(days=1) / (rows + 1), 0
    for number, first in enumerate(range(0, rows, BATCH), 1):
        batch = 1 << 32 | number
        await connection.execute(_ROWS, batch, first, _START, step, min(BATCH, rows - first))
        if number % _SUMMED_UP_EACH == 0:
            stretch = await connection.fetchval("select charging.summarize_partition($1, $2)", DAY, stretch)


async def _write_manifests(pool: Pool, query_pool: Pool, batches: set[int]) -> None:
    """What a worker writes with each batch; here the leaves are read from the rows."""
    rows = entry_of_day("n")
    in_batch = select_entries(rows).where(rows.c.batch == bindparam("batch")).order_by(rows.c.leaf_index)
    of_batch = query(in_batch, EntryRow)
    for batch in sorted(batches):
        async with query_pool.acquire() as connection:
            leaves = [
                leaf_hash(entry_content(row)) for row in await fetch_of_days(connection, of_batch, [DAY], batch=batch)
            ]
        groups, number = Groups.of(leaves), batch & 0xFFFF_FFFF
        reported = PremiumsCharged(
            run=RUN, number=number, kind="orders", leaves=len(leaves), root=groups.root.hex(), totals=[]
        )
        async with pool.acquire() as connection, connection.transaction():
            await connection.execute("insert into charging.batch_day values ($1, $2)", DAY, batch)
            await connection.execute(
                "insert into charging.manifest (batch, run_id, number, events, leaves, root, payload, groups)"
                " values ($1, 1, $2, 0, $3, $4, $5, $6)",
                batch, number, reported.leaves, groups.root, msgspec.json.encode(reported), bytes(groups),
            )  # fmt: skip


async def _measure_queries(pool: Pool, rows: int, drawn: list[int]) -> dict[str, dict[str, float]]:
    """Milliseconds from question to answer, for orders drawn at random: their proofs, their rows, their workers."""
    prover, orders = Proofs(pool), OrderQueries(pool, load_scheme(SCHEME).order_spans)
    took: dict[str, list[float]] = {"proof": [], "order": [], "worker_and_instant": []}
    for place in drawn:
        order = place - (place % 10 == 9)
        order_id, at = f"B{order:019}", _START + order * (timedelta(days=1) / (rows + 1)) + timedelta(seconds=1)
        (row, *more), took_ms = await _timed(prover.order(USCC, order_id, DAY))
        assert len(more) == (order % 10 == 8)
        took["proof"].append(took_ms)
        rows_of_order, took_ms = await _timed(orders.order(USCC, order_id, DAY))
        assert len(rows_of_order) == 1 + len(more)
        took["order"].append(took_ms)
        covers, took_ms = await _timed(orders.covers(row.worker_id, at))
        assert order_id in {cover.order_id for cover in covers}
        took["worker_and_instant"].append(took_ms)
    return {name: _quantiles(sorted(times)) for name, times in took.items()}


async def _timed(question: Awaitable[T]) -> tuple[T, float]:
    began = time.perf_counter()
    answer = await question
    return answer, (time.perf_counter() - began) * 1000


def _quantiles(took: list[float]) -> dict[str, float]:
    return {name: round(took[int(len(took) * share)], 1) for name, share in (("p50", 0.5), ("p99", 0.99))}


def main() -> None:
    """`python -m benchmarks.proof [rows] [questions]`"""
    print(json.dumps(run(**dict(zip(("orders", "questions"), map(int, sys.argv[1:]), strict=False))), indent=2))


if __name__ == "__main__":
    main()
