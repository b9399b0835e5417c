"""A whole system in a storm by seed; `make soak` has more of them. See `storm.py`."""

from pathlib import Path

import pytest

from tests.faults.storm import SHAKES, weather


@pytest.mark.exhaustive
async def test_a_month_with_a_fault_each_day(tmp_path: Path) -> None:
    aftermath = await weather(tmp_path, seed=20261031, orders=400)
    assert aftermath.complaints() == []
    assert sum(aftermath.faults.values()) >= 2 * len(SHAKES)
