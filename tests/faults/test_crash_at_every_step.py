"""Stop dead just before and just after every step of all four services: what comes out in the end is the same.

The history of `history.py` is played once undisturbed. Then, for each stage and each step of it, the database is put
back to the stage's beginning, the service that takes this step dies with its connections, is started again, and the
stage goes on to its end. Every figure and every verdict of the audit must be those of the undisturbed run.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import asyncpg
import pytest

from deploy.embedded.postgres import EmbeddedPostgres
from services.cli.audit.run import Sources, audit_all
from services.cli.running.migrating import HISTORIES
from shared.adapters.migrations import migrate
from shared.adapters.postgres import with_login
from shared.adapters.signing import make_key_pair
from tests.faults.figures import Figures, read_figures
from tests.faults.history import AT, STAGES, Stage, play
from tests.faults.logs import Logs
from tests.faults.processes import open_town
from tests.faults.snapshots import Snapshot, keep, put_back
from tests.faults.steps import Step, Steps, When
from tests.faults.town import Place
from tests.integration.charging_house import ROOT, demo_scheme
from tests.servers import Broker

SCHEME = (ROOT / "deploy" / "tariffs", ROOT / "deploy" / "demo")
PASSWORD = "only-for-these-tests"
AUDIT_EACH = 10
"""The figures are compared after each crash; the audit is asked after every tenth, and after each COMMIT."""
DRIVERS_OWN = (
    "SELECT pg_advisory_unlock_all()", "select pg_catalog.version()", "select current_schema()", "show ",
)  # fmt: skip
READINGS = ("begin", "rollback", "select ", "with ", "get ")
CHANGES = ("insert into", "update ", "select charging.", "delete from")
Verdicts = list[tuple[str, str, bool]]


@dataclass(frozen=True)
class Chapter:
    """A stage of the undisturbed run: how it began, its steps, how it ended."""

    stage: Stage
    before: Snapshot
    logs: Logs
    steps: list[Step]
    idle: set[int]
    crashes: list[tuple[int, When]]
    figures: Figures
    verdicts: Verdicts


@dataclass
class Scene:
    """The database, where the services find everything, and the undisturbed run."""

    owner: asyncpg.Connection
    place: Place
    chapters: dict[str, Chapter]

    async def audit(self) -> Verdicts:
        url = self.place.urls["auditor"]
        verdict = await audit_all(Sources(url, url, SCHEME))
        return [(check.invariant, check.what, check.has_passed) for check in verdict.checks]

    async def play(self, stage: Stage, steps: Steps, logs: Logs) -> None:
        async with open_town(self.place, steps, logs) as town:
            await play(town, stage)


@pytest.fixture(scope="module")
async def scene(broker: Broker) -> AsyncIterator[Scene]:
    """One server that need not survive a power cut, with the undisturbed run in it."""
    with EmbeddedPostgres({"fsync": "off"}) as server, TemporaryDirectory() as folder:
        owner = await asyncpg.connect(server.url("postgres"))
        urls = {}
        for history in HISTORIES:
            roles = {history.role: PASSWORD, "danbao_auditor": PASSWORD}
            await migrate(server.url("postgres"), history.schema, history.scripts, roles)
            urls[history.service] = with_login(server.url("postgres"), history.role, PASSWORD)
        urls["auditor"] = with_login(server.url("postgres"), "danbao_auditor", PASSWORD)
        private, public = Path(folder, "signing.pem"), Path(folder, "signing.pub")
        make_key_pair(private, public)
        place = Place(urls, owner, broker.bootstrap, demo_scheme(), private, public, AT.date())
        made = Scene(owner, place, {})
        await _record(made)
        yield made
        await owner.close()


async def _record(scene: Scene) -> None:
    logs, known = Logs(), set[tuple[str, str]]()
    for stage in STAGES:
        before, copied, steps = await keep(scene.owner), logs.copy(), Steps()
        await scene.play(stage, steps, logs)
        figures, verdicts = await read_figures(scene.owner), await scene.audit()
        scene.chapters[stage.name] = chapter = Chapter(
            stage, before, copied, steps.taken, steps.idle, [], figures, verdicts
        )
        chapter.crashes.extend(crashes_of(chapter, known))


def test_the_undisturbed_run_has_everything_in_it(scene: Scene) -> None:
    last = scene.chapters[STAGES[-1].name]
    assert [verdict for verdict in last.verdicts if not verdict[2]] == []
    outcomes = {line[6] for line in last.figures["lines"]}
    assert outcomes == {"charged", "excluded", "recorded", "parked", "repeat", "conflict", "reversed"}
    assert {line[7] for line in last.figures["lines"] if line[6] == "reversed"} == {"cancelled", "resent"}
    assert {row[1] for row in last.figures["told"]} == {"coverage", "registration", "declaration", "payment"}
    assert [len(last.figures[name]) for name in ("closed days", "remittances", "late fees", "resends")] == [2, 1, 1, 1]
    assert last.figures["waiting"] == [(0, 0, 0)]
    assert {step.service for chapter in scene.chapters.values() for step in chapter.steps} == {
        "charging", "ledger", "reporting", "national_platform",
    }  # fmt: skip


def crashes_of(chapter: Chapter, known: set[tuple[str, str]]) -> list[tuple[int, When]]:
    """Number and side of every crash that differs from all others.

    Just after a step is just before the next one where the same process takes it, and a dead process has forgotten what
    it read: before a step that follows on a reading is before the reading. What the driver asks for itself,
    what a service does at its start, and a turn in which it finds nothing to do, are the same in every stage: `known`
    are those of earlier stages.
    """
    wanted: list[tuple[int, When]] = []
    steps = chapter.steps
    again = {number for number, step in enumerate(steps, 1) if _is_known(chapter, step, known)}
    known |= {(step.service, _habit(chapter, step)) for step in steps}
    for number, step in enumerate(steps, 1):
        if number in again:
            continue
        if not _only_read(steps, number - 1):
            wanted.append((number, "before"))
        is_last = number == len(steps) or number + 1 in again or steps[number].service != step.service
        if is_last:
            wanted.append((number, "after"))
    return wanted


def _only_read(steps: list[Step], number: int) -> bool:
    """Whether the step before the one with this index (from 0) belongs to the same process and changed nothing."""
    before = steps[number - 1] if number else None
    if before is None or before.service != steps[number].service:
        return False
    words = before.what.lower()
    return words.startswith(READINGS) and not any(word in words for word in CHANGES)


def _habit(chapter: Chapter, step: Step) -> str:
    return "start" if step.turn == 0 else "idle" if step.turn in chapter.idle else ""


def _is_known(chapter: Chapter, step: Step, known: set[tuple[str, str]]) -> bool:
    habit = _habit(chapter, step)
    return step.what.startswith(DRIVERS_OWN) or (habit != "" and (step.service, habit) in known)


@pytest.mark.slow
@pytest.mark.parametrize("name", [stage.name for stage in STAGES])
async def test_a_crash_at_any_step_changes_no_figure(scene: Scene, name: str) -> None:
    chapter = scene.chapters[name]
    for count, (number, when) in enumerate(chapter.crashes):
        await put_back(scene.owner, chapter.before)
        steps = Steps(number, when)
        await scene.play(chapter.stage, steps, chapter.logs.copy())
        where = f"{name}: died {when} step {number}, {chapter.steps[number - 1]}"
        # Reports are sent four at a time, so a run may be some steps shorter than the recorded one.
        assert steps.crashes == 1 or len(steps.taken) < number, where
        assert await read_figures(scene.owner) == chapter.figures, where
        if count % AUDIT_EACH == 0 or chapter.steps[number - 1].what == "COMMIT;":
            assert await scene.audit() == chapter.verdicts, where
