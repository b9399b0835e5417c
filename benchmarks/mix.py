"""Measure a full day's mix against acceptances alone, per event, both topic to commit with everything on, in one run.

The mix: orders accepted, completed or cancelled (one in twelve), 2 % of events sent twice, 1 % of orders a day late;
cancellations are settled and reversed meanwhile, as always.
"""

import asyncio
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any, Final

from benchmarks.charging import RATE_NOISE, charge
from benchmarks.orders import Event, acceptances, day_mix
from benchmarks.table import Row, Scale, from_runs
from benchmarks.workers import embedded_parts, open_house, with_enough
from deploy.embedded.stack import EmbeddedStack

FULL: Final = Scale({"day_mix": 0.6}, runs=3)
FEEDS: Final[dict[str, Callable[[int], Iterator[Event]]]] = {"acceptances": acceptances, "mix": day_mix}


def rows(_: object = None, scale: Scale = FULL) -> list[Row]:
    """Measure the row of the table."""
    what = f"a day's mix against acceptances alone, per event, workers: {scale.workers}"
    runs = [with_enough(lambda events: run(events, scale.workers), scale.events) for _ in range(scale.runs)]
    detail = f"CPU us an event {'; '.join(_cpu_in_words(name, runs) for name in FEEDS)}"
    return [from_runs("day_mix", what, "x", runs, "ratio", scale.targets["day_mix"], detail=detail, noise=RATE_NOISE)]


def _cpu_in_words(feed: str, runs: Sequence[dict[str, Any]]) -> str:
    """Medians of each part's CPU."""
    keys = {part: f"{part}_cpu_us_an_event" for part in ("worker", "database", "broker")}
    cpu = {part: median(run[feed].get(key, 0.0) for run in runs) for part, key in keys.items()}
    return f"{feed} {sum(cpu.values()):.1f} ({', '.join(f'{part} {used:.1f}' for part, used in cpu.items())})"


def run(events: int, workers: int) -> dict[str, Any]:
    """Measure one pair; returns rates in events a second and their ratio. In the main thread."""
    figures = {}
    for name in FEEDS:
        with embedded_parts() as (stack, folder):
            figures[name] = asyncio.run(_measure(stack, folder, name, events, workers))
    rates = {name: feed["events_per_second"] for name, feed in figures.items()}
    return {"ratio": round(rates["mix"] / rates["acceptances"], 3), "events": events, **figures}


async def _measure(stack: EmbeddedStack, folder: Path, name: str, events: int, workers: int) -> dict[str, Any]:
    async with open_house(stack, folder) as house:
        measured = await charge(house, FEEDS[name](events), events, workers)
        measured["ended_as"] = json.loads(await house.pool.fetchval(_OUTCOMES))
    return measured


_OUTCOMES: Final = """select json_object_agg(outcome, orders) from (
    select total->>'outcome' as outcome, sum((total->>'orders')::bigint) as orders
    from charging.manifest, jsonb_array_elements(convert_from(payload, 'UTF8')::jsonb->'totals') as total
    group by 1 order by 1) outcomes"""


if __name__ == "__main__":
    print(json.dumps(run(400_000, 2), indent=2))
