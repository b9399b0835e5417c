"""A month of orders played to a whole system while, by seed, everything that can fail fails; then the audit.

Each day of the month brings one fault or more. None may cost or double an event, stop a service for good, or be lied
about at the end: events sent = events counted, every report held once, every check of the audit passed.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import asyncpg
import pytest

from services.audit.run import audit_all
from services.audit.verdict import Verdict
from services.demo.demo import OCTOBER, _settled, audit_sources, bill, declared, remit, write_roster
from services.demo.driver import MonthDriver, open_stream
from services.demo.generator.month import Wanted, generate
from services.demo.generator.plan import make_plan
from services.demo.running.system import System, stand_in
from services.demo.summary import Summary, summarise
from shared.adapters.files.scheme import load_scheme
from shared.adapters.postgres.engine import open_engine
from shared.adapters.postgres.pool import open_pool
from shared.domain.evidence.authors import Role
from shared.runtime.settings import Settings
from tests.faults.month_model import MonthModel
from tests.faults.process_deaths import Deaths
from tests.faults.shaken_system import SERVICES, Shaken, shaken_system
from tests.integration.charging.charging_harness import ROOT
from tests.integration.histories.model_audit import Audit

Shake = Callable[[Shaken, Random], Awaitable[None]]
PLATFORM_FAULTS = {
    "DANBAO_FAULT_DELAY_SECONDS": "0.01",
    "DANBAO_FAULT_ERROR_SHARE": "0.1",
    "DANBAO_FAULT_LOST_REPLY_SHARE": "0.1",
    "DANBAO_FAULT_DUPLICATE_SHARE": "0.2",
    "DANBAO_REPORT_RETRY_SECONDS": "0.2",
}


async def pass_time(seconds: float) -> None:
    """Let the system run; nothing is waited for but time itself, which is what the fault is made of."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(asyncio.Event().wait(), seconds)


def _kill(service: str) -> Shake:
    async def kill(shaken: Shaken, _: Random) -> None:
        await shaken.kill(service)

    return kill


async def _kill_postgres(shaken: Shaken, _: Random) -> None:
    await shaken.kill_postgres()


async def _pause_postgres(shaken: Shaken, rng: Random) -> None:
    with shaken.paused_postgres():
        await pass_time(rng.uniform(0.5, shaken.longest_pause_seconds))


async def _cut(shaken: Shaken, _: Random) -> None:
    shaken.proxy.cut()


async def _stall(shaken: Shaken, rng: Random) -> None:
    shaken.proxy.stall()
    await pass_time(rng.uniform(0.2, 2.0))
    shaken.proxy.go_on()


async def _cut_in_copy(shaken: Shaken, _: Random) -> None:
    shaken.proxy.arm("cut in COPY")


async def _lose_commits(shaken: Shaken, rng: Random) -> None:
    shaken.proxy.arm("answer to COMMIT lost", rng.randint(1, 4))


async def _end_sessions(shaken: Shaken, _: Random) -> None:
    await shaken.end_sessions()


def _lock(table: str) -> Shake:
    async def lock(shaken: Shaken, rng: Random) -> None:
        async with shaken.owner() as owner:
            with contextlib.suppress(asyncpg.DeadlockDetectedError):
                async with owner.transaction():
                    await owner.execute(f"lock table {table} in access exclusive mode")
                    shaken.faults[f"lock of {table}"] += 1
                    await pass_time(rng.uniform(0.2, 2.5))

    return lock


async def _deadlock(shaken: Shaken, _: Random) -> None:
    """Take locks in the other order than charging takes them: PostgreSQL ends one of the two."""
    async with shaken.owner() as owner:
        with contextlib.suppress(asyncpg.DeadlockDetectedError):
            async with owner.transaction():
                await owner.execute("lock table charging.outbox in access exclusive mode")
                shaken.faults["locks in the other order"] += 1
                await pass_time(0.3)
                await owner.execute("lock table charging.position in access exclusive mode")


SHAKES: Mapping[str, Shake] = {
    **{f"kill {service}": _kill(service) for service in SERVICES},
    "kill PostgreSQL": _kill_postgres,
    "pause": _pause_postgres,
    "cut": _cut,
    "stall": _stall,
    "cut in COPY": _cut_in_copy,
    "lose answers to COMMIT": _lose_commits,
    "end sessions": _end_sessions,
    "lock the books": _lock("ledger.turn"),
    "lock the positions": _lock("charging.position"),
    "lock the reports": _lock("reporting.delivery"),
    "deadlock": _deadlock,
}


