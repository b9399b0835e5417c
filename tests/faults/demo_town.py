"""All four services in one process: where they find everything, who is running, who has died."""

from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

import asyncpg
import httpx
from fastapi import FastAPI
from pydantic import SecretStr

from services.ledger.log.checkpoints import LogKeys
from shared.adapters.crypto.signing import NoteSigner
from shared.domain.scheme.rating import Scheme
from shared.runtime.settings import Settings
from tests.faults.engines import Engines
from tests.faults.logs import Logs
from tests.faults.steps import Process, Steps, StepTransport
from tests.support.access_keys import caller_settings
from tests.support.waiting import eventually_async

SERVICE_KEY, PLATFORM_KEY = "key-of-the-services", "key-of-the-reporter"
T = TypeVar("T")
S = TypeVar("S", bound=Settings)
Handler = Callable[[bytes], Awaitable[object]]


@dataclass(frozen=True)
class Place:
    """What outlives the processes: database URLs by role, keys, the scheme, the broker that serves its cluster id.

    So do settings, and what answers the requests of a service whose answers come from its engine alone: both take long
    to make and remember nothing.
    """

    urls: Mapping[str, str]
    engines: Engines
    owner: asyncpg.Connection
    bootstrap: str
    scheme: Scheme
    private: Path
    public: Path
    first_day: Any
    log_keys: LogKeys
    witness: NoteSigner
    made: dict[str, Any] = field(default_factory=dict)

    def settings(self, role: str, kind: type[S]) -> S:
        return self.once(f"settings of {role}", lambda: self._read_settings(role, kind))

    def once(self, name: str, make: Callable[[], T]) -> T:
        """What was made under this name, made now if it was not."""
        if name not in self.made:
            self.made[name] = make()
        value: T = self.made[name]
        return value

    def _read_settings(self, role: str, kind: type[S]) -> S:
        own: dict[str, Any] = {"reporter_public_key": self.public, "signing_key": self.private}
        return kind(
            kafka=self.bootstrap,
            database=SecretStr(self.urls[role]),
            **caller_settings(SERVICE_KEY),
            platform_key=SecretStr(PLATFORM_KEY),
            **{name: value for name, value in own.items() if name in kind.model_fields},
        )


class Service(Protocol):
    """One start of a service."""

    process: Process

    @property
    def app(self) -> FastAPI:
        """What answers requests."""

    async def turn(self) -> bool:
        """Do what is due; True when there was something."""

    async def let_go(self) -> None:
        """Forget the connections; nothing is sent any more."""


class Town:
    """All services, each started when it is first needed and again after it died."""

    def __init__(self, place: Place, steps: Steps, logs: Logs, starts: Mapping[str, "Start"]) -> None:
        self.place, self.steps, self.logs, self._starts = place, steps, logs, starts
        self.running: dict[str, Service] = {}

    async def service(self, name: str) -> Service:
        if name not in self.running:
            process, self.steps.turn = Process(name, self.steps), 0
            try:
                self.running[name] = await process.run(self._starts[name](self, process))
            except BaseException:
                process.die()
                await self._until_gone(process)
                raise
        return self.running[name]

    def at(self, name: str) -> tuple[Process, FastAPI] | None:
        """The running process that listens under this name and its application; None when there is none."""
        running = self.running.get(name)
        return None if running is None or running.process.is_dead else (running.process, running.app)

    def client(self, caller: Process, name: str, key: str) -> httpx.AsyncClient:
        transport = StepTransport(caller, lambda: self.at(name))
        headers = {"Authorization": f"Bearer {key}"}
        return httpx.AsyncClient(transport=transport, base_url="http://there", headers=headers)

    async def bury(self) -> bool:
        """Let go of those that died; True when there were any."""
        dead = [name for name, service in self.running.items() if service.process.is_dead]
        for name in dead:
            await self.running[name].let_go()
        await self._until_gone(*(self.running.pop(name).process for name in dead))
        return bool(dead)

    async def _until_gone(self, *processes: Process) -> None:
        """Wait until the server has seen the cut: what the dead held is free then, as after any restart."""
        query = "select count(*) = 0 from pg_stat_activity where pid = any($1::int[])"
        backends = [backend for process in processes for backend in process.backends]

        async def are_gone() -> bool:
            return not backends or bool(await self.place.owner.fetchval(query, backends))

        await eventually_async(are_gone, "the end of the sessions of the dead", pause_seconds=0.002)

    async def stop(self) -> None:
        for service in self.running.values():
            service.process.die()
        await self.bury()

    async def take(self, process: Process, reader: str, topic: str, handle: Handler) -> bool:
        """Deliver what is not acknowledged; True when something was handled."""
        messages, key = self.logs.messages.get(topic, []), (reader, topic)
        has_moved = False
        while (number := self.logs.acknowledged.get(key, 0)) < len(messages):
            await handle(messages[number])
            await process.step(f"acknowledge {topic}", partial(self._acknowledge, key, number + 1))
            has_moved = True
        return has_moved

    async def _acknowledge(self, key: tuple[str, str], number: int) -> None:
        self.logs.acknowledged[key] = number

    def publisher(self, process: Process) -> Callable[[str, str, bytes], Awaitable[None]]:
        async def publish(topic: str, key: str, payload: bytes) -> None:
            await process.step(f"publish {topic}", lambda: self.logs.publish(topic, payload))

        return publish


Start = Callable[[Town, Process], Coroutine[Any, Any, Service]]
