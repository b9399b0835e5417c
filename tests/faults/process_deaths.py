"""Where services have to kill themselves, and where they have: the other side of `last_step.py`."""

import asyncio
import contextlib
import json
import time
from collections import Counter, deque
from collections.abc import Mapping
from itertools import cycle
from pathlib import Path
from random import Random
from typing import NamedTuple

from services.demo.running.system import System
from shared.runtime.exits import CommandFailed
from tests.faults.last_step import FOLDER
from tests.faults.steps import When
from tests.integration.charging.charging_harness import ROOT
from tests.support.waiting import eventually_async

SERVICES = ("charging", "ledger", "reporting", "national_platform")
WEIGHTY = ("insert", "update", "delete", "commit", "copy", "publish", "post")


STARTS_A_MINUTE = 4
"""Of one service that we kill: its supervisor gives up at the sixth."""
PATIENCE_SECONDS = 3.0
"""A step that does not come within this is left for later."""


class Budget:
    """How often services may still be killed."""

    def __init__(self) -> None:
        self._times: dict[str, deque[float]] = {}

    def take(self, service: str) -> bool:
        """Whether this one may be killed once more now; if so it counts."""
        now, times = time.monotonic(), self._times.setdefault(service, deque())
        while times and times[0] < now - 60:
            times.popleft()
        if len(times) >= STARTS_A_MINUTE:
            return False
        times.append(now)
        return True


class Death(NamedTuple):
    """A service dies just before or just after a step of this kind."""

    service: str
    what: str
    when: When

    @property
    def is_weighty(self) -> bool:
        """Whether the step changes a row or sends a message."""
        return self.what.lower().startswith(WEIGHTY)


class Deaths:
    """Every kind of step that was recorded, in an order by seed; each is died at once before any is died at twice."""

    def __init__(self, seed: int) -> None:
        self._rng = Random(seed)
        self._armed: dict[str, Death] = {}
        self._folder = Path()
        self.known: dict[Death, float] = {}
        self.tried: Counter[Death] = Counter()
        self.died: Counter[Death] = Counter()

    def begin(self, folder: Path) -> Mapping[str, str]:
        """A new system, whose services write into this folder; returns the variables that they need."""
        self._folder = folder
        self._armed.clear()
        return {"PYTHONPATH": f"{Path(__file__).parent / 'dying'}:{ROOT}", FOLDER: str(folder)}

    def arm(self, service: str) -> None:
        """Choose where this service dies next, of what was tried least; what does not come stays for later."""
        mine = [death for death in self.known if death.service == service]
        death = min(mine, key=lambda each: (self.tried[each], not each.is_weighty, self.known[each]))
        self.tried[death] += 1
        self._armed[service] = death
        wanted = {"when": death.when, "what": death.what}
        unseen = self._folder / f"{service}.new"
        unseen.write_text(json.dumps(wanted), encoding="utf-8")
        unseen.replace(self._folder / f"{service}.armed")

    def collect(self) -> list[Death]:
        """Learn what was recorded, and who has died since the last time."""
        for service in SERVICES:
            reported = self._folder / f"{service}.steps"
            for what in sorted(set(reported.read_text(encoding="utf-8").splitlines())) if reported.exists() else []:
                for when in ("before", "after"):
                    self.known.setdefault(Death(service, what, when), self._rng.random())
        gone = [service for service in self._armed if (self._folder / f"{service}.died").exists()]
        dead = [self._armed.pop(service) for service in gone]
        for death in dead:
            (self._folder / f"{death.service}.died").unlink()
        self.died.update(dead)
        return dead

    def disarm(self) -> None:
        """Nobody has to die any more."""
        for service in SERVICES:
            (self._folder / f"{service}.armed").unlink(missing_ok=True)
        self.collect()
        self._armed.clear()

    async def arm_all(self, system: System, budget: Budget, most: int) -> None:
        """Arm each service at a newly chosen step whenever all are ready, until `most` deaths have happened."""
        self.collect()
        await eventually_async(lambda: _are_ready(system), "readiness of all four")
        for service in SERVICES:
            if service in self._armed or (
                self._is_known(service) and self.died.total() + len(self._armed) < most and budget.take(service)
            ):  # the step did not come
                self.arm(service)

    async def reap(self, system: System, budget: Budget) -> None:
        """Have one service after another die at a step, for as long as this runs.

        One at a time, and only when all four are ready: on a busy machine a start takes long, and nothing would go on.
        """
        for service in cycle(SERVICES):
            await _pass_time()
            self.collect()
            if not self._is_known(service) or not await _are_ready(system) or not budget.take(service):
                continue
            self.arm(service)
            patience = time.monotonic() + PATIENCE_SECONDS
            while service in self._armed and time.monotonic() < patience:
                await _pass_time()
                self.collect()
            self.disarm()

    def _is_known(self, service: str) -> bool:
        return any(death.service == service for death in self.known)


async def _pass_time() -> None:
    """A moment in which the system runs."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(asyncio.Event().wait(), 0.05)


async def _are_ready(system: System) -> bool:
    """Whether all four say so."""
    apis = system.apis
    try:
        for api in (apis.charging, apis.ledger, apis.reporting, apis.national_platform):
            await api.probe("/readyz")
    except CommandFailed:
        return False
    return True
