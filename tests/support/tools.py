"""Programs that some tests call and `make install` does not bring: a browser, Node.js, Go, nginx and others.

A test names them with `needs(...)`. Where one is missing, the test is left out, and the run ends by naming what was
left out. With DANBAO_TESTS_NEED_ALL=1 a missing program is a failure. `make tools` runs this module, which installs
what is missing.
"""

import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from tests.foreign.go_program import fetch_go, find_go
from tests.support.apache_kafka import complaint

NEED_ALL: Final = "DANBAO_TESTS_NEED_ALL"
MISSING: Final = "missing tool"
"""Name of the property under which a report says which tool its test lacked."""


@dataclass(frozen=True, slots=True)
class Tool:
    """A program: its name for people, how it is located, and the Debian package that has it (None: pip has it)."""

    title: str
    find: Callable[[], Path | None]
    package: str | None


def _in_path(*programs: str) -> Callable[[], Path | None]:
    """Find the first of these programs; servers are often outside of the path of ordinary users."""

    def find() -> Path | None:
        path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin"])
        return next((Path(file) for program in programs if (file := shutil.which(program, path=path))), None)

    return find


def _find_java() -> Path | None:
    return None if complaint() else _in_path("java")()


def compose_commands() -> list[list[str]]:
    """Every way of calling Compose that works here; none needs an engine to read a file."""
    return [command for command in (["docker", "compose"], ["docker-compose"]) if _answers([*command, "version"])]


def _answers(command: list[str]) -> bool:
    is_there = shutil.which(command[0]) is not None
    return is_there and subprocess.run(command, capture_output=True, check=False).returncode == 0


def _find_compose() -> Path | None:
    return next((Path(command[0]) for command in compose_commands()), None)


def find_postgres() -> Path | None:
    """Find the newest of Debian's servers, a folder with `bin`: they have TLS, which the wheel's has not."""
    servers = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    return max((file.parent.parent for file in servers), key=lambda folder: int(folder.name), default=None)


TOOLS: Final = {
    "chromium": Tool("Chromium", _in_path("chromium", "chromium-browser", "google-chrome"), "chromium"),
    "node": Tool("Node.js", _in_path("node"), "nodejs"),
    "nginx": Tool("nginx", _in_path("nginx"), "nginx-light"),
    "go": Tool("Go", find_go, None),
    "java": Tool("Java 17", _find_java, "default-jdk-headless"),
    "compose": Tool("Docker Compose", _find_compose, "docker-compose"),
    "postgresql": Tool("PostgreSQL with TLS", find_postgres, "postgresql"),
    "mount": Tool("mount", _in_path("mount"), "mount"),
}
FOR_KAFKA: Final = {
    "maven": Tool("Maven", _in_path("mvn"), "maven"),
}
"""What `make test-kafka` needs; `make test` does not."""
BY_FIXTURE: Final = {"browser": "chromium", "small_disk": "mount"}
"""Tools of every test that uses a fixture."""


def needs(*names: str) -> pytest.MarkDecorator:
    """Mark a test (or, as `pytestmark`, a file) that calls these tools."""
    assert set(names) <= TOOLS.keys(), names
    return pytest.mark.needs(*names)


def tool(name: str) -> str:
    """Path of a tool that the running test has named with `needs`."""
    path = TOOLS[name].find()
    assert path is not None, f"{TOOLS[name].title} is missing, and the test is not marked needs({name!r})"
    return str(path)


def leave_out(item: pytest.Item) -> None:
    """Skip a test whose tools are missing, or fail it where everything has to be there."""
    missing = [name for name in _needed(item) if TOOLS[name].find() is None]
    if not missing:
        return
    titles = ", ".join(TOOLS[name].title for name in missing)
    item.user_properties.append((MISSING, titles))
    if os.environ.get(NEED_ALL):
        pytest.fail(f"needs {titles}, and {NEED_ALL} is set: `make tools` installs it", pytrace=False)
    pytest.skip(f"needs {titles}: `make tools` installs it")


def _needed(item: pytest.Item) -> Iterator[str]:
    for mark in item.iter_markers("needs"):
        yield from mark.args
    yield from (BY_FIXTURE[name] for name in getattr(item, "fixturenames", ()) if name in BY_FIXTURE)


def name_left_out(reports: list[pytest.TestReport]) -> str | None:
    """One sentence on the tests that were left out for want of a tool; None when there are none."""
    lacking = Counter(str(value) for report in reports for name, value in report.user_properties if name == MISSING)
    if not lacking:
        return None
    parts = ", ".join(f"{count} need {titles}" for titles, count in sorted(lacking.items()))
    return f"left out: {lacking.total()} tests ({parts}); `make tools` installs what they need"


def main() -> int:
    """Install every tool that is missing; 0 when all are there at the end."""
    wanted = [*TOOLS.values(), *FOR_KAFKA.values()]
    if find_go() is None:
        fetch_go()
    packages = [tool.package for tool in wanted if tool.package and tool.find() is None]
    if packages:
        _install(packages)
    missing = [tool.title for tool in wanted if tool.find() is None]
    print(f"still missing: {', '.join(missing)}" if missing else "all tools of the tests are here")
    return 1 if missing else 0


def _install(packages: list[str]) -> None:
    """Install Debian packages as root; for any other user print the commands."""
    install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages]
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        print(f"as root on Debian or Ubuntu: apt-get update && {' '.join(install)}")
        return
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["apt-get", "update", "-qq"], install):
        subprocess.run(command, env=env, check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    sys.exit(main())
