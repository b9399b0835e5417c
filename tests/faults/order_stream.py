"""Orders that are sent while something happens to the workers or to the broker; afterwards each is charged once."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Final

import httpx

from shared.contracts.topics import orders_topic
from tests.integration.charging.charging_harness import FREIGHT, OTHER_RIDES, RIDES, Sent, accepted
from tests.integration.charging.charging_service import Field, Process, open_producer
from tests.support.waiting import eventually_async

ENTERPRISES: Final = (RIDES, OTHER_RIDES, FREIGHT)
CHUNK: Final = 50
"""Events in one send: small, so that there is always a batch in flight somewhere."""
FETCHED_TOO_EARLY: Final = 4
"""Batches that a worker may drop as it joins: read before it held their partition, and read again then."""
AHEAD: Final = 2_000
"""Events sent and not charged yet at which the pouring waits: no fault may run dry, nor drown."""


@dataclass
class Pouring:
    """Orders that are being sent, without a pause, while something else happens."""

    field: Field
    sent: int = 0
    is_over: bool = False
    task: asyncio.Task[None] | None = None

    async def run(self) -> None:
        async with open_producer(self.field.client, is_idempotent=self.field.is_idempotent) as producer:
            while not self.is_over:
                uscc = ENTERPRISES[self.sent // CHUNK % len(ENTERPRISES)]
                orders = [order(self.sent + n, uscc) for n in range(CHUNK)]
                acknowledged = [
                    await producer.send(
                        orders_topic(uscc),
                        order.value,
                        str(n).encode(),
                        timestamp_ms=round(order.at.timestamp() * 1000),
                    )
                    for n, order in enumerate(orders)
                ]
                await asyncio.gather(*acknowledged)
                self.sent += CHUNK
                await eventually_async(self._has_room, "room for more")

    async def goes_on(self, events: int = 500) -> None:
        """Wait until so many more events are charged than now."""
        wanted = await self.field.counted() + events

        async def is_so() -> bool:
            return await self.field.counted() >= wanted

        await eventually_async(is_so, f"{events} more events charged")

    async def ends(self) -> None:
        """No more orders: those that were sent have to be charged, each once."""
        await self.stops()
        await assert_exact(self.field, self.sent)

    async def stops(self) -> None:
        """No more orders; returns when all are acknowledged."""
        self.is_over = True
        assert self.task is not None
        await self.task

    async def _has_room(self) -> bool:
        return self.is_over or self.sent - await self.field.counted() < AHEAD


def order(number: int, uscc: str) -> Sent:
    industry = "intracity_freight" if uscc == FREIGHT else "ride_hailing"
    return accepted(f"o{number}", uscc=uscc, sequence=number + 1, industry=industry)


@asynccontextmanager
async def pouring(field: Field) -> AsyncIterator[Pouring]:
    """Orders are sent until `ends`."""
    pours = Pouring(field)
    pours.task = asyncio.create_task(pours.run())
    try:
        yield pours
    finally:
        pours.task.cancel()
        await asyncio.gather(pours.task, return_exceptions=True)


def small_batches(field: Field, wait: bool = True, **settings: str) -> AbstractAsyncContextManager[Process]:
    """A worker with many batches."""
    return field.worker(wait, BATCH_EVENTS="100", SETTLE_SECONDS="0", **settings)


async def assert_exact(field: Field, orders: int, repeats: int = 0) -> None:
    """Check that each order is counted once: `orders` different ones in the logs, plus `repeats`."""
    events = orders + repeats
    await field.has_counted(events)
    value, fetch = field.house.value, field.house.fetch
    outcomes = """select t->>'outcome', sum((t->>'orders')::int)::int
        from charging.manifest, jsonb_array_elements(convert_from(payload, 'UTF8')::jsonb->'totals') t group by 1"""
    assert dict(await fetch(outcomes)) == {"charged": orders} | ({"repeat": repeats} if repeats else {})
    assert await value("select count(*) from charging.entry") == orders
    assert await value("select count(distinct order_id) from charging.entry") == orders
    assert await value("select sum(events) from charging.position") == events
    assert await value("select sum(next_offset - first_offset) from charging.position") == events
    gaps = "select run_id from charging.manifest group by 1 having max(number) <> count(*) or min(number) <> 1"
    assert await fetch(gaps) == []


async def metric(worker: Process, name: str) -> float:
    """One value of /metrics, 0 when it is not there yet or nobody listens."""
    try:
        lines = (await worker.api.get("/metrics")).text.splitlines()
    except httpx.TransportError:
        return 0
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{name} "))


async def has_charged(worker: Process) -> None:
    async def is_so() -> bool:
        return await metric(worker, "danbao_charging_batches_total") > 0

    await eventually_async(is_so, "a batch of this worker")


@asynccontextmanager
async def asleep(worker: Process) -> AsyncIterator[None]:
    """Stop the process where it is; it goes on at the end of the context."""
    worker.child.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        worker.child.send_signal(signal.SIGCONT)
