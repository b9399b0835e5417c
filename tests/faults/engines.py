"""SQLAlchemy's engines for services that die and are started again many times in one process."""

from collections.abc import Mapping

import asyncpg
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from tests.faults.steps import Process, Steps


class Engines:
    """An engine for each role, as the adapter opens it, with connections whose statements are counted.

    It outlives the processes of a service, so that what it has compiled is not compiled again after each death; of its
    connections none does. Queries that the driver runs at its first connection are run here, before any start.
    """

    def __init__(self, urls: Mapping[str, str]) -> None:
        self._urls = urls
        self._engines = {role: self._make(role) for role in urls}
        self._processes: dict[str, Process] = {}

    async def warm(self) -> None:
        for role, engine in self._engines.items():
            self._processes[role] = Process(role, Steps())
            async with engine.connect():
                pass
            await engine.dispose()

    def open(self, process: Process) -> AsyncEngine:
        """The engine of this process, which is the only one of its role that lives."""
        before = self._processes.get(process.name)
        assert before is None or not before.tasks, f"the dead {process.name} is still at work"
        self._processes[process.name] = process
        return self._engines[process.name]

    def _make(self, role: str) -> AsyncEngine:
        async def connect() -> asyncpg.Connection:
            kind, zone = self._processes[role].connection_class(), {"timezone": "UTC"}
            made: asyncpg.Connection = await asyncpg.connect(
                self._urls[role], connection_class=kind, server_settings=zone
            )
            return made

        address = "postgresql+asyncpg://"
        return create_async_engine(address, pool_size=4, max_overflow=0, async_creator=connect)
