"""`make mutants`: switch one safety off at a time; the suite must fail each time.

Each mutant is the checkout's own code, copied, with one text replaced by another. A text that is not there exactly
once ends the whole: then the code has moved on and the mutant must, too. The tests that are named are those that exist
for this safety; first they are run on the code as it is and must pass.
"""

import shutil
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from tests.mutation.mutants import MUTANTS, Mutant

HOUSE: Final = Path(__file__).parents[2]
TIME_OUT_SECONDS: Final = 300
PYTEST_TESTS_FAILED: Final = 1


def main() -> int:
    """0 when every mutant was noticed."""
    with TemporaryDirectory(prefix="danbao-mutants-") as name:
        copy = _copy(Path(name) / "danbao")
        every_test = sorted({test for mutant in MUTANTS for test in mutant.tests})
        if (status := _run(copy, every_test)) != 0:
            print(f"the tests do not pass on the code as it is (pytest ended with {status})")
            return 1
        survivors = [mutant.what for mutant in MUTANTS if not _is_noticed(copy, mutant)]
    print(f"{len(MUTANTS)} mutants, {len(survivors)} survived{': ' if survivors else ''}{', '.join(survivors)}")
    return 1 if survivors else 0


def _copy(to: Path) -> Path:
    """The checkout as it is, uncommitted changes included; folders are open to the database's user."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=HOUSE,
        check=True,
        capture_output=True,
    ).stdout
    for file in filter(None, listed.decode().split("\0")):
        if (HOUSE / file).is_file():
            (to / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(HOUSE / file, to / file)
    to.parent.chmod(0o755)
    return to


def _is_noticed(copy: Path, mutant: Mutant) -> bool:
    file = copy / mutant.file
    sound = file.read_text(encoding="utf-8")
    if sound.count(mutant.text) != 1:
        raise SystemExit(f"{mutant.file}: the text of the mutant {mutant.what!r} is not there once: adapt the mutant")
    file.write_text(sound.replace(mutant.text, mutant.instead), encoding="utf-8")
    began = time.monotonic()
    status = _run(copy, mutant.tests)
    file.write_text(sound, encoding="utf-8")
    noticed = status == PYTEST_TESTS_FAILED
    verdict = "noticed" if noticed else f"SURVIVED (pytest ended with {status})"
    print(f"{mutant.what:34} {verdict}, {time.monotonic() - began:.0f} s", flush=True)
    return noticed


def _run(copy: Path, tests: tuple[str, ...] | list[str]) -> int:
    command = [sys.executable, "-B", "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    done = subprocess.run(command, cwd=copy, check=False, timeout=TIME_OUT_SECONDS, stdout=subprocess.DEVNULL)
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
