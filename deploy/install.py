"""Make `.venv` for this checkout: `make install`.

Runs on any Python from 3.11 with nothing installed. Two runs at once wait for each other. A stamp inside the
venv names what it was made from, so that a second run has nothing to do and takes a moment.
"""

import fcntl
import hashlib
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "danbao.stamp"
PINS = ROOT / "requirements" / "dev.txt"
# Wheels only: nothing is compiled here, and no stranger's setup script is run.
INSTALL = ("-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check", "--no-deps")


def main() -> int:
    """Return 0 when the venv is as the pins say, else print one line and return 1."""
    wanted = fingerprint()
    if is_current(wanted):
        return 0
    with (ROOT / ".venv.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if is_current(wanted):  # somebody else did it while we waited
            return 0
        try:
            build(wanted)
        except subprocess.CalledProcessError as error:
            print(f"danbao: setting up .venv failed: {error}", file=sys.stderr)
            return 1
    return 0


def fingerprint() -> str:
    """Hash everything that decides the venv's contents, including its path, which scripts contain."""
    digest = hashlib.sha256()
    for part in (PINS, ROOT / "pyproject.toml", Path(__file__)):
        digest.update(part.read_bytes())
    digest.update(os.fsencode(ROOT))
    return digest.hexdigest()


def is_current(wanted: str) -> bool:
    """Return whether the venv was completely installed from `wanted`."""
    try:
        return STAMP.read_text() == wanted and PYTHON.exists()
    except OSError:
        return False


def build(wanted: str) -> None:
    """Install the pinned wheels and this project into the venv, then stamp it.

    Raises:
        subprocess.CalledProcessError: A step failed; its own words are on standard error.
    """
    print("danbao: setting up .venv (a minute at the first time)", file=sys.stderr)
    STAMP.unlink(missing_ok=True)
    if not has_pip():
        make_venv()
    run(PYTHON, *INSTALL, "--only-binary=:all:", "--require-hashes", "-r", PINS)
    run(PYTHON, *INSTALL, "--no-build-isolation", "--editable", ROOT)
    STAMP.write_text(wanted)


def has_pip() -> bool:
    """Return whether the venv exists, runs (its base may be gone) and can install."""
    try:
        probe = [str(PYTHON), "-I", "-c", "import sys, pip; sys.exit(sys.version_info < (3, 11))"]
        return subprocess.run(probe, stderr=subprocess.DEVNULL, check=False).returncode == 0
    except OSError:
        return False


def make_venv() -> None:
    """Make an empty venv from the base of the Python that runs this."""
    # `sys.executable` may be the old venv itself, which `--clear` is about to remove.
    base = getattr(sys, "_base_executable", None) or sys.executable
    try:
        run(base, "-I", "-m", "venv", "--clear", VENV)
    except subprocess.CalledProcessError:
        print(
            "danbao: this Python cannot make a venv (Debian, Ubuntu: apt install python3-venv)",
            file=sys.stderr,
        )
        raise


def run(*command: str | Path) -> None:
    """Run a step from the root, deaf to variables that would lead pip or Python elsewhere; silent unless it fails."""
    misleading = ("PYTHONPATH", "PYTHONHOME", "PIP_USER", "PIP_TARGET", "PIP_PREFIX", "VIRTUAL_ENV")
    env = {name: value for name, value in os.environ.items() if name not in misleading}
    done = subprocess.run(command, cwd=ROOT, env=env, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if done.returncode:
        sys.stderr.buffer.write(done.stdout + done.stderr)
        sys.stderr.flush()
        done.check_returncode()


if __name__ == "__main__":
    sys.exit(main())
