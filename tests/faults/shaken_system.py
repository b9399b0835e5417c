"""A whole system in separate processes, with control over everything that can fail under it."""

import asyncio
import contextlib
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import asyncpg
import httpx

from deploy.embedded.stack import EmbeddedStack
from services.demo.demo import ORDER_PARTITIONS
from services.demo.running.system import EMBEDDED_KAFKA, System, Wishes, running_system
from tests.faults.process_deaths import Budget
from tests.faults.proxy import Proxy, open_proxy
from tests.support.waiting import eventually, eventually_async

SERVICES = ("charging", "ledger", "reporting", "national_platform")
MOST_LOG_LINES_A_SECOND = 20
MOST_MEMORY_BYTES = 700 * 1024 * 1024
QUICK = {"DANBAO_READY_COMMIT_AGE_SECONDS": "2", "DANBAO_CLOSE_TIMEOUT_SECONDS": "3", "DANBAO_SETTLE_SECONDS": "0.3"}


@dataclass
class Shaken:
    """What runs, and the ways to shake it; `faults` counts by kind."""

    system: System
    stack: EmbeddedStack
    proxy: Proxy
    folder: Path
    faults: Counter[str] = field(default_factory=Counter)
    budget: Budget = field(default_factory=Budget)
    began: float = 0.0
    longest_pause_seconds: float = 3.0

    async def kill(self, service: str) -> bool:
        """SIGKILL one service, unless it was killed too often lately; it is started again by its supervisor."""
        if not self.budget.take(service):
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.system.supervisor.pid(service), signal.SIGKILL)
        self.faults[f"SIGKILL of {service}"] += 1
        return True

    async def kill_postgres(self) -> None:
        """SIGKILL the server with all its processes, then start it on what is on the disk."""
        kill_postgres(self.stack)
        self.faults["SIGKILL of PostgreSQL"] += 1
        self.stack.postgres.restart()

    @contextmanager
    def paused_postgres(self) -> Iterator[None]:
        """Pause every process of the server; its clients get no error."""
        pids = [self.stack.postgres.server.pid, *children_of(self.stack.postgres.server.pid)]
        self.faults["pause of PostgreSQL"] += 1
        send(pids, signal.SIGSTOP)
        try:
            yield
        finally:
            send(pids, signal.SIGCONT)

    @asynccontextmanager
    async def owner(self) -> AsyncIterator[asyncpg.Connection]:
        """A session of the owner, past the proxy."""
        connection = await asyncpg.connect(self.stack.postgres.url("danbao"))
        try:
            yield connection
        finally:
            connection.terminate()

    async def end_sessions(self) -> None:
        """What an administrator does: end every session of the services."""
        self.faults["sessions ended"] += 1
        async with self.owner() as owner:
            await owner.fetch(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where usename like 'danbao\\_%' or usename = 'national_platform'"
            )

    async def reasons(self, service: str) -> dict[str, str]:
        """Why a service is not ready; empty when it is."""
        try:
            async with httpx.AsyncClient(base_url=self.url(service), timeout=5.0, trust_env=False) as client:
                reasons: dict[str, str] = (await client.get("/readyz")).json()["reasons"]
        except httpx.TransportError as error:
            return {"http": repr(error)}
        return reasons

    def url(self, service: str) -> str:
        """Where a service listens."""
        return self.system.variables["DANBAO_" + service.removeprefix("national_").upper() + "_URL"]

    async def is_ready(self) -> bool:
        return not any([await self.reasons(service) for service in SERVICES])

    async def all_ready(self) -> None:
        """Wait until all four are."""
        await eventually_async(self.is_ready, "readiness of all four")

    def log_lines(self) -> int:
        logs = (self.folder / "logs").glob("*.log")
        return sum(log.read_bytes().count(b"\n") for log in logs)

    def memory(self) -> dict[str, int]:
        """The most memory each service has had since its start, bytes."""
        peaks = {}
        for service in SERVICES:
            status = Path(f"/proc/{self.system.supervisor.pid(service)}/status").read_text()
            line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
            peaks[service] = int(line.split()[1]) * 1024
        return peaks

    def check_bounds(self) -> None:
        """Check that the number of log lines shows no busy loop, and that memory is within bounds."""
        seconds = asyncio.get_running_loop().time() - self.began
        assert self.log_lines() < 400 + MOST_LOG_LINES_A_SECOND * seconds, "too many lines in the logs"
        assert max(self.memory().values()) < MOST_MEMORY_BYTES, self.memory()


def children_of(pid: int) -> list[int]:
    """The processes that one has started."""
    return [int(part) for part in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def send(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def kill_postgres(stack: EmbeddedStack) -> None:
    """SIGKILL the server and its processes, and wait for their end: no second one may run on the same files."""
    server = stack.postgres.server
    pids = children_of(server.pid)
    server.send_signal(signal.SIGKILL)
    send(pids, signal.SIGKILL)
    server.wait(10)
    eventually(lambda: not any(Path(f"/proc/{pid}/stat").exists() for pid in pids), "the end of all backends")


@contextmanager
def environment(values: Mapping[str, str]) -> Iterator[None]:
    """Variables of this process, for as long as the context lasts."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@asynccontextmanager
async def shaken_system(
    folder: Path,
    opened_on: date,
    extra: Mapping[str, str] | None = None,
    stack: EmbeddedStack | None = None,
    roster: Path | None = None,
) -> AsyncIterator[Shaken]:
    """Start a separate system whose services reach PostgreSQL through the proxy."""
    with ExitStack() as opened:
        parts = stack or opened.enter_context(EmbeddedStack())
        async with open_proxy(parts.database("danbao")) as proxy:
            opened.enter_context(
                environment({
                    "DANBAO_KAFKA": parts.kafka,
                    "DANBAO_DATABASE": proxy.url("danbao"),
                    "DANBAO_PLATFORM_DATABASE": proxy.url("national_platform"),
                })
            )  # fmt: skip
            wanted = {**EMBEDDED_KAFKA, **QUICK, "DANBAO_ORDER_PARTITIONS": str(ORDER_PARTITIONS), **(extra or {})}
            wishes = Wishes(folder, books_open_on=opened_on, roster=roster, extra=wanted)
            async with running_system(wishes) as system:
                yield Shaken(system, parts, proxy, folder, began=asyncio.get_running_loop().time())
