"""Child processes that end when this process does, however it ends.

On Linux the kernel signals the child when the *thread* that started it ends, so children are started from the
main thread only. Elsewhere a second small process holds the reading end of a pipe and signals when it closes.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

from deploy.embedded.account import SystemUser

PR_SET_PDEATHSIG = 1
TAIL_BYTES = 2_000
POLL_SECONDS = 0.005


class EmbeddedError(Exception):
    """An embedded part or a child did not do what it should; the message is one line for a person."""


class NotReadyError(EmbeddedError):
    """A child still runs but did not become ready in time; trying again would not help."""


class Child:
    """One running process with its true process id.

    `log` is the file that holds its output, or None where it shares ours.
    """

    def __init__(self, name: str, process: subprocess.Popen[bytes], log: Path | None, watch: int | None) -> None:
        self.name = name
        self.log = log
        self._process = process
        self._watch = watch

    @property
    def pid(self) -> int:
        """Its process id, which stays reserved until `poll` or `stop` has seen it end."""
        return self._process.pid

    def poll(self) -> int | None:
        """The exit code (minus the signal's number where one ended it), or None while it runs."""
        code = self._process.poll()
        if code is not None:
            self._dismiss_watch()
        return code

    def send_signal(self, number: signal.Signals) -> None:
        """Signal it; nothing happens when it has ended."""
        if self.poll() is None:
            self._process.send_signal(number)

    def wait(self, timeout_seconds: float) -> int | None:
        """Wait for its end: the exit code, or None when the time is over."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout_seconds)
        return self.poll()

    def stop(self, number: signal.Signals = signal.SIGTERM, patience_seconds: float = 10.0) -> int:
        """Send the signal `number`, kill the child when patience runs out, and return its exit code."""
        self.send_signal(number)
        if self.wait(patience_seconds) is None:
            self.send_signal(signal.SIGKILL)
            self._process.wait()
        code = self.poll()
        assert code is not None
        return code

    def wait_until(self, is_ready: Callable[[], bool], timeout_seconds: float) -> None:
        """Wait until `is_ready` answers yes.

        Raises:
            EmbeddedError: It ended first; the message has its last words.
            NotReadyError: The time was over.
        """
        deadline = time.monotonic() + timeout_seconds
        while not is_ready():
            if (code := self.poll()) is not None:
                raise EmbeddedError(f"{self.name} ended with {code} before it was ready: {self.last_words()}")
            if time.monotonic() > deadline:
                raise NotReadyError(f"{self.name} was not ready in {timeout_seconds:g} s: {self.last_words()}")
            time.sleep(POLL_SECONDS)

    def last_words(self) -> str:
        """The end of its log in one line."""
        if self.log is None or not self.log.exists():
            return "(no log)"
        with self.log.open("rb") as log:
            log.seek(max(0, self.log.stat().st_size - TAIL_BYTES))
            return " / ".join(log.read().decode(errors="replace").split("\n")[-6:]).strip(" /") or "(empty log)"

    def _dismiss_watch(self) -> None:
        """Dismiss the watching process when this child is gone, lest it signal a stranger with the same id."""
        if self._watch is not None:
            with contextlib.suppress(OSError):
                os.write(self._watch, b".")
            os.close(self._watch)
            self._watch = None


def start_child(
    name: str,
    command: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path = Path("/"),
    log: Path | None = None,
    user: SystemUser | None = None,
    death_signal: signal.Signals = signal.SIGKILL,
    watched_by_pipe: bool = sys.platform != "linux",
) -> Child:
    """Start a process in a new session (so that Ctrl-C reaches only us), tied to the life of this one.

    Args:
        name: What messages call it.
        env: Its whole environment; ours when None.
        log: File its output is added to; ours is shared when None.
        user: Whom it runs as; only root may say so.
        death_signal: What it is sent when this process dies.
        watched_by_pipe: Use the way that works everywhere instead of the kernel's.

    Raises:
        EmbeddedError: Called from another thread than the main one, or the program cannot be started.
    """
    if threading.current_thread() is not threading.main_thread():
        raise EmbeddedError(f"{name} must be started from the main thread: it would die with any other")
    with contextlib.ExitStack() as stack:
        output: IO[bytes] | None = stack.enter_context(log.open("ab")) if log else None
        try:
            process = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=cwd, env=env,
                start_new_session=True,
                user=user.uid if user else None,
                group=user.gid if user else None,
                extra_groups=[] if user else None,
                preexec_fn=None if watched_by_pipe else _die_with_parent(death_signal),  # noqa: PLW1509 - see its text
            )  # fmt: skip
        except OSError as error:
            raise EmbeddedError(f"{name} cannot be started: {error}") from error
    watch = _start_watch(process.pid, death_signal) if watched_by_pipe else None
    return Child(name, process, log, watch)


def _die_with_parent(number: signal.Signals) -> Callable[[], None]:
    """Return what the forked child runs before exec: a request to the kernel for a signal at our death.

    It runs between fork and exec, so all it needs is resolved before; it takes no lock and imports nothing.
    """
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    parent = os.getpid()

    def request_signal() -> None:
        prctl(PR_SET_PDEATHSIG, int(number), 0, 0, 0)
        if os.getppid() != parent:  # the parent died before the request
            os._exit(1)

    return request_signal


def _start_watch(pid: int, number: signal.Signals) -> int:
    """Start the process that watches us for `pid`; the writing end of its pipe is returned."""
    reading, writing = os.pipe()
    command = [
        sys.executable,
        "-I",
        "-S",
        str(Path(__file__).with_name("watch.py")),
        str(pid),
        str(int(number)),
    ]
    try:
        subprocess.Popen(command, stdin=reading, cwd="/", start_new_session=True)
    finally:
        os.close(reading)
    return writing
