"""Orders sent to a shaken system, and whether each of them is counted once."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from services.audit.run import audit_all
from services.demo.demo import audit_sources
from services.demo.driver import Stream, open_stream
from services.demo.generator.records import Record
from services.demo.progress import Silent
from shared.contracts.topics import orders_topic
from tests.faults.shaken_system import Shaken
from tests.integration.charging.charging_harness import NOON, RIDES, Sent, accepted, cancelled


@dataclass
class Load:
    """A producer with its own count."""

    shaken: Shaken
    stream: Stream
    orders: int = 0

    async def send(self, count: int) -> None:
        """So many new orders, every fourth cancelled at once; the broker has them when this returns."""
        sent: list[Sent] = []
        for number in range(self.orders, self.orders + count):
            sent.append(accepted(f"o{number}"))
            if number % 4 == 0:
                sent.append(cancelled(f"o{number}"))
        self.orders += count
        topic, time_ms = orders_topic(RIDES), round(NOON.timestamp() * 1000) + 60_000
        await self.stream.send(Record(time_ms, topic, event.key or b"", event.value or b"") for event in sent)

    async def is_exact(self) -> None:
        """Wait until everything is booked; then each event is there once, in charging and in the books."""
        await self.stream.is_taken_in()
        async with self.shaken.owner() as owner:
            rows = await owner.fetchval("select count(*) from charging.entry where kind <> 4")
            lines = "select coalesce(sum(orders), 0) from ledger.day_line where outcome in ('charged', 'recorded')"
            assert (rows, await owner.fetchval(lines)) == (self.stream.sent, self.stream.sent)

    async def audit(self) -> list[str]:
        """What the audit does not agree with."""
        verdict = await audit_all(audit_sources(self.shaken.system))
        return [line for line in verdict.lines() if "FAILED" in line]


@asynccontextmanager
async def open_load(shaken: Shaken) -> AsyncIterator[Load]:
    """A load on this system."""
    system = shaken.system
    async with open_stream(system.settings, system.apis, Silent()) as stream:
        yield Load(shaken, stream)