class Weather:
    """A watcher of the month that brings some faults each day, one after the other."""

    def __init__(self, shaken: Shaken, seed: int, each_day: float) -> None:
        self._shaken, self._rng, self._each_day = shaken, Random(seed), each_day
        self._coming: asyncio.Queue[str | None] = asyncio.Queue()
        self._kinds: list[str] = []

    def stage(self, text: str) -> None:  # noqa: ARG002 - a day begins
        count = int(self._each_day) + (self._rng.random() < self._each_day % 1)
        for _ in range(count):
            if not self._kinds:
                self._kinds = self._rng.sample(sorted(SHAKES), len(SHAKES))
            self._coming.put_nowait(self._kinds.pop())

    def expect(self, total: int) -> None: ...

    def advance(self, count: int = 1) -> None: ...

    def clears(self) -> None:
        """Nothing more comes after what is on its way."""
        self._coming.put_nowait(None)

    async def rage(self) -> None:
        """Bring what is coming, each a moment later."""
        while (kind := await self._coming.get()) is not None:
            await pass_time(self._rng.uniform(0.0, 0.4))
            await SHAKES[kind](self._shaken, self._rng)


@dataclass
class Aftermath:
    """What a storm left."""

    summary: Summary
    verdict: Verdict
    faults: dict[str, int]
    held: dict[str, Any] = field(default_factory=dict)
    differs: str = ""
    """What services and model have otherwise."""

    def complaints(self) -> list[str]:
        """Everything that is not as it must be; empty after a storm that was weathered."""
        complaints = [line for line in self.verdict.lines() if "FAILED" in line]
        complaints += [f"not as in the model: {self.differs}"] if self.differs else []
        if self.summary.events != self.summary.counted:
            complaints.append(f"{self.summary.events} events were sent and {self.summary.counted} are counted")
        if self.summary.differences:
            complaints.append(f"the national platform differs: {self.summary.differences[:3]}")
        if len(set(self.held.values()) | {1}) > 1:
            complaints.append(f"held more than once: {[key for key, count in self.held.items() if count != 1]}")
        return complaints


async def weather(
    folder: Path,
    seed: int,
    orders: int,
    each_day: float = 1.0,
    longest_pause: float = 3.0,
    deaths: Deaths | None = None,
) -> Aftermath:
    """Run one storm by seed on a separate system; with `deaths` the services kill themselves at their steps, too."""
    wanted = Wanted(orders, seed, OCTOBER)
    scheme = load_scheme([ROOT / "deploy" / "tariffs", ROOT / "deploy" / "demo"])
    roster = folder / "roster.csv"
    write_roster(roster, make_plan(scheme, wanted.month, wanted.orders, wanted.seed).employees)
    extra = {**PLATFORM_FAULTS, "DANBAO_FAULT_SEED": str(seed), **_begin(deaths, folder / "steps")}
    model = MonthModel(wanted.month)
    model.live(generate(scheme, wanted), Settings().close_after_hours)
    async with shaken_system(folder, wanted.month.first_day, extra, roster=roster) as shaken:
        shaken.longest_pause_seconds = longest_pause
        return await shaken.system.supervisor.guard(_play(shaken, wanted, each_day, model, deaths))


def _begin(deaths: Deaths | None, folder: Path) -> Mapping[str, str]:
    folder.mkdir()
    return {} if deaths is None else deaths.begin(folder)


async def _play(shaken: Shaken, wanted: Wanted, each_day: float, model: MonthModel, deaths: Deaths | None) -> Aftermath:
    system, weather = shaken.system, Weather(shaken, wanted.seed, each_day)
    raging = asyncio.create_task(weather.rage())
    reaper = asyncio.create_task((deaths or Deaths(0)).reap(system, shaken.budget))
    try:
        async with open_stream(system.settings, system.apis, weather) as stream:
            driver = MonthDriver(stream, wanted.month.first_day, system.settings.close_after_hours)
            await driver.play(generate(system.scheme, wanted), wanted.month.last_day)
            weather.clears()
            statements = await bill(system, wanted.month, driver.closes_at(wanted.month.last_day))
            await declared(system, wanted.month, len(statements))
            await remit(stream, statements, stand_in(system, Role.REMITTANCES))
            await raging
            sent = stream.sent
        await _settled(system, wanted.month)
    finally:
        raging.cancel()
        reaper.cancel()
    if deaths is not None:
        deaths.disarm()
    shaken.proxy.armed.clear()
    await shaken.all_ready()
    await _settled(system, wanted.month)
    model.pay(statements)
    summary = await summarise(system.apis, wanted.month, sent)
    shaken.check_bounds()
    verdict = await audit_all(audit_sources(system))
    faults = shaken.faults + shaken.proxy.done
    differs = "" if deaths is None else await _differs(system, model)
    return Aftermath(summary, verdict, dict(faults), await _held(shaken), differs)


async def _differs(system: System, model: MonthModel) -> str:
    """The figures that the model has otherwise."""
    auditor = system.variables["DANBAO_AUDIT_DATABASE"]
    async with open_pool(auditor, size=1) as pool, open_engine(auditor, size=1) as engine:
        try:
            await Audit(pool, engine, model.model).all()
        except pytest.fail.Exception as failure:
            return str(failure)
    return ""


async def _held(shaken: Shaken) -> dict[str, int]:
    """How often the national platform took each report."""
    owner = await asyncpg.connect(shaken.stack.database("national_platform"))
    try:
        rows = await owner.fetch(
            "select report_id, count(*) from national_platform.delivery where outcome = 'taken' group by 1"
        )
    finally:
        await owner.close()
    return {row["report_id"]: row["count"] for row in rows}
