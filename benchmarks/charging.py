"""Charging, topic to durable commit, beside raw COPY of the very same rows into the same table and key.

Orders are preloaded into the embedded broker; then one or more workers, each a process of its own as in production,
charge them: positions, rows with leaves, Merkle root, manifest and outbox in every transaction, fsync on. Counted is
the stretch in which all of them charge: from the first commit of the last to join, to the last commit of the one
that runs dry first, by the database's clock. Joining the group is not in it, and no rebalance. The rival copies the
stored rows into an empty table of the same shape, one stream, batches as large, one commit each.
"""

import asyncio
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, Final

from benchmarks.orders import SCHEME, preload
from benchmarks.processes import cpu_seconds
from deploy.embedded.children import Child, start_child
from deploy.embedded.ports import free_port
from deploy.embedded.stack import EmbeddedStack
from services.charging.rows import ENTRY_COLUMNS
from shared.adapters.migrations import migrate
from shared.adapters.postgres import Pool, open_pool, with_login
from shared.runtime.settings import HOUSE

BATCH: Final = 8_000
COPIES: Final = 3
TIME_OUT_SECONDS: Final = 300.0
LOOK_SECONDS: Final = 0.25
LEAST_SHARE: Final = 0.4
"""A stretch with fewer of the orders in it says too little: the rest was charged while not all workers were at it."""


@dataclass(frozen=True)
class Look:
    """What was used at an instant of the database's clock."""

    at: float
    events: int
    cpu: dict[str, float]


@dataclass(frozen=True)
class Stretch:
    """When all workers charged, in seconds of the database's clock, and what they committed in it."""

    begin: float
    end: float
    events: int


def run(*, orders: int = 400_000, workers: int = 1, module: str = "services.charging") -> dict[str, Any]:
    """Measure; returns rates (per second), their ratio, CPU an order, and what was measured. In the main thread.

    `module` is what a worker runs.
    """
    with EmbeddedStack() as stack, TemporaryDirectory(prefix="danbao-bench-") as folder:
        return asyncio.run(_measure(stack, Path(folder), orders, workers, module))


async def _measure(stack: EmbeddedStack, folder: Path, orders: int, workers: int, module: str) -> dict[str, Any]:
    owner = stack.database()
    roles = {"danbao_charging": "bench-charging", "danbao_auditor": "bench-auditor"}
    await migrate(owner, "charging", HOUSE / "services" / "charging" / "migrations", roles)
    await preload(stack.kafka, orders)
    database = with_login(owner, "danbao_charging", "bench-charging")
    children = [_start_worker(stack, database, folder, number, module) for number in range(workers)]
    try:
        async with open_pool(owner, size=2) as pool:
            looks = await _look_until(pool, stack, orders, children)
            stretch = await _stretch(pool, workers)
            mean_batch = await pool.fetchval("select round(avg(events))::int from charging.manifest where events > 0")
            for child in children:
                child.stop()
            copies = [await _copy_rate(pool, number) for number in range(COPIES)]
    finally:
        for child in children:
            child.stop()
    if stretch.events < LEAST_SHARE * orders:
        raise RuntimeError(f"all workers charged together for {stretch.events} orders only: measure with more")
    charging, copy = stretch.events / (stretch.end - stretch.begin), median(copies)
    return {
        "charging_orders_per_second": round(charging),
        "copy_rows_per_second": round(copy),
        "ratio": round(charging / copy, 3),
        "orders": orders,
        "orders_counted": stretch.events,
        "workers": workers,
        "events_per_batch": mean_batch,
        **{f"{name}_cpu_us_an_order": cost for name, cost in _cpu_an_order(looks, stretch).items()},
    }


