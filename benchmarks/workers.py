"""Run charging workers on the embedded parts, each a separate process as in production; measure commits and usage."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, TypeVar

from benchmarks.authors import write_author_files
from benchmarks.orders import SCHEME
from benchmarks.processes import cpu_seconds
from deploy.embedded.children import Child, start_child
from deploy.embedded.ports import free_port
from deploy.embedded.stack import EmbeddedStack
from deploy.first_keys import write_readers
from shared.adapters.postgres.migrations import migrate
from shared.adapters.postgres.pool import Pool, open_pool, with_login
from shared.contracts.manifests import ALONE
from shared.runtime.settings import HOUSE

T = TypeVar("T")
CHARGING: Final = "services.charging"
KEY: Final = "bench"
"""The services' access key, for requests to a worker."""
TIME_OUT_SECONDS: Final = 900.0
POLL_SECONDS: Final = 0.25
LEAST_SHARE: Final = 0.4
"""A stretch with fewer of the events in it says too little: the rest was charged while not all workers were at it."""


class TooFewEventsError(RuntimeError):
    """The stretch in which all workers charged was too short: one joined late, and the others were nearly done."""


def with_enough(measure: Callable[[int], T], events: int) -> T:
    """Measure with so many events, or with twice as many, twice, where these were too few."""
    for several in (events, 2 * events):
        with suppress(TooFewEventsError):
            return measure(several)
    return measure(4 * events)


@dataclass(frozen=True)
class UsageSample:
    """Resources used until an instant of the database's clock."""

    at: float
    events: int
    cpu: dict[str, float]


@dataclass(frozen=True)
class Stretch:
    """When all workers charged, in seconds of the database's clock, and what they committed in it."""

    begin: float
    end: float
    events: int

    @property
    def rate(self) -> float:
        """Events a second."""
        return self.events / (self.end - self.begin)


class House:
    """The embedded parts with charging's schema; workers are started and stopped here."""

    def __init__(self, stack: EmbeddedStack, folder: Path, pool: Pool) -> None:
        self.stack, self.pool, self.owner = stack, pool, stack.database()
        self.login = with_login(self.owner, "danbao_charging", "bench-charging")
        self.folder = folder
        write_readers(folder / "access.toml", KEY, "operator")
        self.children: list[Child] = []
        self.ports: list[int] = []
        self.extra: dict[str, str] = {}
        """Further variables for the workers."""

    def start_worker(self, module: str = CHARGING) -> Child:
        """One more worker."""
        port = free_port()
        environment = {
            "DANBAO_KAFKA": self.stack.kafka,
            "DANBAO_DATABASE": self.login,
            "DANBAO_PORT": str(port),
            "DANBAO_ACCESS_KEYS": str(self.folder / "access.toml"),
            "DANBAO_SCHEME": ":".join(map(str, SCHEME)),
            "DANBAO_KAFKA_SESSION_TIMEOUT_MS": "2000",
            "DANBAO_KAFKA_HEARTBEAT_MS": "300",
            "DANBAO_KAFKA_METADATA_MAX_AGE_MS": "1000",
            "DANBAO_KAFKA_IDEMPOTENT": "false",
            **write_author_files(self.folder, self.extra.get("DANBAO_DEPLOYMENT", ALONE)),
            **self.extra,
        }
        name = f"charging-{len(self.children)}"
        command = [sys.executable, "-m", module]
        child = start_child(name, command, env=environment, cwd=HOUSE, log=self.folder / f"{name}.log")
        self.children.append(child)
        self.ports.append(port)
        return child

    def stop_workers(self) -> None:
        """Stop them all; may be called again."""
        for child in self.children:
            child.stop()

    def check_workers(self) -> None:
        """Raises RuntimeError with the last words of one that ended by itself."""
        for child in self.children:
            if child.poll() is not None:
                raise RuntimeError(f"a worker ended: {child.last_words()}")

    @property
    def groups(self) -> dict[str, list[int]]:
        """The processes of each part, by id."""
        return {
            "worker": [child.pid for child in self.children],
            "database": [self.stack.postgres.server.pid],
            "broker": [self.stack.broker.server.pid],
        }

    async def wait_for(self, events: int, time_out_seconds: float = TIME_OUT_SECONDS) -> list[UsageSample]:
        """Sample resource usage until so many events are committed."""
        deadline = time.monotonic() + time_out_seconds
        samples: list[UsageSample] = []
        while not samples or samples[-1].events < events:
            self.check_workers()
            if time.monotonic() > deadline:
                raise TimeoutError(f"{events} events were not committed within {time_out_seconds:g} s")
            await asyncio.sleep(POLL_SECONDS)
            row = await self.pool.fetchrow(
                "select extract(epoch from clock_timestamp())::float8 as at, coalesce(sum(events), 0)::bigint as events"
                " from charging.manifest"
            )
            samples.append(UsageSample(row["at"], row["events"], cpu_seconds(self.groups)))
        return samples

    async def stretch(self, workers: int, expected: int) -> Stretch:
        """What was committed after the last worker's first commit, up to the first worker's last commit."""
        row = await self.pool.fetchrow(
            """with batch as (
                select run_id, events, extract(epoch from committed_at)::float8 as at
                from charging.manifest where events > 0),
            run as (select min(at) as first, max(at) as last from batch group by run_id),
            whole as (select max(first) as first, min(last) as last, count(*) as runs from run)
            select whole.*, coalesce(sum(events) filter (where at > first and at <= last), 0)::bigint as events
            from whole, batch group by first, last, runs"""
        )
        if row["runs"] != workers:
            raise RuntimeError(f"{row['runs']} of {workers} workers charged")
        if row["events"] < LEAST_SHARE * expected:
            raise TooFewEventsError(f"all workers charged together for {row['events']} events only: measure with more")
        return Stretch(row["first"], row["last"], row["events"])


