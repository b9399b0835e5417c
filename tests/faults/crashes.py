"""Services that stop dead just before or just after any step of theirs, and what has to come out in the end.

The history of `history.py` is played once undisturbed, and held against the auditor's model. Then, for each stage and
each step of it, the database is put back to the stage's beginning, the service that takes this step dies with its
connections, is started again, and the stage goes on to its end. Every figure and every verdict of the audit must be
those of the undisturbed run, and every figure that the model knows must be the model's.

No step is left out. Just after one step is just before the next where the same process takes both, with nothing
between that anybody could see: such a pair is one place, and is died at once. Queries that the driver runs at its
first connection are no steps (see `engines.py`). The tests are several files, so that processes can share them.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import asyncpg
from sqlalchemy.ext.asyncio import AsyncEngine

from deploy.embedded.postgres import EmbeddedPostgres
from services.audit.run import Sources, audit_all
from services.demo.running.migrate import HISTORIES
from services.ledger.log.checkpoints import LogKeys
from shared.adapters.crypto.signing import NoteSigner, make_key_pair, make_note_key
from shared.adapters.postgres.engine import open_engine
from shared.adapters.postgres.migrations import migrate
from shared.adapters.postgres.pool import Pool, open_pool, with_login
from shared.domain.evidence.signed_note import COSIGNATURE, ED25519
from tests.faults.demo_town import Place
from tests.faults.engines import Engines
from tests.faults.figures import Figures, read_figures
from tests.faults.history import AT, STAGES, Stage, play
from tests.faults.history_model import live_through
from tests.faults.logs import Logs
from tests.faults.processes import open_town
from tests.faults.snapshots import Snapshot, keep, put_back
from tests.faults.steps import Steps, When
from tests.integration.charging.charging_harness import ROOT, demo_scheme
from tests.integration.histories.model_audit import Audit
from tests.model.model import Model

SCHEME = (ROOT / "deploy" / "tariffs", ROOT / "deploy" / "demo")
PASSWORD = "only-for-these-tests"
SERVER = {"fsync": "off", "scram_iterations": "1"}
"""Cheap settings: no power cut happens here, and password hashing is kept short, as every start logs in again."""
AUDIT_EACH = 10
"""The audit runs after every tenth crash and after each COMMIT; figures are compared after each crash."""
SHARES = {
    "charging": ("charge", "sort out", "send again", "charge late", "bill"),
    "closing": ("close", "sign", "close the next", "sign the next", "pay", "report the payments"),
    "reporting": ("report", "declare", "report the next", "show", "show the rest"),
}
"""Stages by test file."""
Verdicts = list[tuple[str, str, bool]]


@dataclass(frozen=True)
class Chapter:
    """A stage of the undisturbed run: how it began, its steps, how it ended."""

    stage: Stage
    before: Snapshot
    logs: Logs
    steps: Steps
    figures: Figures
    verdicts: Verdicts
    model: Model


@dataclass
class Scene:
    """The database, where the services find everything, and the undisturbed run."""

    owner: asyncpg.Connection
    place: Place
    books: Pool
    engine: AsyncEngine
    chapters: dict[str, Chapter]
    crashes: int = 0

    async def audit(self) -> Verdicts:
        # Rows that were put back are as old as the recording: none of them is missing for that.
        url = self.place.urls["auditor"]
        verdict = await audit_all(Sources(url, url, SCHEME, patience=timedelta(days=1)))
        return [(check.invariant, check.what, check.has_passed) for check in verdict.checks]

    async def play(self, stage: Stage, steps: Steps, logs: Logs) -> None:
        async with open_town(self.place, steps, logs) as town:
            await play(town, stage)

    async def agrees_with(self, model: Model) -> None:
        """Fails with the figures that differ."""
        await Audit(self.books, self.engine, model).all()

    async def crash_everywhere(self, name: str) -> None:
        """Die at every place of a stage."""
        chapter = self.chapters[name]
        for number, when in chapter.steps.places():
            try:
                await self.crash(chapter, number, when)
            except BaseException as error:
                error.add_note(f"{name}: died {when} step {number}, {chapter.steps.taken[number - 1]}")
                raise

    async def crash_at_sampled_places(self, size: int, seed: int) -> None:
        """Die at some places of all stages, the same ones for a seed."""
        places = [(name, *place) for name, chapter in self.chapters.items() for place in chapter.steps.places()]
        for name, number, when in sorted(Random(seed).sample(places, size)):
            await self.crash(self.chapters[name], number, when)

    async def crash(self, chapter: Chapter, number: int, when: When) -> None:
        """Kill the process at a step, play the stage again, and compare the end with the undisturbed run."""
        await put_back(self.owner, chapter.before)
        steps = Steps(number, when)
        await self.play(chapter.stage, steps, chapter.logs.copy())
        # Reports are sent four at a time, so a run may be some steps shorter than the recorded one.
        assert steps.crashes == 1 or len(steps.taken) < number
        assert await read_figures(self.owner) == chapter.figures
        if self.crashes % AUDIT_EACH == 0 or chapter.steps.taken[number - 1].what == "COMMIT;":
            differing = set(await self.audit()) ^ set(chapter.verdicts)
            assert not differing, f"the audit says other things: {differing}"
        self.crashes += 1
        await self.agrees_with(chapter.model)


@asynccontextmanager
async def open_scene(bootstrap: str) -> AsyncIterator[Scene]:
    """One server, with the undisturbed run in it; the broker only serves its cluster id."""
    with EmbeddedPostgres(SERVER) as server, TemporaryDirectory() as folder:
        owner = await asyncpg.connect(server.url("postgres"))
        urls = {}
        for history in HISTORIES:
            roles = {history.role: PASSWORD, "danbao_auditor": PASSWORD}
            await migrate(server.url("postgres"), history.schema, history.scripts, roles)
            urls[history.service] = with_login(server.url("postgres"), history.role, PASSWORD)
        engines = Engines(urls)
        await engines.warm()
        auditor = with_login(server.url("postgres"), "danbao_auditor", PASSWORD)
        private, public = Path(folder, "signing.pem"), Path(folder, "signing.pub")
        make_key_pair(private, public)
        urls = urls | {"auditor": auditor}
        keys, witness = make_log_keys(Path(folder))
        place = Place(urls, engines, owner, bootstrap, demo_scheme(), private, public, AT.date(), keys, witness)
        async with open_pool(auditor, size=1) as books, open_engine(auditor, size=1) as engine:
            made = Scene(owner, place, books, engine, {})
            await _record(made)
            yield made
        await owner.close()


def make_log_keys(folder: Path) -> tuple[LogKeys, NoteSigner]:
    """A key of the log, and one of a witness."""
    for name, kind in (("log", ED25519), ("witness", COSIGNATURE)):
        make_note_key(folder / f"{name}.pem", f"{name}.example", kind)
    signer = NoteSigner(folder / "log.pem", "log.example", ED25519)
    witness = NoteSigner(folder / "witness.pem", "witness.example", COSIGNATURE)
    return LogKeys("log.example", (signer,), (witness.verifier,)), witness


async def _record(scene: Scene) -> None:
    logs, models = Logs(), live_through(SCHEME, AT.date())
    for stage in STAGES:
        before, copied, steps = await keep(scene.owner), logs.copy(), Steps()
        await scene.play(stage, steps, logs)
        figures, verdicts = await read_figures(scene.owner), await scene.audit()
        await scene.agrees_with(models[stage.name])
        scene.chapters[stage.name] = Chapter(stage, before, copied, steps, figures, verdicts, models[stage.name])
