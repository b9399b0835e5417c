"""Plays events to a running system and closes the days as their instants come.

The schedulers are off here: "now" is the record time of what was sent last. A day is closed at its instant (T+1 12:00)
only when everything sent up to that instant is committed and booked; its cut is frozen then, so what is sent while the
count goes on belongs to the next day, as it would in real time (docs/decisions/0004).
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import date, datetime, timedelta
from typing import Final

from services.demo.generator.records import Record
from services.demo.progress import Watcher
from services.demo.running.answers import ChargingStatus, DayState
from services.demo.running.apis import Apis
from shared.adapters.kafka.producer import RecordSender, open_sender
from shared.contracts.topics import enterprise_of
from shared.domain.calendar import day_start, since_epoch_ms
from shared.runtime.command_settings import CommandSettings
from shared.runtime.exits import CommandFailed

POLL_SECONDS: Final = 0.03
PATIENCE_SECONDS: Final = 120.0
TOLD_EACH: Final = 500


class Stream:
    """The way in: a sender, and how far the topics have been taken in."""

    def __init__(self, apis: Apis, sender: RecordSender, watcher: Watcher) -> None:
        self.apis, self.sender, self.watcher = apis, sender, watcher
        self.sent = 0

    async def send(self, records: Iterable[Record]) -> None:
        """Send all, and wait until the broker has them."""
        count = 0
        for time_ms, topic, key, value in records:
            await self.sender.send(topic, key, value, time_ms)
            count += 1
            if count % TOLD_EACH == 0:
                self.watcher.advance(TOLD_EACH)
        self.watcher.advance(count % TOLD_EACH)
        self.sent += count
        await self.sender.flush()

    async def is_taken_in(self) -> None:
        """Wait until all that was sent is committed by charging, settled, and booked by the ledger.

        Settled on purpose: a settling step that happened to fall between a cut and its count would post its reversals
        on the next day, and two runs of one seed would differ by them.
        """
        await self.is_charged()
        await until(self._is_settled, "charging to settle every cancellation")
        await until(self._is_booked, "the ledger to book every manifest")

    async def _is_settled(self) -> bool:
        answer = await self.apis.charging.post("/v1/settle")
        return bool(answer["state"] == "settled" and not answer["reversed"])

    async def is_charged(self) -> None:
        """Wait until charging has committed all that was sent."""
        # What was acknowledged to us: the embedded broker's own answer about a log's end may lag behind.
        ends = {place: end for place, end in self.sender.ends.items() if enterprise_of(place[0])}
        await until(lambda: self._is_charged(ends), "charging to commit everything that was sent")

    async def _is_charged(self, ends: dict[tuple[str, int], int]) -> bool:
        status = await self.apis.charging.get("/v1/status")
        refuse_pause(status)
        positions = {(row["topic"], row["partition"]): row["next_offset"] for row in status["positions"]}
        return all(positions.get(place, 0) >= end for place, end in ends.items())

    async def _is_booked(self) -> bool:
        runs = (await self.apis.charging.get("/v1/status"))["runs"]
        booked = (await self.apis.ledger.get("/v1/status"))["runs"]
        return all(booked.get(run, 0) >= last for run, last in runs.items())


def refuse_pause(status: ChargingStatus) -> None:
    """Raise CommandFailed when charging paused a topic: nothing more will come of it."""
    for topic, reason in status["paused"].items():
        raise CommandFailed(f"charging paused {topic}: {reason}")


def closes_at(day: date, close_after_hours: int) -> datetime:
    """The instant at which a day is closed: so many hours after it began."""
    return day_start(day) + timedelta(hours=close_after_hours)


class MonthDriver:
    """Sends records in order of their time and closes each day in between."""

    def __init__(self, stream: Stream, first_day: date, close_after_hours: int) -> None:
        self.stream = stream
        self.apis = stream.apis
        self.next_day = first_day
        self._close_after_hours = close_after_hours
        self._closing: date | None = None

    def closes_at(self, day: date) -> datetime:
        """The instant at which a day is closed."""
        return closes_at(day, self._close_after_hours)

    async def play(self, records: Iterable[Record], last_day: date) -> None:
        """Send what comes up to the instant at which `last_day` is closed, closing each day at its own.

        Later events are left out: they would be booked in the next month.
        """
        waiting: list[Record] = []
        border = since_epoch_ms(self.closes_at(self.next_day))
        for record in records:
            while record.time_ms > border and self.next_day <= last_day:
                await self._close_next(waiting)
                waiting, border = [], since_epoch_ms(self.closes_at(self.next_day))
            if self.next_day > last_day:
                break
            waiting.append(record)
        while self.next_day <= last_day:
            await self._close_next(waiting)
            waiting = []
        await self._closed()

    async def _close_next(self, records: list[Record]) -> None:
        """Send what comes up to the day's instant, then have its cut frozen; the count of it goes on meanwhile."""
        day, self.next_day = self.next_day, self.next_day + timedelta(days=1)
        self.stream.watcher.stage(day.isoformat())
        await self.stream.send(records)
        await self.stream.is_charged()
        await self._closed()
        await self.stream.is_taken_in()
        await request_close(self.apis, day, self.closes_at(day))
        self._closing = day

    async def _closed(self) -> None:
        """Wait for the day whose cut was frozen last."""
        if self._closing is not None:
            await wait_closed(self.apis, self._closing)
            self._closing = None


async def close_day(apis: Apis, day: date, as_of: datetime) -> DayState:
    """Close one day and wait for it; raises CommandFailed when the ledger refuses, or names differences."""
    await request_close(apis, day, as_of)
    return await wait_closed(apis, day)


async def request_close(apis: Apis, day: date, as_of: datetime) -> None:
    """Have the day's cut frozen; raises CommandFailed when the ledger refuses."""
    answer = await apis.ledger.post(f"/v1/days/{day}/close", {"as_of": as_of.isoformat()})
    if answer["state"] == "refused":
        raise CommandFailed(f"the ledger does not close {day}: {answer['reason']}")


async def wait_closed(apis: Apis, day: date) -> DayState:
    """Wait until the day is closed; raises CommandFailed with the first difference when there is one."""
    state = DayState(state="", closed_as_of="", differences=[])

    async def is_closed() -> bool:
        state.update(await apis.ledger.get(f"/v1/days/{day}"))
        if state["state"] != "closed" and state["differences"]:
            differences = state["differences"]
            raise CommandFailed(f"{day} stays open, {len(differences)} differences, the first: {differences[0]}")
        return bool(state["state"] == "closed")

    await until(is_closed, f"{day} to be closed")
    return state


async def until(is_so: Callable[[], Awaitable[bool]], what: str, patience_seconds: float = PATIENCE_SECONDS) -> None:
    """Poll `is_so` until it is true; raises CommandFailed after `patience_seconds`."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + patience_seconds
    while not await is_so():
        if loop.time() > deadline:
            raise CommandFailed(f"waited {patience_seconds:g} s in vain for {what}")
        await asyncio.sleep(POLL_SECONDS)


@asynccontextmanager
async def open_stream(settings: CommandSettings, apis: Apis, watcher: Watcher) -> AsyncIterator[Stream]:
    """A stream with its clients."""
    async with open_sender(settings) as sender:
        yield Stream(apis, sender, watcher)
