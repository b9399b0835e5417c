"""A service that records its steps and kills itself at one of them: what `dying/sitecustomize.py` makes of a process.

Steps are those of `steps.py`, taken by the real service with its real clients. In the folder, `<service>.steps` lists
each kind of step once; `<service>.armed` says at which the process has to die: `when` and `what`. It is renamed to
`<service>.died` before the process is killed, so that the next start lives.
"""

import json
import os
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import asyncpg
import httpx
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from asyncpg.prepared_stmt import PreparedStatement

FOLDER = "DANBAO_LAST_STEP_FOLDER"
_STATEMENTS = ("execute", "executemany", "fetch", "fetchval", "fetchrow")
_NUMBERS = re.compile(r"\d+")


class LastStep:
    """The turnstile in front of every step of this process."""

    def __init__(self, folder: Path, service: str) -> None:
        self._reported, self._armed = folder / f"{service}.steps", folder / f"{service}.armed"
        self._died = folder / f"{service}.died"
        self._seen: set[str] = set()

    def watch(self) -> None:
        """Count the steps of this process's clients from now on."""
        for name in _STATEMENTS:
            self._wrap(asyncpg.Connection, name, lambda _, query, *__, **___: str(query))
        self._wrap(asyncpg.Connection, "copy_records_to_table", lambda _, table, **__: f"copy {table}")
        self._wrap(PreparedStatement, "fetch", lambda statement, *_, **__: str(statement.get_query()))
        self._wrap(AIOKafkaProducer, "send", lambda _, topic, *__, **___: f"publish {topic}")
        self._wrap(AIOKafkaConsumer, "commit", lambda *_, **__: "commit offsets")
        self._wrap(httpx.AsyncClient, "send", lambda _, request, **__: f"{request.method} {request.url.path}")

    def _wrap(self, kind: type, name: str, describe: Callable[..., str]) -> None:
        act = getattr(kind, name)

        async def step(*args: Any, **kwargs: Any) -> Any:
            what = _NUMBERS.sub("#", " ".join(describe(*args, **kwargs).split())[:100])
            self._record(what)
            self._pass("before", what)
            try:
                return await act(*args, **kwargs)
            finally:
                self._pass("after", what)

        setattr(kind, name, step)

    def _record(self, what: str) -> None:
        if what not in self._seen:
            self._seen.add(what)
            with self._reported.open("a", encoding="utf-8") as steps:
                steps.write(what + "\n")

    def _pass(self, when: str, what: str) -> None:
        try:
            armed = self._armed.read_text(encoding="utf-8")
        except FileNotFoundError:
            return
        wanted = json.loads(armed)
        if (wanted["when"], wanted["what"]) == (when, what):
            self._armed.replace(self._died)
            os.kill(os.getpid(), signal.SIGKILL)
