"""Ten million orders in one open day: catching up with them, what they take on disk, and queries meanwhile.

The orders of most of a day wait in the topics, as after an outage, and two workers charge them. Then orders go on to
be offered, as fast as charging takes them with a producer on the same cores, then at 80 % of that: first without
queries, then while three clients query random orders (`benchmarks/order_requests.py`): first of the open day, then of
that day sealed, while the next one is charged.
"""

import asyncio
import json
import sys
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from benchmarks.order_requests import KINDS, Wanted, read_answer, start_requests
from benchmarks.orders import Event, acceptances, preload, send_evenly
from benchmarks.table import Row
from benchmarks.workers import House, embedded_parts, open_house, peak_megabytes
from deploy.embedded.stack import EmbeddedStack
from shared.domain.calendar import SHANGHAI

WORKERS: Final = 2
ORDERS: Final = 10_000_000
BYTES_A_RECORD: Final = 900
"""Of memory, at most, that the embedded broker takes for one."""
BEGIN: Final = datetime(2026, 10, 9, tzinfo=SHANGHAI)
SPAN: Final = timedelta(hours=20)
OFFERED_SHARE: Final = 0.8
OFFERED_SECONDS: Final = 12
OUTAGE_ORDERS: Final = 61_000_000
PEAK_RATE: Final = 17_000
"""Acceptances: of the hour, and a second (300 million orders a day at their peak)."""
NAMES: Final = ("catching_up", "bytes_an_order", "lookups_unsealed", "lookups_sealed", "lookups_cost")


def rows(wanted: Any = NAMES, orders: int = ORDERS) -> list[Row]:
    """The rows of the table; every measurement runs for any of them, except the lookups."""
    orders = min(orders, _affordable())
    with embedded_parts() as (stack, folder):
        measured = asyncio.run(_measure(stack, folder, orders, has_lookups=any("lookups" in name for name in wanted)))
    return [row for row in _rows(measured) if row.name in wanted]


def _rows(measured: dict[str, dict[str, Any]]) -> list[Row]:
    caught, disk = measured["catching_up"], measured["disk"]
    rate = caught["orders_per_second"]
    reported = [
        Row("catching_up", "minutes to catch up with an hour of the national peak, while new orders come",
            "min", round(OUTAGE_ORDERS / max(1, rate - PEAK_RATE) / 60, 1), 60.0, is_at_most=True,
            measured={**caught, "minutes_without_new_orders": round(OUTAGE_ORDERS / rate / 60, 1)}),
        Row("bytes_an_order", "all of charging's tables and indexes by orders, acceptances only, day sealed", "B",
            disk["bytes_sealed"], 240.0, is_at_most=True, measured=disk),
    ]  # fmt: skip
    if "lookups" in measured:
        lookups = measured["lookups"]
        reported += [
            Row("lookups_unsealed", "99th percentile of lookups and proofs in the open day while charging runs at 80 %",
                "ms", _worst(lookups["open_day"]), 2_000.0, is_at_most=True, measured=lookups),
            Row("lookups_sealed", "the same in a sealed day", "ms", _worst(lookups["sealed_day"]), 100.0,
                is_at_most=True, measured=lookups["sealed_day"]),
            Row("lookups_cost", "share of its rate that charging loses meanwhile", "", lookups["lost"], 0.1,
                is_at_most=True, measured=lookups["offered"]),
        ]  # fmt: skip
    return reported


def _worst(latencies: dict[str, dict[str, float]]) -> float:
    return max(latencies[kind]["p99"] for kind in KINDS)


