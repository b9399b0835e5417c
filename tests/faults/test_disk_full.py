"""A disk that is full: the database lies on a small file system that is filled up under load."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir

import pytest

from deploy.embedded.broker import EmbeddedBroker
from deploy.embedded.children import EmbeddedError
from deploy.embedded.postgres import EmbeddedPostgres
from deploy.embedded.stack import DATABASES, EmbeddedStack
from tests.faults.load import open_load
from tests.faults.shaken_system import Shaken, shaken_system
from tests.integration.charging.charging_harness import NOON
from tests.support.waiting import eventually_async

SIZE_MIB = 320
SMALL = {"max_wal_size": "64MB", "min_wal_size": "32MB", "shared_buffers": "64MB"}


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A separate file system of SIZE_MIB that the user of the database can reach."""
    with TemporaryDirectory(prefix="danbao-small-", dir=gettempdir()) as name:
        folder = Path(name)
        command = ["mount", "-t", "tmpfs", "-o", f"size={SIZE_MIB}m,mode=0755", "tmpfs", name]
        if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode != 0:
            pytest.skip("needs root, and a system that lets it mount a tmpfs")
        folder.chmod(0o755)
        try:
            yield folder
        finally:
            subprocess.run(["umount", "--lazy", name], check=True)


def fill(disk: Path) -> Path:
    """Take all space that is left."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(64 * 1024))
        except OSError:
            return ballast


def bring_back(shaken: Shaken) -> None:
    """Start the server again where the full disk has ended it; an operator would."""
    if shaken.stack.postgres.server.poll() is not None:
        shaken.stack.postgres.restart()


@pytest.mark.exhaustive
@pytest.mark.root
async def test_a_full_disk_stops_charging_and_costs_nothing(small_disk: Path, tmp_path: Path) -> None:
    stack = EmbeddedStack()
    stack.postgres, stack.broker = EmbeddedPostgres(SMALL, small_disk), EmbeddedBroker()
    assert DATABASES
    with stack:
        async with shaken_system(tmp_path, NOON.date(), stack=stack) as shaken, open_load(shaken) as load:
            await load.send(100)
            await load.is_exact()
            ballast = fill(small_disk)

            async def is_reported() -> bool:
                await load.send(2_000)
                return bool(await shaken.reasons("charging"))

            await eventually_async(is_reported, "charging to say that it cannot write")
            ballast.unlink()
            try:
                bring_back(shaken)
            except EmbeddedError as error:
                raise AssertionError(f"the server does not come back: {error}") from error
            await load.is_exact()
            await shaken.all_ready()
            assert await load.audit() == []
            shaken.check_bounds()
