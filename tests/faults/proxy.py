"""A way to the database that can be cut, stalled, silenced, or made to lose one answer: what networks do. Real sockets.

It listens in the running loop and forwards bytes. An armed fault hits the next connection that sends its trigger word.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

Fault = Literal["cut in COPY", "answer to COMMIT lost"]
WORDS: dict[Fault, bytes] = {"cut in COPY": b"PGCOPY\n", "answer to COMMIT lost": b"COMMIT;"}
"""What a client says then: how a binary COPY begins, and how the drivers end a transaction."""

Pair = tuple[asyncio.StreamWriter, asyncio.StreamWriter]
"""Towards the client, towards the server."""


@dataclass
class Proxy:
    """In front of one server. `done` counts the faults that have befallen a connection."""

    host: str
    port: int
    login: str = ""
    listening: int = 0
    armed: Counter[Fault] = field(default_factory=Counter)
    done: Counter[str] = field(default_factory=Counter)
    pairs: set[Pair] = field(default_factory=set)
    silent: set[Pair] = field(default_factory=set)
    flow: asyncio.Event = field(default_factory=asyncio.Event)

    def url(self, database: str) -> str:
        """The URL of a database through this proxy."""
        return f"postgresql://{self.login}@127.0.0.1:{self.listening}/{database}"

    def arm(self, fault: Fault, times: int = 1) -> None:
        """Let it befall as many connections, each at its next chance."""
        self.armed[fault] += times

    def cut(self) -> None:
        """Break every connection now."""
        self.done["connections cut"] += 1
        for pair in list(self.pairs):
            for writer in pair:
                writer.transport.abort()

    def stall(self) -> None:
        """Forward nothing until `go_on`; neither side gets an error."""
        self.done["connections stalled"] += 1
        self.flow.clear()

    def silence(self) -> None:
        """Forward nothing of these connections ever again, close none of them, and stall new ones until `go_on`."""
        self.done["connections silenced"] += 1
        self.silent |= self.pairs
        self.flow.clear()

    def go_on(self) -> None:
        self.flow.set()

    def takes(self, data: bytes) -> Fault | None:
        """The fault that these bytes of a client meet."""
        for fault, word in WORDS.items():
            if self.armed[fault] and word in data:
                self.armed[fault] -= 1
                self.done[fault] += 1
                return fault
        return None


@asynccontextmanager
async def open_proxy(owner_url: str) -> AsyncIterator[Proxy]:
    """A proxy in front of the server of this URL, with its login."""
    parts = urlsplit(owner_url)
    proxy = Proxy(parts.hostname or "", parts.port or 5432, parts.netloc.rpartition("@")[0])
    proxy.go_on()
    tasks: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        with contextlib.suppress(OSError, asyncio.CancelledError):
            await _serve(proxy, reader, writer)
        writer.transport.abort()
        tasks.discard(task)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    proxy.listening = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _serve(proxy: Proxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    server_reader, server_writer = await asyncio.open_connection(proxy.host, proxy.port)
    pair = (writer, server_writer)
    proxy.pairs.add(pair)
    lost = asyncio.Event()
    back = asyncio.create_task(_answer(proxy, server_reader, pair, lost))
    try:
        while data := await reader.read(65_536):
            if pair not in proxy.silent:
                await proxy.flow.wait()
            if pair in proxy.silent:
                continue
            fault = proxy.takes(data)
            if fault == "cut in COPY":
                server_writer.write(data[: len(data) // 2])
                await server_writer.drain()
                return
            if fault == "answer to COMMIT lost":
                lost.set()
            server_writer.write(data)
            await server_writer.drain()
            if fault is not None:
                await back
                return
        if pair in proxy.silent:
            await asyncio.Event().wait()  # the server does not hear of it that the client has gone
    finally:
        proxy.pairs.discard(pair)
        back.cancel()
        server_writer.transport.abort()


async def _answer(proxy: Proxy, reader: asyncio.StreamReader, pair: Pair, lost: asyncio.Event) -> None:
    """Forward what the server says, unless the next answer is to be lost: then wait for it and end."""
    writer, _ = pair
    try:
        while data := await reader.read(65_536):
            if pair not in proxy.silent:
                await proxy.flow.wait()
            if pair in proxy.silent:
                continue
            if lost.is_set():
                return
            writer.write(data)
            await writer.drain()
    except OSError:
        return
    finally:
        writer.transport.abort()  # however the server went, the client hears of it
