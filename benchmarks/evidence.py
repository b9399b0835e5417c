"""What evidence costs charging: the same orders with it and without it, turn about, in one run.

`python -m benchmarks.evidence [ROUNDS]`. Compared are the medians of orders a second, and of the worker's CPU an order,
which says more where others use the machine.
"""

import sys
from statistics import median
from typing import Final

from benchmarks import charging

ORDERS: Final = 300_000
ROUNDS: Final = 3
WORKERS: Final = {"with": "services.charging", "without": "benchmarks.without_evidence"}


def measure(rounds: int = ROUNDS) -> dict[str, float]:
    """Medians of `rounds` runs of one worker each way, and the share by which evidence makes charging slower."""
    found: dict[str, list[dict[str, float]]] = {name: [] for name in WORKERS}
    for _ in range(rounds):
        for name, module in WORKERS.items():
            found[name].append(charging.run(orders=ORDERS, workers=1, module=module))
    told = {}
    for what in ("charging_orders_per_second", "worker_cpu_us_an_order"):
        for name, runs in found.items():
            told[f"{name}_{what}"] = median(run[what] for run in runs)
    slower = told["without_charging_orders_per_second"] / told["with_charging_orders_per_second"] - 1
    dearer = told["with_worker_cpu_us_an_order"] / told["without_worker_cpu_us_an_order"] - 1
    return {**told, "slower": round(slower, 3), "dearer_in_cpu": round(dearer, 3)}


if __name__ == "__main__":
    for name, value in measure(int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS).items():
        print(f"{name:42} {value:>12,}")
