"""Stop dead just before and just after every step of charging and billing; see `crashes.py`."""

import pytest

from tests.faults.crashes import SHARES, Scene
from tests.faults.history import STAGES
from tests.support.selection import SEED

SAMPLE = 12
"""Places that `make test` dies at."""


def test_the_undisturbed_run_has_everything_in_it(scene: Scene) -> None:
    last = scene.chapters[STAGES[-1].name]
    assert [verdict for verdict in last.verdicts if not verdict[2]] == []
    outcomes = {line[6] for line in last.figures["lines"]}
    assert outcomes == {"charged", "excluded", "recorded", "parked", "repeat", "conflict", "reversed"}
    assert {line[7] for line in last.figures["lines"] if line[6] == "reversed"} == {"cancelled", "resent"}
    assert {row[1] for row in last.figures["reported"]} == {"coverage", "registration", "declaration", "payment"}
    assert [len(last.figures[name]) for name in ("closed days", "remittances", "late fees", "resends")] == [2, 1, 1, 1]
    assert last.figures["waiting"] == [(0, 0, 0)]
    taken = [step for chapter in scene.chapters.values() for step in chapter.steps.taken]
    assert {step.service for step in taken} == {"charging", "ledger", "reporting", "national_platform"}


def test_every_stage_is_somebodys_share(scene: Scene) -> None:
    assert sorted(name for share in SHARES.values() for name in share) == sorted(scene.chapters)


def test_every_side_of_every_step_is_a_place_to_die_at(scene: Scene) -> None:
    for chapter in scene.chapters.values():
        steps, places = chapter.steps, set(chapter.steps.places())
        follows = dict(zip(steps.passed, steps.passed[1:], strict=False))
        assert len(steps.passed) == 2 * len(steps.taken)
        assert [point for point in steps.passed if point not in places and follows[point] not in places] == []


@pytest.mark.slow
async def test_a_crash_at_sampled_steps_changes_no_figure(scene: Scene) -> None:
    await scene.crash_at_sampled_places(SAMPLE, SEED)


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", SHARES["charging"])
async def test_a_crash_at_any_step_changes_no_figure(scene: Scene, name: str) -> None:
    await scene.crash_everywhere(name)
