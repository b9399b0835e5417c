"""How long from the instant an order is due to be sent until another connection sees it committed.

Two workers. First the top rate, over preloaded orders; then orders are offered at an even pace, 5,000 a second and 70 %
of the top rate, by a producer on the same two cores that sends what has become due every 10 ms. An order's time counts
from when it was due, so a producer that falls behind makes it longer, not shorter. Committed is what the stored
position has passed, polled every ten milliseconds.

Each run has new parts, since a fetch costs the embedded broker more the more records it keeps, and acceptances
of a stretch are later than those before it, as in a day: an event that is not later costs a lookup before the write.
"""

import asyncio
import gc
import json
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from benchmarks.orders import BEGIN, SPAN, acceptances, place_of, preload, send_evenly
from benchmarks.processes import cpu_seconds
from benchmarks.table import Row, from_runs
from benchmarks.workers import House, embedded_parts, open_house
from deploy.embedded.stack import EmbeddedStack
from shared.adapters.postgres.pool import Pool

WORKERS: Final = 2
TOP_ORDERS: Final = 300_000
STEADY_RATE: Final = 5_000
TOP_SHARE: Final = 0.7
SECONDS: Final = 6
RUNS: Final = 5
AHEAD_SECONDS: Final = 0.5
"""For the producer to connect."""
POLL_SECONDS: Final = 0.01
DRAIN_SECONDS: Final = 60.0
NAMES: Final = ("latency_at_5000", "latency_at_70_percent")

Place = tuple[str, int]


@dataclass
class Watch:
    """When positions were seen to have moved how far, by `time.monotonic`."""

    seen: dict[Place, list[tuple[float, int]]] = field(default_factory=lambda: defaultdict(list))
    positions: dict[Place, int] = field(default_factory=dict)

    async def poll(self, pool: Pool) -> None:
        """Read all positions once."""
        rows = await pool.fetch("select topic, partition, next_offset from charging.position")
        now = time.monotonic()
        for topic, partition, position in rows:
            if self.positions.get((topic, partition)) != position:
                self.positions[topic, partition] = position
                self.seen[topic, partition].append((now, position))


def rows(wanted: Any = NAMES) -> list[Row]:
    """The two rows of the table, in milliseconds."""
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in NAMES}
    for _ in range(RUNS):
        with embedded_parts() as (stack, folder):
            for name, one in asyncio.run(_measure(stack, folder)).items():
                runs[name].append(one)
    reported = {
        NAMES[0]: ("99th percentile, produced to committed, 5,000 orders/s offered", 250.0),
        NAMES[1]: ("99th percentile, produced to committed, 70 % of the top rate offered", 1_000.0),
    }
    return [
        from_runs(name, reported[name][0], "ms", runs[name], "p99", reported[name][1], is_at_most=True)
        for name in NAMES
        if name in wanted
    ]


async def _measure(stack: EmbeddedStack, folder: Path) -> dict[str, dict[str, Any]]:
    """One run."""
    async with open_house(stack, folder) as house:
        await preload(stack.kafka, acceptances(TOP_ORDERS))
        for _ in range(WORKERS):
            house.start_worker()
        await house.wait_for(TOP_ORDERS)
        top = (await house.stretch(WORKERS, TOP_ORDERS)).rate
        offers = {}
        first, begin = TOP_ORDERS, BEGIN + SPAN
        for name, rate in zip(NAMES, (STEADY_RATE, round(TOP_SHARE * top)), strict=True):
            offers[name] = {**await offer(house, rate, first, begin), "top_rate": round(top)}
            first, begin = first + rate * SECONDS, begin + timedelta(seconds=SECONDS)
        return offers


async def offer(house: House, rate: int, first: int, begin: datetime) -> dict[str, Any]:
    """Offer orders numbered from `first` for SECONDS; milliseconds, the rate offered, and CPU seconds a second."""
    events = list(acceptances(rate * SECONDS, begin, timedelta(seconds=SECONDS), first))
    due: dict[Place, list[float]] = defaultdict(list)
    for number, event in enumerate(events):
        due[place_of(event)].append(number / rate)
    watch = Watch()
    await watch.poll(house.pool)
    before = dict(watch.positions)
    gc.freeze()  # the producer's pauses are not the worker's
    used, began = _used(house), time.monotonic() + AHEAD_SECONDS
    async with asyncio.timeout(SECONDS + DRAIN_SECONDS):
        late, _ = await asyncio.gather(
            send_evenly(house.stack.kafka, events, rate, began),
            _poll_until(house, watch, {place: before[place] + len(times) for place, times in due.items()}),
        )
    lasted = time.monotonic() - began
    taken = sorted(_latencies(watch, due, before, began))
    assert len(taken) == len(events)
    return {
        "p50": _at(taken, 0.5),
        "p99": _at(taken, 0.99),
        "most": _at(taken, 1),
        "orders_offered_per_second": rate,
        "orders": len(events),
        "producer_late_ms": round(late * 1000, 1),
        "cores": {name: round((after - used[name]) / lasted, 2) for name, after in _used(house).items()},
    }


def _used(house: House) -> dict[str, float]:
    """CPU seconds so far; the producer's include polling positions."""
    return {**cpu_seconds(house.groups), "producer": time.process_time()}


async def _poll_until(house: House, watch: Watch, ends: dict[Place, int]) -> None:
    while any(watch.positions[place] < end for place, end in ends.items()):
        house.check_workers()
        await asyncio.sleep(POLL_SECONDS)
        await watch.poll(house.pool)


def _latencies(watch: Watch, due: dict[Place, list[float]], before: dict[Place, int], began: float) -> Iterator[float]:
    for place, times in due.items():
        done = 0
        for seen_at, position in watch.seen[place]:
            now_done = position - before[place]
            yield from (seen_at - began - at for at in times[done:now_done])
            done = max(done, now_done)


def _at(taken: list[float], share: float) -> float:
    """Milliseconds."""
    return round(1_000 * taken[min(len(taken) - 1, int(share * len(taken)))], 1)


if __name__ == "__main__":
    print(json.dumps([row.as_json() for row in rows()], indent=2))
