"""The command line: help, exit statuses, errors of one line, and the commands that need no running system."""

import hashlib
import json
import stat
from pathlib import Path

import asyncpg
import pytest

from services.cli.operations.worker_tokens import KEY_VARIABLE
from services.demo.running.migrate import ROLES
from shared.domain.scheme.worker import worker_token
from shared.runtime.exits import Exit
from tests.e2e.processes import run
from tests.support.access_keys import caller_variables
from tests.support.servers import Postgres

COMMANDS = (
    "demo", "up", "generate", "replay", "token", "status", "close-day", "bill", "statement", "audit", "migrate",
    "parked", "acknowledgement", "log", "log export", "log key",
)  # fmt: skip
KEY = "0123456789abcdef0123"


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_every_command_has_help(command: str, tmp_path: Path) -> None:
    status, out, err = run(*command.split(), "--help", temporary=tmp_path)
    assert (status, err) == (Exit.OK, "")
    assert "Usage: " in out


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        ("nonsense", Exit.USAGE, "No such command"),
        ("demo --orders few", Exit.USAGE, "--orders"),
        ("bill 2026-13", Exit.USAGE, "not a month"),
        ("close-day yesterday", Exit.USAGE, "not a day"),
        ("close-day 2026-10-01 --as-of 2026-10-02T12:00:00", Exit.USAGE, "offset"),
        ("status", Exit.USAGE, "no key"),
        ("status --state /nowhere", Exit.USAGE, "does not exist"),
        ("generate --month october", Exit.USAGE, "not a month"),
        ("generate --scheme /nowhere", Exit.USAGE, "/nowhere"),
        ("token", Exit.USAGE, "no scheme key"),
        ("token --key-file /nowhere", Exit.USAGE, "/nowhere"),
    ],
)
def test_wrong_use_is_one_line_and_status_2(
    arguments: str, status: int, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    ended, out, err = run(*arguments.split(), temporary=tmp_path)
    assert (ended, out) == (status, "")
    assert words in err
    assert len(err.splitlines()) == 1
    assert err.startswith("danbao: ")


@pytest.mark.exhaustive
def test_services_that_do_not_answer_are_status_69(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in caller_variables("a key of the operator").items():
        monkeypatch.setenv(name, value)
    for service in ("CHARGING", "LEDGER", "REPORTING", "PLATFORM"):
        monkeypatch.setenv(f"DANBAO_{service}_URL", "http://127.0.0.1:9")
    status, out, _ = run("status", "--json", temporary=tmp_path)
    assert status == Exit.UNAVAILABLE
    assert all("does not answer" in load["error"] for load in json.loads(out).values())


def test_token_never_repeats_the_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    given = "CITIZEN 11010519491231002X\nPASSPORT E 1234\n"
    status, out, err = run("token", temporary=tmp_path, stdin=given)
    assert status == Exit.OK, err
    expected = [("CITIZEN", "11010519491231002X"), ("PASSPORT", "E 1234")]
    assert out.split() == [worker_token(KEY.encode(), *document) for document in expected]
    status, out, err = run("token", temporary=tmp_path, stdin="11010519491231002X\n")
    assert (status, out) == (Exit.USAGE, "")
    assert "11010519491231002X" not in err


def test_token_reads_the_key_from_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    file = tmp_path / "key"
    file.write_text(KEY + "\n")
    status, out, _ = run("token", "--key-file", str(file), temporary=tmp_path, stdin="CITIZEN 1\n")
    assert (status, out.strip()) == (Exit.OK, worker_token(KEY.encode(), "CITIZEN", "1"))


def test_generate_writes_the_same_file_for_a_seed(tmp_path: Path) -> None:
    digests = []
    for name in ("one", "two"):
        file = tmp_path / f"{name}.ndjson"
        status, _, err = run("generate", "--orders", "300", "--seed", "9", "--out", str(file), temporary=tmp_path)
        assert status == Exit.OK, err
        digests.append(hashlib.sha256(file.read_bytes()).hexdigest())
    assert digests[0] == digests[1]
    status, out, _ = run("generate", "--orders", "300", "--seed", "9", temporary=tmp_path)
    assert hashlib.sha256(out.encode()).hexdigest() == digests[0]
    assert {"topic", "key", "time"} < json.loads(out.splitlines()[0]).keys()


async def test_migrate_makes_schemas_and_roles(
    database: str, platform_database: str, postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DANBAO_DATABASE", database)
    monkeypatch.setenv("DANBAO_PLATFORM_DATABASE", platform_database)
    given = "a password that is given"
    folder = tmp_path / "roles"
    folder.mkdir()
    (folder / "danbao_auditor").write_text(given)
    for _ in range(2):
        status, out, err = run("migrate", "--passwords", str(folder), temporary=tmp_path)
        assert status == Exit.OK, err
        assert given not in out
    passwords = {file.name: file.read_text().strip() for file in folder.iterdir()}
    assert passwords.keys() == set(ROLES)
    assert passwords["danbao_auditor"] == given
    assert stat.S_IMODE((folder / "danbao_ledger").stat().st_mode) == 0o600
    login = postgres.url(database.rpartition("/")[2], "danbao_ledger", passwords["danbao_ledger"])
    connection = await asyncpg.connect(login)
    try:
        assert await connection.fetchval("select count(*) from ledger.posting") == 0
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("update ledger.posting set amount = 1")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("select * from charging.entry")
    finally:
        await connection.close()
