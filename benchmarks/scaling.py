"""One, two and four charging workers against one Kafka and one PostgreSQL: rate, and CPU an order of each part.

Each as `benchmarks.charging` measures it, one after the other on new parts; the workers share partitions. On a
machine whose cores are all busy the rate says little and the CPU an order everything: what grows with the workers is
what a host more would not bring. Last, two deployments with a PostgreSQL and a worker each.
`python -m benchmarks.scaling [orders]`.
"""

import json
import sys
from typing import Any, Final

from benchmarks import charging, two_deployments

WORKERS: Final = (1, 2, 4)
_KEPT: Final = (
    "workers", "charging_orders_per_second", "worker_cpu_us_an_event", "database_cpu_us_an_event",
    "broker_cpu_us_an_event", "events_per_batch", "copied_rows_per_second",
)  # fmt: skip


def run(*, orders: int = 400_000) -> list[dict[str, Any]]:
    """A line for each number of workers, and one for two deployments. In the main thread."""
    runs = [charging.run(orders=orders, workers=workers) for workers in WORKERS]
    lines: list[dict[str, Any]] = [{name: measured[name] for name in _KEPT if name in measured} for measured in runs]
    return [*lines, two_deployments.run(orders=orders)]


if __name__ == "__main__":
    print(json.dumps(run(orders=int(sys.argv[1]) if len(sys.argv) > 1 else 400_000), indent=2))
