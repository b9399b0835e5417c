"""Work out `requirements/*.txt` from `pyproject.toml`: `make pins`.

Versions that are already pinned stay unless `--upgrade` is given. The files hold the hashes of the wheels of
every system and name no index and no path of the machine they were made on.
"""

import os
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
DEV = "requirements/dev.txt"


def main(arguments: list[str]) -> None:
    """Write both files; the second holds the first's versions and adds to them."""
    if sys.version_info[:2] != (3, 11):
        sys.exit("make pins wants Python 3.11, the oldest that is supported: newer ones need fewer packages")
    env = {**os.environ, "CUSTOM_COMPILE_COMMAND": "make pins", "PIP_FIND_LINKS": ""}
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        python = Path(folder) / "bin" / "python"
        subprocess.run([python, "-m", "pip", "install", "--quiet", TOOL], check=True, env=env)
        base: list[str | Path] = [python, "-m", "piptools", "compile", *COMPILE, *arguments]
        subprocess.run([*base, "--extra", "archive", "-o", RUNTIME, "pyproject.toml"], check=True, env=env, cwd=ROOT)
        extras = ["--extra", "archive", "--extra", "embedded", "--extra", "dev", "-c", RUNTIME]
        subprocess.run([*base, *extras, "-o", DEV, "pyproject.toml"], check=True, env=env, cwd=ROOT)


if __name__ == "__main__":
    main(sys.argv[1:])