@contextmanager
def embedded_parts() -> Iterator[tuple[EmbeddedStack, Path]]:
    """PostgreSQL and broker, and a folder for logs. In the main thread, outside any event loop."""
    with EmbeddedStack() as stack, TemporaryDirectory(prefix="danbao-bench-") as folder:
        yield stack, Path(folder)


@asynccontextmanager
async def open_house(stack: EmbeddedStack, folder: Path) -> AsyncIterator[House]:
    """Charging's schema in the database of the stack; its workers are stopped at the end."""
    roles = {"danbao_charging": "bench-charging", "danbao_auditor": "bench-auditor"}
    await migrate(stack.database(), "charging", HOUSE / "services" / "charging" / "migrations", roles)
    async with open_pool(stack.database(), size=4) as pool:
        house = House(stack, folder, pool)
        try:
            yield house
        finally:
            house.stop_workers()


def cpu_an_event(samples: Sequence[UsageSample], stretch: Stretch) -> dict[str, float]:
    """Microseconds of each group's CPU an event of the stretch; {} where there is no /proc.

    CPU time at both ends of the stretch is interpolated between two samples: the ends are commits, so hardly any begun
    batch is counted on one side only.
    """
    begin, end = _cpu_at(samples, stretch.begin), _cpu_at(samples, stretch.end)
    return {name: round((end[name] - used) / stretch.events * 1e6, 2) for name, used in begin.items()}


def _cpu_at(samples: Sequence[UsageSample], at: float) -> dict[str, float]:
    """CPU seconds of each group at an instant, from the samples before and after it."""
    before = max((sample for sample in samples if sample.at <= at), key=lambda sample: sample.at, default=samples[0])
    after = min((sample for sample in samples if sample.at > at), key=lambda sample: sample.at, default=samples[-1])
    share = (at - before.at) / (after.at - before.at) if after.at > before.at else 0.0
    return {name: used + share * (after.cpu[name] - used) for name, used in before.cpu.items()}


def peak_megabytes(pids: Iterable[int]) -> float:
    """The most memory that one of these processes ever held, in 10^6 bytes: VmHWM of Linux, which the kernel keeps."""
    peaks = []
    for pid in pids:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        peaks += [int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith("VmHWM:")]
    return round(max(peaks), 1)
