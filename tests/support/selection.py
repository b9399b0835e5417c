"""Which tests a run takes: `make test` a sample, `make test-all` all of them, CI the sample and then the rest.

What is marked `exhaustive` (every crash place, ways through a browser, foreign tools, long histories) is not in the
sample.
"""

from typing import Final

import pytest

OPTION: Final = "--take"
SHARES: Final = ("all", "sample", "rest")
EXHAUSTIVE: Final = "exhaustive"
SEED: Final = 20221101
LEFT_OUT: Final = pytest.StashKey[int]()
"""Number of tests that this process, or any of its workers, did not take."""


def take_share(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the tests of the requested share."""
    share = config.getoption(OPTION)
    if share == "all":
        return
    taken: list[pytest.Item] = []
    left_out: list[pytest.Item] = []
    for item in items:
        is_exhaustive = item.get_closest_marker(EXHAUSTIVE) is not None
        (taken if is_exhaustive == (share == "rest") else left_out).append(item)
    items[:] = taken
    config.stash[LEFT_OUT] = len(left_out)
    config.hook.pytest_deselected(items=left_out)


def name_exhaustive(config: pytest.Config) -> str | None:
    """One sentence on the exhaustive tests that the sample left out; None when there are none."""
    count = config.stash.get(LEFT_OUT, 0)
    if config.getoption(OPTION) != "sample" or not count:
        return None
    return f"left out: {count} exhaustive tests; `make test-all` runs them, too"
