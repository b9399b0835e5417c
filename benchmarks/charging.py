"""Measures charging, topic to durable commit, against raw COPY of the same rows into a table with the same key.

CPU time leads, since it barely moves with the machine's other work: microseconds an order of worker, database and
broker against those a row of the COPY, client and server. The ratio of the rates comes second: it moves with the cores
that other work leaves free.

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
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

from benchmarks.orders import Event, acceptances, preload
from benchmarks.processes import cpu_seconds
from benchmarks.rivals.race import FAIR, NAIVE, race
from benchmarks.table import Row, Scale, from_runs
from benchmarks.workers import CHARGING, House, cpu_an_event, embedded_parts, open_house, with_enough
from deploy.embedded.stack import EmbeddedStack
from services.charging.rows.order_columns import COPY_COLUMNS, KEY_COLUMNS
from shared.adapters.postgres.pool import Pool

BATCH: Final = 8_000
COPIES: Final = 3


CPU_TARGET: Final = 2.8
"""Times the CPU of COPY: 0.6 of its rate where charging fills two cores and COPY uses 1.2 (2 / 0.6 / 1.2)."""
RIVALS: Final = {"fair_rival": FAIR, "naive_rival": NAIVE}
FULL: Final = Scale({"charging_cpu": CPU_TARGET, "charging": 0.6, "fair_rival": 5.0, "naive_rival": 100.0})
RATE_NOISE: Final = "other work leaves fewer cores free, and takes a larger share from one side than from the other"
CPU_NOISE: Final = "other work moves the CPU time of an order a little, through caches and clock rate"


@dataclass(frozen=True, slots=True)
class Copied:
    """What one COPY of all rows took; CPU in microseconds a row, {} where there is no /proc."""

    rate: float
    cpu: dict[str, float]


def rows(wanted: Collection[str], scale: Scale = FULL) -> list[Row]:
    """Measure the wanted rows: in each run charging, COPY and the wanted rivals one after the other."""
    rivals = [name for name in RIVALS if name in wanted]
    runs = [
        with_enough(lambda events: run(orders=events, workers=scale.workers, rivals=rivals), scale.events)
        for _ in range(scale.runs)
    ]
    what = {
        "charging": f"rate of charging against raw COPY of the same rows, workers: {scale.workers}",
        "fair_rival": "charging against batches of 500, pydantic, SQLAlchemy Core, one commit a batch",
        "naive_rival": "charging against a message a handler, pydantic, SQLAlchemy ORM, one commit each",
    }
    rates = [
        from_runs(name, what[name], "x", runs, name, scale.targets[name], detail=_rates_in_words(name, runs),
                  noise=RATE_NOISE)
        for name in what if name in wanted
    ]  # fmt: skip
    return [*_cpu_rows(wanted, scale, runs), *rates]


def _cpu_rows(wanted: Collection[str], scale: Scale, runs: Sequence[dict[str, Any]]) -> list[Row]:
    """The row of CPU time, where every run has it."""
    name, what = "charging_cpu", f"CPU time of an order against that of a row of raw COPY, workers: {scale.workers}"
    if name not in wanted or any(name not in run for run in runs):
        return []
    ours = {part: _median_of(runs, "cpu_us_an_order", part) for part in ("all", "worker", "database", "broker")}
    copy = {part: _median_of(runs, "copy_cpu_us_a_row", part) for part in ("all", "client", "server")}
    detail = f"{_cpu_in_words(ours, 'an order')} against {_cpu_in_words(copy, 'a row of COPY')}"
    detail += f", which used {median(run['copy_cores'] for run in runs):.1f} cores"
    target = scale.targets[name]
    return [from_runs(name, what, "x", runs, name, target, is_at_most=True, detail=detail, noise=CPU_NOISE)]


def _median_of(runs: Sequence[dict[str, Any]], key: str, part: str) -> float:
    return float(median(run[key][part] for run in runs))


def _cpu_in_words(cpu: Mapping[str, float], unit: str) -> str:
    parts = ", ".join(f"{part} {used:.1f}" for part, used in cpu.items() if part != "all")
    return f"{cpu['all']:.1f} us {unit} ({parts})"


def _rates_in_words(name: str, runs: Sequence[dict[str, Any]]) -> str:
    """Medians of both rates."""
    ours = median(run["charging_orders_per_second"] for run in runs)
    other = median(run[f"{_OTHER[name]}_per_second"] for run in runs)
    return f"{ours:,.0f} orders/s against {other:,.0f} {_OTHER[name].split('_')[-1]}/s"


def run(
    *, orders: int = 400_000, workers: int = 1, module: str = CHARGING, rivals: Iterable[str] = ()
) -> dict[str, Any]:
    """Measure once; returns CPU of an order against that of a copied row, rates and their ratios. Main thread only.

    Args:
        orders: How many wait in the topics.
        workers: How many charge them.
        module: The program that a worker runs.
        rivals: Names in RIVALS.
    """
    with embedded_parts() as (stack, folder):
        return asyncio.run(_measure(stack, folder, orders, workers, module, rivals))


async def _measure(
    stack: EmbeddedStack, folder: Path, orders: int, workers: int, module: str, rivals: Iterable[str]
) -> dict[str, Any]:
    async with open_house(stack, folder) as house:
        figures = await charge(house, acceptances(orders), orders, workers, module)
        rate = figures.pop("events_per_second")
        copies = [await copy_rows(house.pool, number) for number in range(COPIES)]
        rates = {
            "charging": median(copy.rate for copy in copies),
            **{name: await race(house, folder, RIVALS[name], workers, orders) for name in rivals},
        }
    return {
        **_compare_cpu(figures, copies),
        **{name: round(rate / other, 3) for name, other in rates.items()},
        "charging_orders_per_second": rate,
        **{f"{_OTHER[name]}_per_second": round(other) for name, other in rates.items()},
        "orders": orders,
        **figures,
    }


def _compare_cpu(figures: Mapping[str, Any], copies: Sequence[Copied]) -> dict[str, Any]:
    """Microseconds of each part and their ratio; {} where there is no /proc."""
    ours = {
        part: figures[f"{part}_cpu_us_an_event"]
        for part in ("worker", "database", "broker")
        if f"{part}_cpu_us_an_event" in figures
    }
    if not ours or not all(copied.cpu for copied in copies):
        return {}
    copy = {part: round(median(copied.cpu[part] for copied in copies), 2) for part in copies[0].cpu}
    return {
        "charging_cpu": round(sum(ours.values()) / sum(copy.values()), 3),
        "cpu_us_an_order": {**ours, "all": round(sum(ours.values()), 2)},
        "copy_cpu_us_a_row": {**copy, "all": round(sum(copy.values()), 2)},
        "copy_cores": round(median(sum(copied.cpu.values()) * copied.rate / 1e6 for copied in copies), 2),
    }


_OTHER: Final = {"charging": "copied_rows", "fair_rival": "fair_rival_orders", "naive_rival": "naive_rival_orders"}


async def charge(
    house: House, events: Iterable[Event], count: int, workers: int, module: str = CHARGING
) -> dict[str, Any]:
    """Charge `count` events with new workers, then stop these; returns rate and CPU of the counted stretch."""
    await preload(house.stack.kafka, events)
    for _ in range(workers):
        house.start_worker(module)
    samples = await house.wait_for(count)
    stretch = await house.stretch(workers, count)
    mean_batch = await house.pool.fetchval("select round(avg(events))::int from charging.manifest where events > 0")
    house.stop_workers()
    return {
        "events_per_second": round(stretch.rate),
        "events_counted": stretch.events,
        "workers": workers,
        "events_per_batch": mean_batch,
        **{f"{name}_cpu_us_an_event": cost for name, cost in cpu_an_event(samples, stretch).items()},
    }


async def copy_rows(pool: Pool, number: int) -> Copied:
    """Copy the charged rows, in the same batches, into an empty partitioned table with the same key.

    The server's CPU is that of the backend that serves the COPY: what PostgreSQL does meanwhile about the charged
    rows, a vacuum for example, is no part of it.
    """
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
        server = {"server": [await connection.fetchval("select pg_backend_pid()")]}
        client, used, began = time.process_time(), cpu_seconds(server), time.perf_counter()
        for batch in batches:
            await connection.copy_records_to_table(
                f"rival_{number}", schema_name="charging", columns=columns, records=batch
            )
        taken, after = time.perf_counter() - began, cpu_seconds(server)
        cpu = {"client": time.process_time() - client, **after} if after else {}
    return Copied(
        len(rows) / taken, {part: (total - used.get(part, 0.0)) / len(rows) * 1e6 for part, total in cpu.items()}
    )


if __name__ == "__main__":
    print(json.dumps(run(orders=int(sys.argv[1]), workers=int(sys.argv[2])), indent=2))
