"""What real containers showed, as far as it shows without them: images, health checks, the last line of a log."""

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.tidy.source import ROOT

SERVICES: Final[dict[str, Any]] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
SCRIPT: Final = ROOT / "deploy" / "kafka" / "health.sh"
OURS: Final = {name: service for name, service in SERVICES.items() if service["image"].startswith("danbao")}


def test_one_service_builds_each_image_and_starts_before_those_that_use_it() -> None:
    """Six services with one `build:` were recreated by every `up`, and left dangling images."""
    builders = {service["image"]: name for name, service in OURS.items() if "build" in service}
    assert sorted(builders.values()) == ["keys", "migrate"]
    assert {service["image"] for service in OURS.values()} == builders.keys()
    assert all(service["pull_policy"] == "never" for service in OURS.values())
    for name, service in OURS.items():
        is_started_with_the_others = "profiles" not in service
        if is_started_with_the_others and name not in {"keys", "migrate"}:
            assert builders[service["image"]] in service["depends_on"]


def test_each_stage_that_is_built_is_in_the_file() -> None:
    """The image of the services has no packages of the archive."""
    lines = (ROOT / "deploy" / "Dockerfile").read_text().splitlines()
    stages = {line.rpartition(" ")[2] for line in lines if line.startswith("FROM ") and " AS " in line}
    targets = {service["build"]["target"] for service in OURS.values() if "build" in service}
    assert targets == {"services", "command"} <= stages
    whole = "\n".join(lines)
    services = whole[whole.index(" AS services") : whole.index("FROM packages AS archive-packages")]
    assert "archive-packages" not in services


@pytest.mark.parametrize("module", ["services.charging", "services.ledger", "services.reporting", "services.audit.run"])
def test_no_service_needs_the_packages_of_the_archive(module: str) -> None:
    """Services imported nothing of pyarrow, and had 170 MB of it."""
    module = f"{module}.compose" if module.count(".") == 1 else module
    code = f"import sys; sys.modules.update(dict.fromkeys(('pyarrow', 'adbc_driver_postgresql'))); import {module}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_archive_without_its_packages_says_what_to_install() -> None:
    """The image of the services has the command, too."""
    code = (
        "import sys; sys.modules['pyarrow'] = None\n"
        "from services.cli.__main__ import main\n"
        "sys.argv = ['danbao', 'archive', 'list']; sys.exit(main())"
    )
    env = {**os.environ, "DANBAO_DATABASE": "postgresql://nobody@127.0.0.1:9/none"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, cwd=ROOT, check=False)
    assert done.returncode == 2
    assert "needs the extra `archive` (pip install 'danbao[archive]')" in done.stderr


def health(folder: Path, port: int) -> int:
    """Exit status of the check."""
    env = {
        "PATH": os.environ["PATH"], "KAFKA_HOME": str(folder), "KAFKA_FILES": str(folder), "KAFKA_PORT": str(port),
        "KAFKA_ANSWERED": str(folder / "answered"),
    }  # fmt: skip
    return subprocess.run(["sh", SCRIPT], env=env, capture_output=True, check=False).returncode


def test_kafkas_check_starts_a_java_program_until_its_first_answer_only(tmp_path: Path) -> None:
    """A Java program each ten seconds took 14 % of a core at rest."""
    program = tmp_path / "bin" / "kafka-broker-api-versions.sh"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho >> "{tmp_path}/calls"\ntest -e "{tmp_path}/ready"\n')
    program.chmod(0o755)

    def calls() -> int:
        return len((tmp_path / "calls").read_text().splitlines())

    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        assert health(tmp_path, port) != 0, "an open port is no answer at the start"
        (tmp_path / "ready").touch()
        assert [health(tmp_path, port) for _ in range(3)] == [0, 0, 0]
        assert calls() == 2
        (tmp_path / "answered").write_text("another start")
        assert health(tmp_path, port) == 0
        assert calls() == 3
    assert health(tmp_path, port) != 0, "the port is closed"
    assert calls() == 3


def test_a_service_that_cannot_start_names_the_cause_in_its_last_line() -> None:
    """The last line was that its start had failed; the reason was in a traceback before it."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        host, port = taken.getsockname()
        code = (
            "import sys\nfrom contextlib import asynccontextmanager\n"
            "from shared.adapters.run_service import run_service\nfrom shared.runtime.settings import Settings\n"
            "@asynccontextmanager\nasync def compose(service):\n"
            "    if sys.argv[1] == 'away': raise ConnectionRefusedError(111, 'no database there')\n"
            "    yield\n"
            "sys.exit(run_service('trial', Settings, compose))"
        )
        env = {**os.environ, "DANBAO_HOST": host, "DANBAO_PORT": str(port)}
        ends = {
            why: subprocess.run(
                [sys.executable, "-c", code, why], capture_output=True, text=True, env=env, cwd=ROOT, check=False
            )
            for why in ("away", "taken")
        }
    assert [done.returncode for done in ends.values()] == [3, 3]
    away, busy = (done.stderr.splitlines()[-1] for done in ends.values())
    assert away == "danbao trial: could not start: ConnectionRefusedError: [Errno 111] no database there"
    assert busy == f"danbao trial: could not start: nothing can listen at {host}:{port}: is it taken?"