def _affordable() -> int:
    """How many orders the broker can hold in two thirds of the memory that is free; it keeps nothing on disk."""
    lines = Path("/proc/meminfo").read_text().splitlines() if Path("/proc/meminfo").exists() else []
    free = [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    return free[0] * 2 // 3 // BYTES_A_RECORD if free else ORDERS


async def _measure(stack: EmbeddedStack, folder: Path, orders: int, *, has_lookups: bool) -> dict[str, dict[str, Any]]:
    async with open_house(stack, folder) as house:
        await preload(stack.kafka, acceptances(orders, BEGIN, SPAN))
        for _ in range(WORKERS):
            house.start_worker()
        await house.wait_for(orders)
        stretch = await house.stretch(WORKERS, orders)
        measured: dict[str, dict[str, Any]] = {
            "catching_up": {
                "orders": orders,
                "orders_per_second": round(stretch.rate),
                "orders_counted": stretch.events,
                "peak_megabytes_of_a_worker": peak_megabytes(child.pid for child in house.children),
            },
            "disk": {"orders": orders, "bytes_unsealed": await _bytes_an_order(house)},
        }
        if has_lookups:
            measured["lookups"] = await _lookups(house, orders, round(stretch.rate), measured["disk"])
        else:
            await _seal(house, measured["disk"])
        return measured


async def _lookups(house: House, orders: int, top_rate: int, disk: dict[str, Any]) -> dict[str, Any]:
    wanted = Wanted(
        house.ports, BEGIN, SPAN / orders / timedelta(microseconds=1), orders, OFFERED_SECONDS,
        str(house.folder / "answer.json"), str(house.folder / "start"),
    )  # fmt: skip
    # Of the same day, then of the next one.
    begins = [
        *(BEGIN + SPAN + timedelta(hours=n) for n in range(3)),
        *(BEGIN + timedelta(days=1, hours=n) for n in (0, 1)),
    ]
    top = await _offer(house, (orders, begins[0]), top_rate)
    first, rate = orders + top_rate * OFFERED_SECONDS, round(OFFERED_SHARE * top)
    offers = [(first + place * rate * OFFERED_SECONDS, begin) for place, begin in enumerate(begins[1:])]
    alone = await _offer(house, offers[0], rate)
    beside_open, open_day = await _offer_and_query(house, offers[1], rate, wanted)
    await _seal(house, disk)
    alone_again = await _offer(house, offers[2], rate)
    beside_sealed, sealed_day = await _offer_and_query(house, offers[3], rate, wanted)
    return {
        "open_day": open_day,
        "sealed_day": sealed_day,
        "lost": round(1 - min(beside_open / alone, beside_sealed / alone_again), 3),
        "offered": {
            "orders_per_second": rate,
            "committed_per_second_at_most": round(top),
            "committed_per_second_alone": [round(alone), round(alone_again)],
            "committed_per_second_beside_lookups": [round(beside_open), round(beside_sealed)],
        },
    }


async def _offer_and_query(
    house: House, offer: tuple[int, datetime], rate: int, wanted: Wanted
) -> tuple[float, dict[str, dict[str, float]]]:
    child = start_requests(house, wanted)
    try:
        committed = await _offer(house, offer, rate, Path(wanted.signal).touch)
        return committed, read_answer(child, wanted)
    finally:
        child.stop()
        Path(wanted.signal).unlink(missing_ok=True)


async def _offer(
    house: House, offer: tuple[int, datetime], rate: int, begin_beside: Callable[[], None] = lambda: None
) -> float:
    """Offer orders evenly for OFFERED_SECONDS; returns how many a second were committed, from the first being due."""
    first, begin = offer
    events: list[Event] = list(acceptances(rate * OFFERED_SECONDS, begin, timedelta(minutes=30), first))
    begin_beside()
    began = time.monotonic()
    await send_evenly(house.stack.kafka, events, rate, began)
    await house.wait_for(first + len(events))
    return len(events) / (time.monotonic() - began)


async def _bytes_an_order(house: House) -> float:
    """Everything of the schema: rows, keys, indexes, manifests, outbox, and what each order adds elsewhere."""
    size = await house.pool.fetchval(
        "select sum(pg_total_relation_size(c.oid)) from pg_class c"
        " where relnamespace = 'charging'::regnamespace and relkind in ('r', 'm')"
    )
    orders = await house.pool.fetchval("select sum(events) from charging.manifest")
    return round(float(size) / float(orders), 1)


async def _seal(house: House, disk: dict[str, Any]) -> None:
    """What is done once the day is counted."""
    began = time.perf_counter()
    await house.pool.execute("select charging.seal_partition($1)", BEGIN.date())
    disk["sealing_seconds"] = round(time.perf_counter() - began, 1)
    disk["bytes_sealed"] = await _bytes_an_order(house)


if __name__ == "__main__":
    print(json.dumps([row.as_json() for row in rows(orders=int(sys.argv[1]))], indent=2))
