"""The most memory that a charging worker ever held: at full speed over a backlog, and with messages as large as may be.

One worker over all partitions, so its client fetches from every one of them. The kernel keeps the peak. A second worker
meets large messages of ordinary orders, as large as `max_event_bytes` lets them be.
"""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from benchmarks.orders import BEGIN, Event, Writer, acceptances, preload
from benchmarks.table import Row
from benchmarks.workers import embedded_parts, open_house, peak_megabytes
from deploy.embedded.stack import EmbeddedStack
from services.charging.settings import ChargingSettings

ORDERS: Final = 600_000
LARGE: Final = 24_000
ENVELOPE_BYTES: Final = 600
"""More than the rest of an event takes."""


def rows(_: object = None) -> list[Row]:
    """The row of the table, in 10^6 bytes."""
    peaks = {name: run(name) for name in ("ordinary", "large")}
    what = "most memory of a charging worker at full speed, with messages as large as allowed, too"
    value = max(peak["peak_megabytes"] for peak in peaks.values())
    return [Row("memory", what, "MB", value, 300.0, is_at_most=True, measured=peaks)]


def run(name: str) -> dict[str, Any]:
    """Have one backlog charged. In the main thread."""
    with embedded_parts() as (stack, folder):
        return asyncio.run(_measure(stack, folder, name))


async def _measure(stack: EmbeddedStack, folder: Path, name: str) -> dict[str, Any]:
    events, count = (_large(LARGE), LARGE) if name == "large" else (acceptances(ORDERS), ORDERS)
    async with open_house(stack, folder) as house:
        await preload(stack.kafka, events)
        worker = house.start_worker()
        await house.wait_for(count)
        row = await house.pool.fetchrow("select max(events) as most, count(*) as batches from charging.manifest")
        charged = await house.pool.fetchval("select count(*) from charging.entry")
        if charged != count:
            raise RuntimeError(f"{charged} of {count} orders were charged: the rest is no measure")
        return {
            "peak_megabytes": peak_megabytes([worker.pid]),
            "orders": count,
            "bytes_an_event": _bytes_of(name),
            "most_events_in_a_batch": row["most"],
        }


def _large(orders: int) -> Iterator[Event]:
    """Acceptances with an attribute that nobody reads, as long as an event may be."""
    writer, padding = Writer(), b"x" * (ChargingSettings().max_event_bytes - ENVELOPE_BYTES)
    for number in range(orders):
        topic, key, value, at_ms = writer.accepted(number, BEGIN)
        yield topic, key, b'{"padding":"' + padding + b'",' + value.removeprefix(b"{"), at_ms


def _bytes_of(name: str) -> int:
    return len(next(_large(1))[2]) if name == "large" else len(next(acceptances(1))[2])


if __name__ == "__main__":
    print(json.dumps([row.as_json() for row in rows()], indent=2))
