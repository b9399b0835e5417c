"""The command and the services say what is wrong in words of who knows it, at once and whole."""

import json
import os
import signal
from io import StringIO
from pathlib import Path

import httpx
import pytest
from rich.console import Console
from rich.table import Table

from services.cli.wide_table import print_wide
from services.demo.running.supervisor import Supervisor
from shared.adapters.http.bounded_answer import MOST_WORDS, need_success, send_request
from shared.domain.errors import Retry, WrongAnswer
from shared.runtime.exits import Exit
from tests.e2e.processes import run
from tests.support.waiting import eventually_async

DATABASES = ("DANBAO_DATABASE", "DANBAO_AUDIT_DATABASE")
WIDE = (
    "4294967297.12",
    "orders.v1.91000000FAKE00001F",
    "91000000FAKE00001F",
    "1,234,567.89",
    "未知的代码 " * 20,
)


@pytest.mark.parametrize("arguments", [(), ("archive",), ("parked",)])
def test_without_a_verb_the_help_is_readable(arguments: tuple[str, ...], tmp_path: Path) -> None:
    """`danbao` printed its help as one line, and `danbao archive` began to archive."""
    status, out, err = run(*arguments, temporary=tmp_path)
    assert (status, err) == (Exit.USAGE, "")
    assert out.startswith("Usage: danbao")
    assert len(out.splitlines()) > 5


@pytest.mark.parametrize("arguments", ["audit", "archive days", "archive list", "migrate"])
def test_without_a_database_it_fails_at_once(arguments: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It waited 30 s for a server on this machine and ended with the error of a socket."""
    for name in DATABASES:
        monkeypatch.delenv(name, raising=False)
    status, out, err = run(*arguments.split(), temporary=tmp_path, timeout_seconds=25)
    assert (status, out) == (Exit.USAGE, "")
    assert err.startswith("danbao: no database: name the directory with --state, or set ")
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("days", ["30", "1"])
def test_an_archive_of_days_that_orders_may_still_come_for_is_refused(
    days: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """docs/operating.md says so, too."""
    monkeypatch.setenv("DANBAO_DATABASE", "postgresql://nobody@127.0.0.1:9/none")
    monkeypatch.setenv("DANBAO_ARCHIVE_AFTER_DAYS", days)
    status, _, err = run("archive", "days", temporary=tmp_path, timeout_seconds=25)
    assert status == Exit.USAGE
    assert "DANBAO_ARCHIVE_AFTER_DAYS has to be more than DANBAO_MAX_AGE_DAYS (30)" in err


@pytest.mark.parametrize("width", ["40", "80"])
def test_no_cell_of_a_list_is_cut_or_broken(
    width: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`danbao parked list` in a pipe cut the column that `danbao parked show` needs."""
    monkeypatch.setenv("COLUMNS", width)
    table = Table("event", "topic", "enterprise", "yuan", "detail", box=None)
    table.add_row(*WIDE)
    table.add_row("1.1", "[bold]", "", "", "")
    print_wide(table)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert all(cell.strip() in lines[1] for cell in WIDE)
    assert "[bold]" in lines[2]


def test_a_table_is_no_wider_than_its_cells() -> None:
    """Nothing is padded to some page width."""
    table = Table("a", "b", box=None)
    table.add_row("1", "2")
    file = StringIO()
    Console(file=file, width=4).print(table)
    assert max(map(len, file.getvalue().splitlines())) <= 4


async def test_a_service_that_was_asked_to_end_is_started_again(tmp_path: Path) -> None:
    """Under `danbao up` SIGTERM to a service ended everything: it ends with status 0."""
    (tmp_path / "sitecustomize.py").write_text("import sys\nif 'services.ends_well' in sys.orig_argv: sys.exit(0)\n")
    supervisor = Supervisor(tmp_path)
    supervisor.start("ends_well", {**os.environ, "PYTHONPATH": str(tmp_path)})
    first = supervisor.pid("ends_well")
    supervisor.watch()

    async def is_another() -> bool:
        return supervisor.pid("ends_well") != first

    try:
        os.kill(first, signal.SIGTERM)
        await supervisor.guard(eventually_async(is_another, "a second start"))
    finally:
        await supervisor.stop()


@pytest.mark.parametrize(
    ("status", "body", "error", "words"),
    [
        (410, {"detail": "2026-10-01 is archived: danbao archive restore 2026-10-01"}, WrongAnswer,
         "charging: HTTP 410: 2026-10-01 is archived: danbao archive restore 2026-10-01"),
        (503, {"detail": "w" * 400}, Retry, f"charging: HTTP 503: {'w' * MOST_WORDS}"),
        (404, {"detail": "no worker " + "ab" * 32}, WrongAnswer, "charging: HTTP 404: no worker <token>"),
        (502, "Bad Gateway", Retry, "charging: HTTP 502"),
        (422, {"detail": [{"loc": ["body"]}]}, WrongAnswer, "charging: HTTP 422"),
    ],
)  # fmt: skip
async def test_readiness_has_the_other_services_own_words(
    status: int, body: object, error: type[Retry], words: str
) -> None:
    """Readiness showed a link to a manual of the HTTP client."""
    transport = httpx.MockTransport(lambda _: httpx.Response(status, content=json.dumps(body)))
    async with httpx.AsyncClient(transport=transport, base_url="http://charging") as client:
        answer = await send_request(client, "charging", "GET", "/v1/days")
    with pytest.raises(error) as raised:
        need_success("charging", "/v1/days", answer)
    assert str(raised.value) == words
