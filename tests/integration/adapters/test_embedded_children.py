"""A child ends when its parent does, and says why when it does not start."""

import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from deploy.embedded.children import EmbeddedError, NotReadyError, start_child
from tests.support.waiting import eventually

FOREVER = [sys.executable, "-I", "-c", "import signal; print('up', flush=True); signal.pause()"]
PARENT = """
import signal, sys
from deploy.embedded.children import start_child
child = start_child("child", sys.argv[2:], watched_by_pipe=sys.argv[1] == "pipe", log=None)
print(child.pid, flush=True)
signal.pause()
"""


def is_gone(pid: int) -> bool:
    """Whether no such process runs; a dead one that nobody has collected yet counts as gone."""
    status = Path(f"/proc/{pid}/stat")
    if Path("/proc/self/stat").exists():  # Linux, where `ps` may not be installed
        with suppress(FileNotFoundError, ProcessLookupError):
            return status.read_text().rpartition(")")[2].split()[0] == "Z"
        return True
    ps = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return ps.stdout.strip() in {"", "Z", "Zs"}


@pytest.mark.parametrize(
    "way",
    [
        pytest.param("kernel", marks=pytest.mark.skipif(sys.platform != "linux", reason="only Linux has it")),
        "pipe",
    ],
)
def test_child_ends_when_its_parent_is_killed(way: str) -> None:
    command = [sys.executable, "-c", PARENT, way, *FOREVER]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as parent:
        assert parent.stdout
        pid = int(parent.stdout.readline())
        assert not is_gone(pid)
        parent.kill()
    eventually(lambda: is_gone(pid), "end of the child")


@pytest.mark.parametrize("by_pipe", [False, True])
def test_child_stops_when_asked(by_pipe: bool) -> None:
    child = start_child("child", FOREVER, watched_by_pipe=by_pipe)
    assert child.poll() is None
    assert child.stop() == -15
    assert child.poll() == -15


def test_child_that_does_not_listen_is_killed(tmp_path: Path) -> None:
    deaf = "import signal; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True); signal.pause()"
    log = tmp_path / "log"
    child = start_child("child", [sys.executable, "-I", "-c", deaf], log=log)
    child.wait_until(lambda: "deaf" in log.read_text(), 20)
    assert child.stop(patience_seconds=0.05) == -9


def test_end_before_ready_is_told_with_the_last_words(tmp_path: Path) -> None:
    command = [sys.executable, "-I", "-c", "import sys; sys.exit('no room')"]
    child = start_child("the child", command, log=tmp_path / "log")
    with pytest.raises(EmbeddedError, match="the child ended with 1 before it was ready: no room"):
        child.wait_until(lambda: False, 20)


def test_not_ready_in_time_is_another_error() -> None:
    child = start_child("the child", FOREVER)
    with pytest.raises(NotReadyError, match=r"not ready in 0\.01 s"):
        child.wait_until(lambda: False, 0.01)
    child.stop()


def test_other_threads_may_not_start_children() -> None:
    errors: list[EmbeddedError] = []

    def start() -> None:
        try:
            start_child("child", FOREVER)
        except EmbeddedError as error:
            errors.append(error)

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    assert "main thread" in str(errors[0])


def test_missing_program_is_named() -> None:
    with pytest.raises(EmbeddedError, match="the child cannot be started"):
        start_child("the child", ["/nowhere/to/be/found"])
