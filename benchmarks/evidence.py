"""Measure the cost of evidence to charging: equal orders with it and without it, alternating, in one run.

`python -m benchmarks.evidence [ROUNDS]`. Compared are the medians of orders a second, and of the worker's CPU an order,
which says more where others use the machine.
"""

import sys
from statistics import median
from typing import Final

from benchmarks import charging
from benchmarks.charging import RATE_NOISE
from benchmarks.table import Row

ORDERS: Final = 300_000
ROUNDS: Final = 3
RATE: Final = "charging_orders_per_second"
WORKERS: Final = {"with": "services.charging", "without": "benchmarks.without_evidence"}


def rows(_: object = None) -> list[Row]:
    """Measure the row of the table: how much slower charging is with evidence, as a share."""
    figures = measure()
    what = "charging with evidence is slower than without by this share, one worker"
    spread = (figures["slower_least"], figures["slower_most"])
    detail = (
        f"a worker's CPU {figures['with_worker_cpu_us_an_event']:.2f} us an order with evidence and "
        f"{figures['without_worker_cpu_us_an_event']:.2f} without: dearer by {figures['dearer_in_cpu']:.3f}"
    )
    return [Row("evidence", what, "", figures["slower"], 0.1, is_at_most=True, runs=ROUNDS, spread=spread,
                measured=figures, detail=detail, noise=RATE_NOISE)]  # fmt: skip


def measure(rounds: int = ROUNDS) -> dict[str, float]:
    """Measure `rounds` pairs of one worker each; returns medians, and the share by which evidence is slower."""
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in WORKERS}
    for _ in range(rounds):
        for name, module in WORKERS.items():
            runs[name].append(charging.run(orders=ORDERS, workers=1, module=module))
    figures = {
        f"{name}_{key}": median(run[key] for run in runs[name])
        for key in (RATE, "worker_cpu_us_an_event")
        for name in WORKERS
    }
    pairs = [without[RATE] / kept[RATE] - 1 for kept, without in zip(runs["with"], runs["without"], strict=True)]
    slower = figures[f"without_{RATE}"] / figures[f"with_{RATE}"] - 1
    dearer = figures["with_worker_cpu_us_an_event"] / figures["without_worker_cpu_us_an_event"] - 1
    shares = {
        "slower": slower, "slower_least": min(pairs), "slower_most": max(pairs), "dearer_in_cpu": dearer,
    }  # fmt: skip
    return {**figures, **{name: round(share, 3) for name, share in shares.items()}}


if __name__ == "__main__":
    for name, value in measure(int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS).items():
        print(f"{name:42} {value:>12,}")
