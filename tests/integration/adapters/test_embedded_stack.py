"""PostgreSQL and the broker as children: in any folder, by any user, twice, and gone afterwards."""

import os
import re
import shutil
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import asyncpg
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from deploy.embedded.broker import EmbeddedBroker, ask_cluster_id
from deploy.embedded.children import EmbeddedError
from deploy.embedded.postgres import CONFIGURATION, EmbeddedPostgres, find_binaries
from deploy.embedded.stack import EmbeddedStack
from deploy.embedded.state import PREFIX, StateDirectory, sweep
from tests.integration.adapters.test_embedded_children import is_gone
from tests.support.waiting import eventually

pytestmark = pytest.mark.exhaustive

PARENT = """
import signal, sys
from pathlib import Path
from deploy.embedded.stack import EmbeddedStack
stack = EmbeddedStack(root=Path(sys.argv[1])).start()
print(stack.broker.server.pid, stack.postgres.server.pid, flush=True)
signal.pause()
"""


async def value(url: str, query: str) -> object:
    """The one value the query returns."""
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


async def test_both_work_from_a_folder_with_a_space_and_chinese_characters(open_folder: Path) -> None:
    with EmbeddedStack(root=open_folder) as stack:
        for name in ("danbao", "national_platform"):
            assert await value(stack.database(name), "select current_database()") == name
        async with AIOKafkaProducer(bootstrap_servers=stack.kafka) as producer:
            await producer.send_and_wait("topic", b"message")
        async with AIOKafkaConsumer("topic", bootstrap_servers=stack.kafka, auto_offset_reset="earliest") as consumer:
            assert (await consumer.getone()).value == b"message"
        stack.check()
    assert list(open_folder.iterdir()) == []


async def test_two_at_once_do_not_meet(open_folder: Path) -> None:
    with EmbeddedStack(root=open_folder) as one, EmbeddedStack(root=open_folder) as two:
        await value(one.database(), "select 1 from (select pg_advisory_lock(1)) x")
        assert one.database() != two.database()
        assert ask_cluster_id(one.kafka) == one.broker.cluster_id
        assert ask_cluster_id(two.kafka) == two.broker.cluster_id
        assert one.broker.cluster_id != two.broker.cluster_id


def test_both_end_when_the_parent_is_killed_and_the_next_start_tidies_up(open_folder: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT, open_folder], stdout=subprocess.PIPE) as parent:
        assert parent.stdout
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        parent.kill()
    for pid in pids:
        eventually(partial(is_gone, pid), f"end of process {pid}")
    left = set(open_folder.iterdir())
    assert len(left) == 2
    with EmbeddedBroker(open_folder):
        assert not left & set(open_folder.iterdir())


async def test_a_wrong_password_is_refused() -> None:
    with EmbeddedPostgres() as postgres:
        with pytest.raises(asyncpg.InvalidPasswordError):
            await value(postgres.url("postgres", password="guessed"), "select 1")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT, signal.SIGKILL])
async def test_what_was_committed_is_there_after_a_restart(number: signal.Signals) -> None:
    with EmbeddedPostgres() as postgres:
        await value(postgres.url("postgres"), "create table t as select 42 as answer")
        before = postgres.server.pid
        postgres.restart(number)
        assert postgres.server.pid != before
        assert await value(postgres.url("postgres"), "select answer from t") == 42


async def test_settings_reach_the_server() -> None:
    with EmbeddedPostgres({"work_mem": "7MB"}) as postgres:
        assert await value(postgres.url("postgres"), "show work_mem") == "7MB"
        assert await value(postgres.url("postgres"), "show fsync") == "on"
        assert await value(postgres.url("postgres"), "show listen_addresses") == "127.0.0.1"


async def test_the_file_of_settings_is_what_the_server_runs_with() -> None:
    given = dict(re.findall(r"^(\w+) = (\S+)", CONFIGURATION.read_text(), re.MULTILINE))
    with EmbeddedPostgres({"work_mem": "7MB"}) as postgres:
        read = "select string_agg(name, ' ') from pg_file_settings where applied and error is null"
        assert set(str(await value(postgres.url("postgres"), read)).split()) == given.keys()
        for name in ("fsync", "synchronous_commit", "full_page_writes", "shared_buffers", "jit", "max_connections"):
            assert await value(postgres.url("postgres"), f"show {name}") == given[name]
        assert await value(postgres.url("postgres"), "show work_mem") == "7MB"


def test_a_start_that_fails_says_why_and_leaves_nothing(open_folder: Path) -> None:
    with pytest.raises(EmbeddedError, match=r"PostgreSQL ended with 1 .*shared_buffers"):
        EmbeddedPostgres({"shared_buffers": "much"}, root=open_folder).start()
    assert list(open_folder.iterdir()) == []


async def test_binaries_in_a_closed_folder_are_copied_and_no_mode_is_changed(tmp_path: Path, open_folder: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    package = find_binaries().parent
    for folder in (package, package.with_name(f"{package.name}.libs")):
        if folder.exists():
            shutil.copytree(folder, closed / folder.name, symlinks=True)
    with EmbeddedPostgres(root=open_folder, binaries=closed / package.name / "pginstall") as postgres:
        assert await value(postgres.url("postgres"), "select 1") == 1
        copied = list(open_folder.glob("*/binaries"))
        assert bool(copied) == (os.geteuid() == 0)
    assert closed.stat().st_mode & 0o777 == 0o700


def test_a_dead_server_is_noticed() -> None:
    with EmbeddedStack() as stack:
        os.kill(stack.broker.server.pid, signal.SIGKILL)
        stack.broker.server.wait(20)
        with pytest.raises(EmbeddedError, match="the broker ended with -9"):
            stack.check()


def test_sweep_takes_only_what_nobody_holds(tmp_path: Path) -> None:
    held = StateDirectory(tmp_path)
    left = tmp_path / f"{PREFIX}left"
    left.mkdir()
    (left / "lock").touch()
    young = tmp_path / f"{PREFIX}young"
    young.mkdir()
    other = tmp_path / "other"
    other.mkdir()
    (other / "lock").touch()
    (tmp_path / f"{PREFIX}link").symlink_to(other)
    assert sweep(tmp_path) == [left]
    assert {path.name for path in other.iterdir()} == {"lock"}
    held.remove()
    assert not held.path.exists()
