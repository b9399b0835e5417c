"""Proof of an order out of millions: how long charging takes from the question to the proof, and what it keeps for it.

The rows are made in the database itself, in batches as a worker writes them, each with the manifest that follows from
them; every tenth one is a completion of the order before it. Then orders drawn at random are proved, one after the
other, first from a part that is still written to and then from the same part sealed.
"""

import asyncio
import json
import random
import sys
import time
from datetime import date, datetime, timedelta
from typing import Any, Final

import msgspec

from deploy.embedded.postgres import EmbeddedPostgres
from services.charging.proof import Proofs, read_leaves
from shared.adapters.migrations import migrate
from shared.adapters.postgres import Connection, open_pool, with_login
from shared.contracts.manifests import PremiumsCharged
from shared.domain.calendar import SHANGHAI
from shared.domain.merkle import root
from shared.runtime.settings import HOUSE

BATCH: Final = 8_000
DAY: Final = date(2026, 10, 9)
RUN: Final = "b" * 32
USCC: Final = "91000000FAKE00001F"
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


def run(*, orders: int = 10_000_000, proofs: int = 1_000) -> dict[str, Any]:
    """Measure; times in milliseconds, bytes a row. Runs in the main thread."""
    with EmbeddedPostgres({"max_wal_size": "1GB"}) as postgres:
        postgres.create_database("bench")
        return asyncio.run(_measure(postgres.url("bench"), orders, proofs))


async def _measure(owner: str, orders: int, proofs: int) -> dict[str, Any]:
    roles = {"danbao_charging": "bench-charging", "danbao_auditor": "bench-auditor"}
    await migrate(owner, "charging", HOUSE / "services" / "charging" / "migrations", roles)
    async with open_pool(owner, size=1) as pool, pool.acquire() as connection:
        await _fill(connection, orders)
        await connection.execute("vacuum analyze charging.entry")
        before = await _bytes(connection)
        async with open_pool(with_login(owner, "danbao_charging", "bench-charging"), size=1) as ours:
            prover = Proofs(ours)
            open_part = await _time(prover, orders, min(proofs, 10))
            began = time.perf_counter()
            await connection.execute("select charging.seal_part($1)", DAY)
            sealing = time.perf_counter() - began
            sealed_part = await _time(prover, orders, proofs)
        return {
            "rows": orders,
            "proofs": proofs,
            "open_part_ms": open_part,
            "sealed_part_ms": sealed_part,
            "sealing_seconds": round(sealing, 1),
            "bytes_a_row": round(before / orders, 1),
            "bytes_a_row_added_by_sealing": round((await _bytes(connection) - before) / orders, 1),
        }


async def _bytes(connection: Connection) -> int:
    sql = "select sum(pg_total_relation_size(relid)) from pg_partition_tree('charging.entry')"
    return int(await connection.fetchval(sql))


async def _fill(connection: Connection, rows: int) -> None:
    await connection.execute("insert into charging.enterprise (uscc) values ($1)", USCC)
    await connection.execute("insert into charging.run (run, purpose) values ($1, 'orders')", RUN)
    await connection.execute("select charging.ensure_parts($1, $1)", DAY)
    step = timedelta(days=1) / (rows + 1)
    for number, first in enumerate(range(0, rows, BATCH), 1):
        batch = 1 << 32 | number
        await connection.execute(_ROWS, batch, first, _START, step, min(BATCH, rows - first))
    await _write_manifests(connection, rows)


async def _write_manifests(connection: Connection, rows: int) -> None:
    """What a worker writes with each batch; the index is for us alone, since a part being written to has none."""
    await connection.execute(f"create index ours on charging.entry_{DAY:%Y%m%d} (batch)")
    for number in range(1, -(-rows // BATCH) + 1):
        async with connection.transaction():
            await _write_manifest(connection, number)
    await connection.execute("drop index charging.ours")


async def _write_manifest(connection: Connection, number: int) -> None:
    batch = 1 << 32 | number
    await connection.execute("insert into charging.batch_day values ($1, $2)", DAY, batch)
    _, hashes = await read_leaves(connection, batch)
    told = PremiumsCharged(
        run=RUN, number=number, kind="orders", leaves=len(hashes), root=root(hashes).hex(), totals=[]
    )
    await connection.execute(
        "insert into charging.manifest (batch, run_id, number, events, leaves, root, payload)"
        " values ($1, 1, $2, 0, $3, $4, $5)",
        batch, number, told.leaves, bytes.fromhex(told.root), msgspec.json.encode(told),
    )  # fmt: skip


async def _time(prover: Proofs, rows: int, count: int) -> dict[str, float]:
    """Milliseconds from the question to the proofs of all rows of an order, for orders drawn at random."""
    drawn, took = random.Random(1), []
    for _ in range(count):
        place = drawn.randrange(rows)
        order = place - (place % 10 == 9)
        began = time.perf_counter()
        found = await prover.order(USCC, f"B{order:019}", DAY)
        took.append((time.perf_counter() - began) * 1000)
        assert len(found) == 1 + (order % 10 == 8)
    took.sort()
    return {name: round(took[int(len(took) * share)], 1) for name, share in (("p50", 0.5), ("p99", 0.99))}


def main() -> None:
    """`python -m benchmarks.proof [rows] [proofs]`"""
    print(json.dumps(run(**dict(zip(("orders", "proofs"), map(int, sys.argv[1:]), strict=False))), indent=2))


if __name__ == "__main__":
    main()
