"""What the command does about services that die."""

from pathlib import Path

import pytest

from services.demo.running.supervisor import STARTS_A_MINUTE, Supervisor
from shared.runtime.exits import OutOfOrder
from tests.e2e.processes import is_alive, kill, pids_of
from tests.support.waiting import eventually_async


async def test_a_service_that_keeps_dying_ends_the_whole(tmp_path: Path) -> None:
    supervisor = Supervisor(tmp_path)
    supervisor.start("no_such_service", {})
    supervisor.watch()

    async def never() -> bool:
        return False

    with pytest.raises(OutOfOrder, match=f"died {STARTS_A_MINUTE + 1} times within a minute"):
        await supervisor.guard(eventually_async(never, "the end of the guard"))
    await supervisor.stop()
    log = (tmp_path / "logs" / "no_such_service.log").read_text()
    assert log.count("No module named services.no_such_service") == STARTS_A_MINUTE + 1


async def test_a_service_that_was_killed_is_started_again(tmp_path: Path) -> None:
    # The command itself is a service like any other here: one that runs until it gets the signal to end.
    supervisor = Supervisor(tmp_path)
    supervisor.start("charging", {"DANBAO_DATABASE": "postgresql://nobody@127.0.0.1:9/none"})
    first = supervisor.pid("charging")
    supervisor.watch()

    async def is_another() -> bool:
        return supervisor.pid("charging") != first

    kill(first)
    await supervisor.guard(eventually_async(is_another, "a second start"))
    second = pids_of(tmp_path)["charging"]
    assert second == supervisor.pid("charging")
    await supervisor.stop()
    assert not is_alive(second)
