"""`make mutants`: switch one safety off at a time; the suite must fail each time.

Each mutant is the checkout's own code, copied, with one text replaced by another. A text that is not there exactly
once ends the whole: then the code has moved on and the mutant must, too. The tests that are named are those that exist
for this safety; first they are run on the code as it is and must pass. Each process has a separate copy.
"""

import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from tempfile import TemporaryDirectory
from typing import Final

from tests.mutation.mutants import MUTANTS, Mutant
from tests.support.sharing import count_processes

HOUSE: Final = Path(__file__).parents[2]
TIME_OUT_SECONDS: Final = 900
PYTEST_TESTS_FAILED: Final = 1


def main() -> int:
    """0 when every mutant was noticed."""
    _check_texts()
    processes = max(1, count_processes())
    with TemporaryDirectory(prefix="danbao-mutants-") as name:
        Path(name).chmod(0o755)
        folders = [_copy(Path(name) / str(number)) for number in range(processes)]
        every_test = sorted({test for mutant in MUTANTS for test in mutant.tests})
        if (status := _run(folders[0], ["-n", str(processes), *every_test])) != 0:
            print(f"the tests do not pass on the code as it is (pytest ended with {status})")
            return 1
        free: SimpleQueue[Path] = SimpleQueue()
        for folder in folders:
            free.put(folder)
        with ThreadPoolExecutor(processes) as threads:
            verdicts = list(threads.map(lambda mutant: _is_noticed(free, mutant), MUTANTS))
    survivors = [mutant.what for mutant, is_noticed in zip(MUTANTS, verdicts, strict=True) if not is_noticed]
    print(f"{len(MUTANTS)} mutants, {len(survivors)} survived{': ' if survivors else ''}{', '.join(survivors)}")
    return 1 if survivors else 0


def _check_texts() -> None:
    for mutant in MUTANTS:
        if (HOUSE / mutant.file).read_text(encoding="utf-8").count(mutant.text) != 1:
            sys.exit(f"{mutant.file}: the text of the mutant {mutant.what!r} is not there once: adapt the mutant")


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
    return to


def _is_noticed(free: "SimpleQueue[Path]", mutant: Mutant) -> bool:
    folder = free.get()
    file = folder / mutant.file
    sound = file.read_text(encoding="utf-8")
    file.write_text(sound.replace(mutant.text, mutant.instead), encoding="utf-8")
    began = time.monotonic()
    status = _run(folder, mutant.tests)
    file.write_text(sound, encoding="utf-8")
    free.put(folder)
    noticed = status == PYTEST_TESTS_FAILED
    verdict = "noticed" if noticed else f"SURVIVED (pytest ended with {status})"
    print(f"{mutant.what:45} {verdict}, {time.monotonic() - began:.0f} s", flush=True)
    return noticed


def _run(folder: Path, arguments: Sequence[str]) -> int:
    command = [sys.executable, "-B", "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *arguments]
    done = subprocess.run(command, cwd=folder, check=False, timeout=TIME_OUT_SECONDS, stdout=subprocess.DEVNULL)
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
