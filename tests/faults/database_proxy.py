"""A way to the database that is cut at a chosen moment: what a network does to the answer to a COMMIT."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit, urlunsplit


@dataclass
class Proxy:
    """Forwards connections; each requested cut takes the next connection that sends the trigger word.

    `late`: what was said reaches the server only when `release` is set, after the client has seen the cut.
    """

    url: str
    word: bytes = b""
    cuts: int = 0
    late: bool = False
    done: int = 0
    release: asyncio.Event = field(default_factory=asyncio.Event)

    def cut_at(self, word: bytes, times: int = 1, *, late: bool = False) -> None:
        self.word, self.cuts, self.late = word, times, late


@asynccontextmanager
async def database_proxy(url: str) -> AsyncIterator[Proxy]:
    """A proxy in front of the server of this URL; its own URL leads through it."""
    parts = urlsplit(url)
    proxy = Proxy("")
    tasks: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        with contextlib.suppress(OSError, asyncio.CancelledError):
            await _serve(proxy, reader, writer, parts.hostname or "", parts.port or 5432)
        writer.close()
        tasks.discard(task)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    login = parts.netloc.rpartition("@")[0]
    proxy.url = urlunsplit(parts._replace(netloc=f"{login}@127.0.0.1:{port}"))
    try:
        yield proxy
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _serve(
    proxy: Proxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str, port: int
) -> None:
    server_reader, server_writer = await asyncio.open_connection(host, port)
    back = asyncio.create_task(_pump(server_reader, writer))
    has_copied = False
    try:
        while data := await reader.read(65_536):
            has_copied |= b'COPY "' in data
            if proxy.cuts and has_copied and proxy.word in data:
                proxy.cuts -= 1
                await _cut(proxy, data, writer, back, server_writer)
                return
            server_writer.write(data)
            await server_writer.drain()
    finally:
        back.cancel()
        server_writer.close()


async def _cut(
    proxy: Proxy, data: bytes, writer: asyncio.StreamWriter, back: asyncio.Task[None],
    server_writer: asyncio.StreamWriter,
) -> None:  # fmt: skip
    """Let the word through and the answer not."""
    back.cancel()
    if proxy.late:
        writer.close()
        await proxy.release.wait()
    server_writer.write(data)
    await server_writer.drain()
    writer.close()
    proxy.done += 1


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
        writer.close()
