"""Which tests a run takes: `make test` a sample, `make test-all` all of them, CI the sample and then the rest.

What is marked `exhaustive` (every crash place, ways through a browser, foreign tools, long histories) is not in the
sample. The checks of form in `tests/tidy` are neither in the sample nor in the rest: `make lint` runs them.
"""

from pathlib import Path
from typing import Final

import pytest

OPTION: Final = "--take"
SHARES: Final = ("all", "sample", "rest")
EXHAUSTIVE: Final = "exhaustive"
TIDY: Final = Path(__file__).resolve().parents[1] / "tidy"
SEED: Final = 20221101
LEFT_OUT: Final = pytest.StashKey[int]()
"""Number of tests that this process, or any of its workers, did not take."""


def take_share(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the tests of the requested share."""
    share = config.getoption(OPTION)
    if share == "all":
        return
    taken = [item for item in items if _share_of(item) == share]
    left_out = [item for item in items if _share_of(item) != share]
    items[:] = taken
    config.stash[LEFT_OUT] = len(left_out)
    config.hook.pytest_deselected(items=left_out)


def _share_of(item: pytest.Item) -> str:
    if TIDY in item.path.parents:
        return "lint"
    return "rest" if item.get_closest_marker(EXHAUSTIVE) else "sample"


def name_exhaustive(config: pytest.Config) -> str | None:
    """One sentence on the tests that the sample left out; None when there are none."""
    count = config.stash.get(LEFT_OUT, 0)
    if config.getoption(OPTION) != "sample" or not count:
        return None
    return f"left out: {count} exhaustive tests and checks of form; `make test-all` runs them, too"
