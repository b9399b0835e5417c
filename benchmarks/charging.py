"""Charging, topic to durable commit, beside raw COPY of the very same rows into the same table and key.

Orders are preloaded into the embedded broker; then one or more workers charge them: positions, rows with leaves,
Merkle root, manifest and outbox in every transaction, fsync on. Counted is the stretch in which all of them charge:
from the first commit of the last to join, to the last commit of the one that runs dry first, by the database's clock.
Joining the group is not in it, and no rebalance. The rival copies the stored rows into an empty table of the same
shape, one stream, batches as large, one commit each. `python -m benchmarks.charging ORDERS WORKERS` measures once.
"""

import asyncio
import json
import sys
import time
from collections.abc import Collection, Iterable
from pathlib import Path
from statistics import median
from typing import Any, Final

from benchmarks.orders import Event, acceptances, preload
from benchmarks.rivals.race import FAIR, NAIVE, race
from benchmarks.table import Row, Scale, from_runs
from benchmarks.workers import CHARGING, House, cpu_an_event, embedded_parts, open_house, with_enough
from deploy.embedded.stack import EmbeddedStack
from services.charging.rows.order_columns import COPY_COLUMNS, KEY_COLUMNS
from shared.adapters.postgres.pool import Pool

BATCH: Final = 8_000
COPIES: Final = 3


RIVALS: Final = {"fair_rival": FAIR, "naive_rival": NAIVE}
FULL: Final = Scale({"charging": 0.6, "fair_rival": 5.0, "naive_rival": 100.0})


def rows(wanted: Collection[str], scale: Scale = FULL) -> list[Row]:
    """Of the wanted rows those against COPY and rivals: everything raced in each of the runs."""
    rivals = [name for name in RIVALS if name in wanted]
    found = [
        with_enough(lambda events: run(orders=events, workers=scale.workers, rivals=rivals), scale.events)
        for _ in range(scale.runs)
    ]
    reported = {
        "charging": f"charging beside raw COPY of the same rows, workers: {scale.workers}",
        "fair_rival": "charging beside batches of 500, pydantic, SQLAlchemy Core, one commit a batch",
        "naive_rival": "charging beside a message a handler, pydantic, SQLAlchemy ORM, one commit each",
    }
    return [
        from_runs(name, reported[name], "x", found, name, scale.targets[name]) for name in reported if name in wanted
    ]


def run(
    *, orders: int = 400_000, workers: int = 1, module: str = CHARGING, rivals: Iterable[str] = ()
) -> dict[str, Any]:
    """Measure; returns rates (per second), their ratios, CPU an order, and what was measured. In the main thread.

    `module` is what a worker runs, `rivals` are of RIVALS.
    """
    with embedded_parts() as (stack, folder):
        return asyncio.run(_measure(stack, folder, orders, workers, module, rivals))


async def _measure(
    stack: EmbeddedStack, folder: Path, orders: int, workers: int, module: str, rivals: Iterable[str]
) -> dict[str, Any]:
    async with open_house(stack, folder) as house:
        found = await charge(house, acceptances(orders), orders, workers, module)
        rate = found.pop("events_per_second")
        rates = {
            "charging": median([await copy_rate(house.pool, number) for number in range(COPIES)]),
            **{name: await race(house, folder, RIVALS[name], workers, orders) for name in rivals},
        }
    return {
        **{name: round(rate / other, 3) for name, other in rates.items()},
        "charging_orders_per_second": rate,
        **{f"{_OTHER[name]}_per_second": round(other) for name, other in rates.items()},
        "orders": orders,
        **found,
    }


_OTHER: Final = {"charging": "copied_rows", "fair_rival": "fair_rival_orders", "naive_rival": "naive_rival_orders"}


async def charge(
    house: House, events: Iterable[Event], count: int, workers: int, module: str = CHARGING
) -> dict[str, Any]:
    """Have `count` events charged by new workers, who are stopped afterwards; rate and CPU of the counted stretch."""
    await preload(house.stack.kafka, events)
    for _ in range(workers):
        house.start_worker(module)
    looks = await house.wait_for(count)
    stretch = await house.stretch(workers, count)
    mean_batch = await house.pool.fetchval("select round(avg(events))::int from charging.manifest where events > 0")
    house.stop_workers()
    return {
        "events_per_second": round(stretch.rate),
        "events_counted": stretch.events,
        "workers": workers,
        "events_per_batch": mean_batch,
        **{f"{name}_cpu_us_an_event": cost for name, cost in cpu_an_event(looks, stretch).items()},
    }


async def copy_rate(pool: Pool, number: int) -> float:
    """The same rows in the same order of batches, into an empty partitioned table with the same key."""
    columns = (*KEY_COLUMNS, *(name for name in COPY_COLUMNS if name not in KEY_COLUMNS))
    listed = ", ".join(columns)
    rows = [tuple(row) for row in await pool.fetch(f"select {listed} from charging.entry order by batch, leaf_index")]
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
                f"rival_{number}", schema_name="charging", columns=columns, records=batch
            )
        return len(rows) / (time.perf_counter() - began)


if __name__ == "__main__":
    print(json.dumps(run(orders=int(sys.argv[1]), workers=int(sys.argv[2])), indent=2))
