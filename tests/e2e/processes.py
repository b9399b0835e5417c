"""Processes as the tests see them: the command as a child, and what lives below it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from services.demo.running.migrate import HISTORIES
from services.demo.running.state import ENV_FILE
from services.demo.running.supervisor import STATE_FILE
from tests.support.waiting import eventually

CHECKOUT = Path(__file__).parents[2]
SERVICES = tuple(history.service for history in HISTORIES)


@contextmanager
def running(*arguments: str, temporary: Path) -> Iterator[subprocess.Popen[str]]:
    """`danbao` with these arguments, its state directories under `temporary`; killed at the end."""
    with command(*arguments, temporary=temporary) as process:
        try:
            yield process
        finally:
            process.kill()
            process.communicate()


def command(*arguments: str, temporary: Path) -> "subprocess.Popen[str]":
    """Start `danbao`; its output is kept apart."""
    return subprocess.Popen(
        [sys.executable, "-m", "services.cli", *arguments],
        cwd=CHECKOUT,
        env={**os.environ, "TMPDIR": str(temporary)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(*arguments: str, temporary: Path, stdin: str = "", timeout_seconds: float = 600.0) -> tuple[int, str, str]:
    """Exit status, standard output and standard error of one `danbao`."""
    done = subprocess.run(
        [sys.executable, "-m", "services.cli", *arguments],
        cwd=CHECKOUT,
        env={**os.environ, "TMPDIR": str(temporary)},
        input=stdin,
        capture_output=True,
        text=True,
        timeout=timeout_seconds,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def state_of(temporary: Path) -> Path:
    """The state directory of the one demo under `temporary`, once all its services were started."""

    def is_there() -> bool:
        return any(SERVICES[-1] in pids_of(folder) and (folder / ENV_FILE).exists() for folder in folders(temporary))

    eventually(is_there, "the demo's services")
    return next(iter(folders(temporary)))


def folders(temporary: Path) -> list[Path]:
    """State directories of demos."""
    return sorted(temporary.glob("danbao-demo-*"))


def pids_of(folder: Path) -> dict[str, int]:
    """Process ids by service, as the supervisor wrote them last."""
    try:
        state: dict[str, int] = json.loads((folder / STATE_FILE).read_text())
    except OSError:
        return {}
    return state


def descendants(pid: int) -> set[int]:
    """All processes below one, from /proc."""
    parents: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = stat.read_text()
        except OSError:
            continue
        parents[int(stat.parent.name)] = int(text.rpartition(")")[2].split()[1])
    family = {pid}
    while below := {child for child, parent in parents.items() if parent in family} - family:
        family |= below
    return family - {pid}


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that only waits to be collected does not."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return text.rpartition(")")[2].split()[0] != "Z"


def kill(pid: int) -> None:
    """SIGKILL."""
    os.kill(pid, signal.SIGKILL)
