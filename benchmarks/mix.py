"""Measure a full day's mix against acceptances alone, per event, both topic to commit with everything on, in one run.

The mix: orders accepted, completed or cancelled (one in twelve), 2 % of events sent twice, 1 % of orders a day late;
cancellations are settled and reversed meanwhile, as always.
"""

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from benchmarks.charging import charge
from benchmarks.orders import Event, acceptances, day_mix
from benchmarks.table import Row, Scale, from_runs
from benchmarks.workers import embedded_parts, open_house, with_enough
from deploy.embedded.stack import EmbeddedStack

FULL: Final = Scale({"day_mix": 0.6}, runs=3)
FEEDS: Final[dict[str, Callable[[int], Iterator[Event]]]] = {"acceptances": acceptances, "mix": day_mix}


def rows(_: object = None, scale: Scale = FULL) -> list[Row]:
    """The row of the table."""
    what = f"a day's mix against acceptances alone, per event, workers: {scale.workers}"
    runs = [with_enough(lambda events: run(events, scale.workers), scale.events) for _ in range(scale.runs)]
    return [from_runs("day_mix", what, "x", runs, "ratio", scale.targets["day_mix"])]


def run(events: int, workers: int) -> dict[str, Any]:
    """One pair; rates in events a second and their ratio. In the main thread."""
    feeds = {}
    for name in FEEDS:
        with embedded_parts() as (stack, folder):
            feeds[name] = asyncio.run(_measure(stack, folder, name, events, workers))
    rates = {name: feed["events_per_second"] for name, feed in feeds.items()}
    return {"ratio": round(rates["mix"] / rates["acceptances"], 3), "events": events, **feeds}


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
