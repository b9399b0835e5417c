"""A machine with Python and make runs the suite; a test whose program is missing there is left out by name."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.tools import NEED_ALL, TOOLS
from tests.tidy.source import ROOT

FILE = "tests/e2e/test_receipt_page.py"
ENDS = {
    "": (0, "left out: 2 tests (2 need Node.js); `make tools` installs what they need"),
    "1": (1, "needs Node.js, and DANBAO_TESTS_NEED_ALL is set"),
}


@pytest.mark.parametrize("need_all", ENDS)
def test_a_missing_program_is_named_or_is_a_failure(need_all: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-n0", "-p", "no:cacheprovider", FILE, "-k", "judge"]
    env = {**os.environ, "PATH": str(tmp_path), NEED_ALL: need_all}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    status, said = ENDS[need_all]
    assert done.returncode == status, done.stdout + done.stderr
    assert said in done.stdout


def test_ci_lets_no_test_be_left_out() -> None:
    assert f"export {NEED_ALL}=1" in (ROOT / ".ci" / "run").read_text()


def test_every_tool_can_be_brought() -> None:
    assert {name for name, tool in TOOLS.items() if tool.package is None} == {"go"}  # by its pinned wheel
