"""Run the services as child processes: start, watch, restart and stop them.

A service that ends is started again, a few times a minute, also after SIGTERM (status 0). Status 70 says that going on
would damage the books, so it ends the whole. Everything here runs in the main thread: on Linux a child's life is tied
to the thread that started it.
"""

import asyncio
import json
import os
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

from deploy.embedded.children import Child, EmbeddedError, start_child
from shared.runtime.exits import Exit, OutOfOrder
from shared.runtime.settings import HOUSE

POLL_SECONDS: Final = 0.25
STARTS_A_MINUTE: Final = 5
STATE_FILE: Final = "processes.json"
T = TypeVar("T")


@dataclass(slots=True)
class Managed:
    """One service: its command's environment, its current process, and the times of its restarts."""

    name: str
    env: Mapping[str, str]
    log: Path
    child: Child | None = None
    restarts: deque[float] = field(default_factory=deque)


class Supervisor:
    """Keeps services running; `<directory>/processes.json` has their process ids, for tests and for people."""

    def __init__(self, directory: Path, check: Callable[[], None] = lambda: None) -> None:
        self.directory = directory
        self._check = check
        self._managed: dict[str, Managed] = {}
        self._watch: asyncio.Task[None] | None = None

    def start(self, name: str, env: Mapping[str, str]) -> None:
        """Start `python -m services.<name>`; its output goes to `logs/<name>.log`."""
        log = self.directory / "logs" / f"{name}.log"
        log.parent.mkdir(exist_ok=True)
        self._managed[name] = managed = Managed(name, env, log)
        self._spawn(managed)

    def pid(self, name: str) -> int:
        """Return the current process id of a service."""
        child = self._managed[name].child
        assert child is not None
        return child.pid

    def watch(self) -> None:
        """Start watching the services, in the running loop."""
        self._watch = asyncio.get_running_loop().create_task(self._run(), name="supervisor")

    async def guard(self, work: Coroutine[None, None, T]) -> T:
        """Return the result of `work`; if the watch ends first, cancel the work and raise OutOfOrder."""
        assert self._watch is not None
        task = asyncio.ensure_future(work)
        try:
            await asyncio.wait({task, self._watch}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                self._watch.result()
            return await task
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def stop(self) -> None:
        """Stop the watch and every service: SIGTERM first, then SIGKILL for those that do not end."""
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
        self.stop_services()

    def stop_services(self) -> None:
        """Signal all services to end, then wait for each."""
        running = [service.child for service in self._managed.values() if service.child is not None]
        for child in running:
            child.send_signal(signal.SIGTERM)
        for child in running:
            child.stop()

    def last_words(self) -> str:
        """Return the end of each log, one line for each service."""
        return "\n".join(f"{m.name}: {m.child.last_words()}" for m in self._managed.values() if m.child is not None)

    async def _run(self) -> None:
        while True:
            try:
                self._check()
            except EmbeddedError as error:
                raise OutOfOrder(str(error)) from error
            for managed in self._managed.values():
                self._look_after(managed)
            await asyncio.sleep(POLL_SECONDS)

    def _look_after(self, managed: Managed) -> None:
        assert managed.child is not None
        status = managed.child.poll()
        if status is None:
            return
        if status == Exit.SOFTWARE:
            raise OutOfOrder(f"{managed.name} stopped with status {status}, see {managed.log}")
        now = time.monotonic()
        while managed.restarts and managed.restarts[0] < now - 60:
            managed.restarts.popleft()
        if len(managed.restarts) >= STARTS_A_MINUTE:
            raise OutOfOrder(f"{managed.name} died {STARTS_A_MINUTE + 1} times within a minute, see {managed.log}")
        managed.restarts.append(now)
        self._spawn(managed)

    def _spawn(self, managed: Managed) -> None:
        command = [sys.executable, "-m", f"services.{managed.name}"]
        managed.child = start_child(managed.name, command, env=managed.env, cwd=HOUSE, log=managed.log)
        pids = {name: service.child.pid for name, service in self._managed.items() if service.child is not None}
        unseen = self.directory / f"{STATE_FILE}.new"
        unseen.write_text(json.dumps({"danbao": os.getpid(), **pids}))
        unseen.replace(self.directory / STATE_FILE)
