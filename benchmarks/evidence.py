"""Measure the cost of evidence to charging: equal orders with it and without it, alternating, in one run.

`python -m benchmarks.evidence [ROUNDS]`. Compared are the medians of orders a second, and of the worker's CPU an order,
which says more where others use the machine.
"""

import sys
from statistics import median
from typing import Final

from benchmarks import charging
from benchmarks.table import Row

ORDERS: Final = 300_000
ROUNDS: Final = 3
WORKERS: Final = {"with": "services.charging", "without": "benchmarks.without_evidence"}


def rows(_: object = None) -> list[Row]:
    """The row of the table: how much slower charging is with evidence, as a share."""
    reported = measure()
    what = "charging with evidence is slower than without by this share, one worker"
    return [Row("evidence", what, "", reported["slower"], 0.1, is_at_most=True, runs=ROUNDS, measured=reported)]


def measure(rounds: int = ROUNDS) -> dict[str, float]:
    """Medians of `rounds` runs of one worker each way, and the share by which evidence makes charging slower."""
    runs_of: dict[str, list[dict[str, float]]] = {name: [] for name in WORKERS}
    for _ in range(rounds):
        for name, module in WORKERS.items():
            runs_of[name].append(charging.run(orders=ORDERS, workers=1, module=module))
    reported = {}
    for what in ("charging_orders_per_second", "worker_cpu_us_an_event"):
        for name, measured in runs_of.items():
            reported[f"{name}_{what}"] = median(run[what] for run in measured)
    slower = reported["without_charging_orders_per_second"] / reported["with_charging_orders_per_second"] - 1
    dearer = reported["with_worker_cpu_us_an_event"] / reported["without_worker_cpu_us_an_event"] - 1
    return {**reported, "slower": round(slower, 3), "dearer_in_cpu": round(dearer, 3)}


if __name__ == "__main__":
    for name, value in measure(int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS).items():
        print(f"{name:42} {value:>12,}")
