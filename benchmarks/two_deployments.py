"""Measure two charging deployments on one Kafka, each with its own PostgreSQL and worker, and the close of their day.

Both charge at once; the rate is of the stretch in which both do, and CPU an order that of each part of each deployment.
Then both count the day, and a reader joins their workers as the ledger does: streams, merge, and the questions about
who is new. `python -m benchmarks.two_deployments [orders]`.
"""

import asyncio
import json
import sys
import time
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final, Self

import msgspec

from benchmarks.authors import AUTHORS, charging_author
from benchmarks.orders import BEGIN, SCHEME, acceptances, preload, ride_hailing_enterprises
from benchmarks.workers import KEY, House, cpu_an_event, embedded_parts, open_house
from deploy.embedded.stack import EmbeddedStack
from services.charging.close.count_day import count_day
from services.ledger.close.deployment_counts import CountingDeployments
from shared.adapters.files.scheme import load_scheme
from shared.adapters.http.charging_deployments import ChargingWorkers, open_charging
from shared.contracts.manifests import ALONE, DayClosing, DayCounted
from shared.contracts.topics import enterprise_of
from shared.runtime.deployments import Deployment, Deployments
from shared.runtime.settings import Settings

WEST: Final = "west"
DAY: Final = BEGIN.date()
_STRETCH: Final = """
    select extract(epoch from committed_at)::float8 as at, events from charging.manifest where events > 0"""


class OwnDatabase(EmbeddedStack):
    """A separate PostgreSQL with another stack's broker."""

    def __init__(self, other: EmbeddedStack) -> None:
        super().__init__()
        self.broker = other.broker

    def start(self) -> Self:
        self.postgres.start()
        self.postgres.create_database("danbao")
        return self

    def stop(self) -> None:
        self.postgres.stop()


def run(*, orders: int = 400_000) -> dict[str, Any]:
    """Rates (per second), CPU an order of each part, and seconds of the close. In the main thread."""
    with embedded_parts() as (stack, folder), OwnDatabase(stack) as second:
        return asyncio.run(_measure({ALONE: stack, WEST: second}, folder, orders))


async def _measure(stacks: dict[str, EmbeddedStack], folder: Path, orders: int) -> dict[str, Any]:
    west = frozenset(ride_hailing_enterprises()[:1])
    async with AsyncExitStack() as stack:
        houses = {}
        for name, parts in stacks.items():
            (folder / name).mkdir()
            houses[name] = await stack.enter_async_context(open_house(parts, folder / name))
        expected = Counter(WEST if enterprise_of(event[0]) in west else ALONE for event in acceptances(orders))
        await preload(stacks[ALONE].kafka, acceptances(orders))
        for name, house in houses.items():
            house.extra = {"DANBAO_DEPLOYMENT": name, "DANBAO_DEPLOYMENTS": str(_file(folder, west))}
            house.start_worker()
        samples = await asyncio.gather(*(house.wait_for(expected[name]) for name, house in houses.items()))
        cpu: dict[str, float] = {}
        for (name, house), seen in zip(houses.items(), samples, strict=True):
            used = cpu_an_event(seen, await house.stretch(1, expected[name]))
            cpu |= {f"{name}_{part}_cpu_us_an_event": used[part] for part in ("worker", "database") if part in used}
        return {"deployments": 2, **await _together(houses), **cpu, **await _close(houses, west)}


def _file(folder: Path, west: frozenset[str]) -> Path:
    file = folder / "deployments.toml"
    tables = [f'[[deployment]]\nname = "{name}"\nurl = "http://127.0.0.1"\n' for name in (ALONE, WEST)]
    file.write_text("".join(tables) + f"enterprises = {json.dumps(sorted(west))}\n")
    return file


async def _together(houses: dict[str, House]) -> dict[str, Any]:
    """What both committed after the later one's first commit, up to the earlier one's last."""
    commits = [[(row["at"], row["events"]) for row in await house.pool.fetch(_STRETCH)] for house in houses.values()]
    begin, end = max(min(committed)[0] for committed in commits), min(max(committed)[0] for committed in commits)
    events = sum(count for committed in commits for at, count in committed if begin < at <= end)
    return {"charging_orders_per_second": round(events / (end - begin)), "events_counted": events}


async def _close(houses: dict[str, House], west: frozenset[str]) -> dict[str, Any]:
    """Both count, one after the other; then their workers are joined over HTTP."""
    scheme, answers, reported = load_scheme(SCHEME), [], {}
    for name, house in houses.items():
        rows = await house.pool.fetch("select run, max(number) as last from charging.run join charging.manifest"
            " on run_id = id group by run")  # fmt: skip
        closing = DayClosing(day=DAY, attempt=1, cut={row["run"]: row["last"] for row in rows}, previous_cut={})
        began = time.perf_counter()
        await count_day(house.pool, scheme, closing, charging_author(name))
        reported[f"{name}_count_seconds"] = round(time.perf_counter() - began, 2)
        payload = await house.pool.fetchval("select payload from charging.day_count")
        answers.append(msgspec.json.decode(payload, type=DayCounted))
    places = {name: f"http://127.0.0.1:{house.ports[0]}" for name, house in houses.items()}
    deployments = Deployments([Deployment(ALONE, places[ALONE]), Deployment(WEST, places[WEST], west)])
    async with open_charging(deployments, Settings(charging_key=KEY)) as clients:
        began = time.perf_counter()
        joined = await CountingDeployments(AUTHORS, deployments.names, ChargingWorkers(clients)).join(answers)
        reported["join_seconds"] = round(time.perf_counter() - began, 2)
    apart = [sum(worker.workers for worker in answer.workers if worker.enterprise is None) for answer in answers]
    together = sum(worker.workers for worker in joined.workers if worker.enterprise is None)
    return reported | {"worker_days_apart": sum(apart), "worker_days_together": together}


if __name__ == "__main__":
    print(json.dumps(run(orders=int(sys.argv[1]) if len(sys.argv) > 1 else 400_000), indent=2))
