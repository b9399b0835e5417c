"""Harness of the attacks over HTTP: four services as processes, and raw sockets that send invalid requests."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import pytest

from services.demo.running.system import System, Wishes, running_system
from shared.adapters.crypto.signing import AuthorSigner
from shared.adapters.files.vkeys import read_authors
from shared.adapters.http.as_person import AsPerson

SERVICES: Final = ("charging", "ledger", "reporting", "national_platform")
SETTINGS: Final = {
    "DANBAO_HTTP_HEADER_SECONDS": "1",
    "DANBAO_HTTP_BODY_SECONDS": "1",
    "DANBAO_HTTP_WRITE_SECONDS": "1",
    "DANBAO_HTTP_CONNECTIONS": "60",
    "DANBAO_HTTP_CONNECTIONS_OF_ADDRESS": "40",
    "DANBAO_HTTP_STRANGER_BURST": "5000",
}
"""Short and small, so that a test need not wait and need not send much."""


@dataclass(frozen=True, slots=True)
class Target:
    """A service, its address, its process, a key that it takes, and the person whose decisions it takes."""

    name: str
    url: str
    pid: int
    key: str
    person: AsPerson

    @property
    def place(self) -> tuple[str, int]:
        parts = urlsplit(self.url)
        return parts.hostname or "", parts.port or 0

    def resident_bytes(self) -> int:
        """What the process holds in memory now."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")

    def peak_bytes(self) -> int:
        """The most that it ever held, since `forget_peak`."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))

    def forget_peak(self) -> None:
        """Reset the peak memory of the process."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")


@asynccontextmanager
async def running_targets(folder: Path, parts: dict[str, str]) -> AsyncIterator[tuple[System, dict[str, Target]]]:
    """All four, with SETTINGS."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in parts.items():
            patch.setenv(name, value)
        async with running_system(Wishes(folder, extra=SETTINGS)) as system:
            settings, pid = system.settings, system.supervisor.pid
            urls = (settings.charging_url, settings.ledger_url, settings.reporting_url, settings.platform_url)
            keys = (settings.charging_key, settings.ledger_key, settings.reporting_key, settings.platform_key)
            assert settings.person_key is not None
            assert settings.vkeys is not None
            operator = AuthorSigner.load_person(settings.person_key, read_authors(settings.vkeys))
            targets = {
                name: Target(name, url, pid(name), key.get_secret_value(), AsPerson(operator, name))
                for name, url, key in zip(SERVICES, urls, keys, strict=True)
            }
            yield system, targets


@dataclass
class Wire:
    """A connection to a service, byte by byte."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        """Send; a connection that the other side has closed takes nothing."""
        self.writer.write(data)
        try:
            await self.writer.drain()
        except ConnectionError:
            return

    async def status(self) -> int:
        """The status of the next answer; 0 where the connection is closed without one."""
        try:
            line = await self.reader.readline()
        except ConnectionError:
            return 0
        return int(line.split()[1]) if line.startswith(b"HTTP/") else 0

    async def seconds_until_closed(self) -> float:
        """How long the service keeps the connection."""
        began = time.monotonic()
        try:
            while await self.reader.read(65_536):
                pass
        except ConnectionError:
            pass
        return time.monotonic() - began


@asynccontextmanager
async def wire_to(target: Target, source: str = "127.0.0.1") -> AsyncIterator[Wire]:
    """Connect from an address of this host."""
    reader, writer = await asyncio.open_connection(*target.place, local_addr=(source, 0))
    try:
        yield Wire(reader, writer)
    finally:
        writer.close()


def request(target: Target, path: str, *headers: str, method: str = "POST", key: str = "") -> bytes:
    """The first bytes of a request, up to its body."""
    shown = [f"Authorization: Bearer {key}"] if key else []
    lines = [f"{method} {path} HTTP/1.1", f"Host: {target.name}", *shown, *headers]
    return "\r\n".join([*lines, "", ""]).encode()