def _start_worker(stack: EmbeddedStack, database: str, folder: Path, number: int, module: str) -> Child:
    environment = {
        "DANBAO_KAFKA": stack.kafka,
        "DANBAO_DATABASE": database,
        "DANBAO_PORT": str(free_port()),
        "DANBAO_SERVICE_KEY": "bench",
        "DANBAO_SCHEME": ":".join(map(str, SCHEME)),
        "DANBAO_KAFKA_SESSION_TIMEOUT_MS": "2000",
        "DANBAO_KAFKA_HEARTBEAT_MS": "300",
        "DANBAO_KAFKA_METADATA_MAX_AGE_MS": "1000",
        "DANBAO_KAFKA_IDEMPOTENT": "false",
    }
    name = f"charging-{number}"
    command = [sys.executable, "-m", module]
    return start_child(name, command, env=environment, cwd=HOUSE, log=folder / f"{name}.log")


async def _look_until(pool: Pool, stack: EmbeddedStack, orders: int, children: Sequence[Child]) -> list[Look]:
    """Look at what is used until everything is charged."""
    groups = {
        "worker": [child.pid for child in children],
        "database": [stack.postgres.server.pid],
        "broker": [stack.broker.server.pid],
    }
    deadline = time.monotonic() + TIME_OUT_SECONDS
    looks: list[Look] = []
    while not looks or looks[-1].events < orders:
        for child in children:
            if child.poll() is not None:
                raise RuntimeError(f"a worker ended: {child.last_words()}")
        if time.monotonic() > deadline:
            raise TimeoutError(f"{orders} orders were not charged within {TIME_OUT_SECONDS} s")
        await asyncio.sleep(LOOK_SECONDS)
        row = await pool.fetchrow(
            "select extract(epoch from clock_timestamp())::float8 as at, coalesce(sum(events), 0)::bigint as events"
            " from charging.manifest"
        )
        looks.append(Look(row["at"], row["events"], cpu_seconds(groups)))
    return looks


async def _stretch(pool: Pool, workers: int) -> Stretch:
    """What was committed after the last worker's first commit, up to the first worker's last commit."""
    row = await pool.fetchrow(
        """with batch as (
            select run_id, events, extract(epoch from committed_at)::float8 as at
            from charging.manifest where events > 0),
        run as (select min(at) as first, max(at) as last from batch group by run_id),
        whole as (select max(first) as first, min(last) as last, count(*) as runs from run)
        select whole.*, coalesce(sum(events) filter (where at > first and at <= last), 0)::bigint as events
        from whole, batch group by first, last, runs"""
    )
    if row["runs"] != workers:
        raise RuntimeError(f"{row['runs']} of {workers} workers charged")
    return Stretch(row["first"], row["last"], row["events"])


def _cpu_an_order(looks: Sequence[Look], stretch: Stretch) -> dict[str, float]:
    """Microseconds, between the first and the last look that lie in the stretch."""
    within = [look for look in looks if stretch.begin <= look.at <= stretch.end and look.events < looks[-1].events]
    if len(within) < 2:
        return {}
    first, last = within[0], within[-1]
    events = last.events - first.events
    return {name: round((last.cpu[name] - used) / events * 1e6, 2) for name, used in first.cpu.items()}


async def _copy_rate(pool: Pool, number: int) -> float:
    """The same rows in the same order of batches, into an empty partitioned table with the same key."""
    columns = ", ".join(ENTRY_COLUMNS)
    rows = [tuple(row) for row in await pool.fetch(f"select {columns} from charging.entry order by batch, leaf_index")]
    await pool.execute(
        f"""create table charging.rival_{number} (like charging.entry including all) partition by range (accepted_at);
        create table charging.rival_{number}_day (like charging.entry including all);
        alter table charging.rival_{number} attach partition charging.rival_{number}_day default"""
    )
    batches = [sorted(rows[start : start + BATCH]) for start in range(0, len(rows), BATCH)]
    async with pool.acquire() as connection:
        began = time.perf_counter()
        for batch in batches:
            await connection.copy_records_to_table(
                f"rival_{number}", schema_name="charging", columns=ENTRY_COLUMNS, records=batch
            )
        return len(rows) / (time.perf_counter() - began)
