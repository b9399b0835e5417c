"""Work out `requirements/*.txt` from `pyproject.toml`: `make pins`.

Versions that are already pinned stay unless `--upgrade` is given. The files hold the hashes of the wheels of
every system and name no index and no path of the machine they were made on.
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TOOL = "pip-tools==7.6.2"
COMPILE = (
    "--quiet", "--generate-hashes", "--allow-unsafe", "--strip-extras",
    "--no-emit-index-url", "--no-emit-trusted-host", "--no-emit-find-links", "--no-emit-options",
)  # fmt: skip
RUNTIME = "requirements/runtime.txt"
ARCHIVE = "requirements/archive.txt"
"""What the extra `archive` adds to the first file: for the image of the command."""
PIN = re.compile(r"^[a-z0-9]", re.MULTILINE)
DEV = "requirements/dev.txt"


def main(arguments: list[str]) -> None:
    """Write the files; each holds the versions of the one before it."""
    if sys.version_info[:2] != (3, 11):
        sys.exit("make pins wants Python 3.11, the oldest that is supported: newer ones need fewer packages")
    env = {**os.environ, "CUSTOM_COMPILE_COMMAND": "make pins", "PIP_FIND_LINKS": ""}
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        python = Path(folder) / "bin" / "python"
        subprocess.run([python, "-m", "pip", "install", "--quiet", TOOL], check=True, env=env)
        base: list[str | Path] = [python, "-m", "piptools", "compile", *COMPILE, *arguments]
        subprocess.run([*base, "-o", RUNTIME, "pyproject.toml"], check=True, env=env, cwd=ROOT)
        whole = ["--extra", "archive", "-c", RUNTIME, "-o", ARCHIVE, "pyproject.toml"]
        subprocess.run([*base, *whole], check=True, env=env, cwd=ROOT)
        keep_added(ROOT / ARCHIVE, ROOT / RUNTIME)
        extras = ["--extra", "archive", "--extra", "embedded", "--extra", "dev", "-c", RUNTIME, "-c", ARCHIVE]
        subprocess.run([*base, *extras, "-o", DEV, "pyproject.toml"], check=True, env=env, cwd=ROOT)


def keep_added(file: Path, base: Path) -> None:
    """Take out of the file what the base has."""
    known = {name_of(pin) for pin in blocks_of(base)[1]}
    head, pins = blocks_of(file)
    file.write_text("".join([head, *(pin for pin in pins if name_of(pin) not in known)]), encoding="utf-8")


def blocks_of(file: Path) -> tuple[str, list[str]]:
    """Split a file into its head and its pins, each with its hashes and comments."""
    text = file.read_text(encoding="utf-8")
    starts = [match.start() for match in PIN.finditer(text)]
    return text[: starts[0]], [text[start:end] for start, end in zip(starts, [*starts[1:], None], strict=True)]


def name_of(pin: str) -> str:
    """Return the name of a pinned package."""
    return pin.partition("==")[0]


if __name__ == "__main__":
    main(sys.argv[1:])
