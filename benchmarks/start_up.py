"""From the start of a charging worker's process to its first commit, less what joining the group takes.

Orders wait in the topics. What joining takes is measured in the same run with a bare client of the same library and the
same settings: from its start until partitions are assigned to it.
"""

import asyncio
import json
import time
from pathlib import Path
from statistics import median
from typing import Any, Final

from aiokafka import AIOKafkaConsumer

from benchmarks.orders import acceptances, preload
from benchmarks.table import Row, from_runs
from benchmarks.workers import House, embedded_parts, open_house
from deploy.embedded.stack import EmbeddedStack
from shared.adapters.kafka.security import client_options
from shared.contracts.topics import ORDERS_PATTERN
from shared.runtime.settings import Settings

ORDERS: Final = 10_000
RUNS: Final = 5
POLL_SECONDS: Final = 0.005
TIME_OUT_SECONDS: Final = 60.0


def rows(_: object = None) -> list[Row]:
    """The row of the table, in seconds."""
    with embedded_parts() as (stack, folder):
        starts = asyncio.run(_measure(stack, folder))
    what = "start of a worker to its first commit, beyond the time that joining the group takes"
    return [from_runs("start_up", what, "s", starts, "beyond_joining", 2.0, is_at_most=True)]


async def _measure(stack: EmbeddedStack, folder: Path) -> list[dict[str, Any]]:
    async with open_house(stack, folder) as house:
        starts = []
        for number in range(RUNS):
            await preload(stack.kafka, acceptances(ORDERS, first=number * ORDERS))
            joining = median([await _join(stack.kafka, f"{number}-{attempt}") for attempt in range(3)])
            whole = await _first_commit(house)
            starts.append(
                {"beyond_joining": round(whole - joining, 2), "whole": round(whole, 2), "joining": round(joining, 2)}
            )
            house.stop_workers()
            house.children.clear()
        return starts


async def _join(bootstrap: str, group: str) -> float:
    """Seconds until a client is given partitions."""
    consumer = AIOKafkaConsumer(
        **client_options(Settings(kafka=bootstrap)), group_id=f"joining-{group}", session_timeout_ms=2_000,
        heartbeat_interval_ms=300, metadata_max_age_ms=1_000,
    )  # fmt: skip
    began = time.perf_counter()
    consumer.subscribe(pattern=ORDERS_PATTERN)
    await consumer.start()
    try:
        async with asyncio.timeout(TIME_OUT_SECONDS):
            while not consumer.assignment():
                await consumer.getmany(timeout_ms=5)
        return time.perf_counter() - began
    finally:
        await consumer.stop()


async def _first_commit(house: House) -> float:
    """Seconds from the start of the process until its first manifest is seen."""
    known = await house.pool.fetchval("select count(*) from charging.manifest")
    began = time.perf_counter()
    house.start_worker()
    async with asyncio.timeout(TIME_OUT_SECONDS):
        while await house.pool.fetchval("select count(*) from charging.manifest") == known:
            house.check_workers()
            await asyncio.sleep(POLL_SECONDS)
    return time.perf_counter() - began


if __name__ == "__main__":
    print(json.dumps([row.as_json() for row in rows()], indent=2))
