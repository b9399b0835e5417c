"""Stop dead at every step of the closes, and of what is paid; see `crashes.py`."""

import pytest

from tests.faults.crashes import SHARES, Scene


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", SHARES["closing"])
async def test_a_crash_at_any_step_changes_no_figure(scene: Scene, name: str) -> None:
    await scene.crash_everywhere(name)
