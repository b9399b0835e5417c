"""`danbao demo` as a person or a script starts it, and as nobody should end it."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from services.demo.demo import OCTOBER
from services.demo.running.migrate import read_env_file
from services.demo.running.state import ENV_FILE
from tests.e2e.conftest import ORDERS, SEED, Month
from tests.e2e.processes import SERVICES, descendants, folders, is_alive, kill, pids_of, run, running, state_of
from tests.support.waiting import eventually

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("own_parts")]
DEMO = ("demo", "--orders", str(ORDERS), "--seed", str(SEED), "--json")
CHANGING = {"seconds", "reports_sent", "receipts", "places", "log"}
"""What may differ between two runs of one seed: receipts' names, numbers of attempts and of batches."""


def figures(reported: dict[str, object]) -> dict[str, object]:
    """What must be the same each time."""
    return {name: value for name, value in reported.items() if name not in CHANGING}


def test_the_demo_gives_the_figures_that_it_always_gave(month: Month) -> None:
    """Of this seed; a change that is meant writes `tests/e2e/demo_figures.json` again and says why in CHANGELOG.md."""
    kept = json.loads((Path(__file__).parent / "demo_figures.json").read_text(encoding="utf-8"))
    assert figures(month.summary.as_json()) == kept


@pytest.mark.exhaustive
def test_same_seed_gives_the_same_figures_and_one_object_only(month: Month, open_folder: Path) -> None:
    status, out, err = run(*DEMO, temporary=open_folder)
    assert status == 0, err
    assert err == ""
    reported = json.loads(out)
    assert figures(reported) == figures(month.summary.as_json())
    assert reported["audit"] == "passed"
    assert reported["receipts"] == reported["reports_sent"] == month.summary.receipts
    assert folders(open_folder) == []


@pytest.mark.exhaustive
def test_killing_each_service_in_the_middle_changes_no_figure(month: Month, open_folder: Path) -> None:
    with running(*DEMO, temporary=open_folder) as demo:
        folder = state_of(open_folder)
        for place, service in enumerate(SERVICES, 1):
            wait_for_close(demo, folder, 5 * place)
            before = pids_of(folder)[service]
            kill(before)
            eventually(lambda s=service, b=before: pids_of(folder)[s] != b, f"{service} to be started again")  # type: ignore[misc]
        out, err = demo.communicate(timeout=600)
        assert demo.returncode == 0, err
    reported = json.loads(out)
    assert figures(reported) == figures(month.summary.as_json())
    assert reported["receipts"] == month.summary.receipts


def wait_for_close(demo: subprocess.Popen[str], folder: Path, day: int) -> None:
    """Wait until the demo has closed that day of the month; fail with its words when it has ended before."""
    known = read_env_file(folder / ENV_FILE)
    wanted = OCTOBER.first_day.replace(day=day).isoformat()
    headers = {"Authorization": f"Bearer {Path(known['DANBAO_LEDGER_KEY_FILE']).read_text().strip()}"}

    def is_closed() -> bool:
        assert demo.poll() is None, demo.communicate()[1]
        try:
            answer = httpx.get(f"{known['DANBAO_LEDGER_URL']}/v1/status", headers=headers, trust_env=False)
        except httpx.TransportError:
            return False
        return bool((answer.json()["last_closed_day"] or "") >= wanted)

    eventually(is_closed, f"the close of day {day}")


@pytest.mark.skipif(sys.platform != "linux", reason="reads processes in /proc")
@pytest.mark.parametrize(("number", "status"), [(signal.SIGKILL, -9), (signal.SIGTERM, 143), (signal.SIGINT, 130)])
@pytest.mark.exhaustive
def test_no_process_is_left_however_the_demo_ends(open_folder: Path, number: signal.Signals, status: int) -> None:
    with running(*DEMO, temporary=open_folder) as demo:
        state_of(open_folder)
        below = descendants(demo.pid)
        assert len(below) >= len(SERVICES) + 2
        demo.send_signal(number)
        _, err = demo.communicate(timeout=120)
        assert demo.returncode == status
    eventually(lambda: not any(is_alive(pid) for pid in below), "everything below the demo to end")
    if number is not signal.SIGKILL:
        assert folders(open_folder) == []
        assert len(err.splitlines()) == 1
