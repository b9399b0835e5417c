"""Services and model agree on every figure of every history: kept ones, and new ones that Hypothesis draws.

`DANBAO_MODEL_EXAMPLES=500` draws that many new ones, at random; without it the same few are drawn each time. A failure
prints its history; put it as a file into `tests/seeds`, with a sentence, and it stays a test. `python -m
tests.model.soak` plays long ones until the time is over, and makes what fails small by itself.
"""

import asyncio
import json
import os
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack

import pytest
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from tests.generators.workload import Step, Workload, draw
from tests.integration.charging.charging_harness import ROOT
from tests.integration.histories.history_harness import Play, open_play
from tests.integration.histories.model_template import model_template
from tests.support.servers import Postgres

KEPT = sorted((ROOT / "tests" / "seeds").glob("*.json"))
REQUESTED = os.environ.get("DANBAO_MODEL_EXAMPLES")
EXAMPLES = int(REQUESTED or 30)
HEALTH = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture]
SETTINGS = settings(
    max_examples=EXAMPLES,
    derandomize=REQUESTED is None,
    database=None,
    deadline=None,
    suppress_health_check=HEALTH,
    print_blob=True,
)
SEEDS = (6, 9, 12, 14)
WANTED_KINDS = {
    ("charged", ""), ("repeat", ""), ("conflict", ""), ("reversed", "cancelled"), ("reversed", "resent"),
    ("excluded", "province_not_in_pilot"), ("excluded", "enterprise_not_enrolled"), ("excluded", "insured_as_employee"),
    ("recorded", "completion"), ("recorded", "cancellation"), ("recorded", "declaration"), ("parked", "no_tariff_line"),
    ("parked", "missing_field"), ("parked", "in_future"), ("parked", "too_old"), ("late", "charged"),
    ("late", "reversed"), ("bill", "line"), ("bill", "adjustment"), ("bill", "late fee"), ("bill", "late fee paid"),
    ("bill", "credit"), ("amended", ""),
}  # fmt: skip
RANDOM = st.randoms(use_true_random=False)


@pytest.fixture(scope="module")
async def template(postgres: Postgres) -> AsyncIterator[str]:
    """The name of a database with both schemas and nothing in them."""
    async with model_template(postgres) as name:
        yield name


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """A new event loop: Hypothesis calls from outside of any."""
    made = asyncio.new_event_loop()
    yield made
    made.close()


async def play(server: Postgres, template: str, steps: list[Step]) -> Play:
    async with open_play(server, template) as opened:
        await opened.play(steps)
        return opened


@pytest.mark.parametrize("file", KEPT, ids=lambda file: file.stem)
async def test_a_history_that_was_found_once_stays_right(postgres: Postgres, template: str, file: object) -> None:
    kept = json.loads((ROOT / "tests" / "seeds" / str(file)).read_text(encoding="utf-8"))
    assert kept["why"]
    await play(postgres, template, kept["steps"])


@pytest.mark.exhaustive
async def test_long_histories_with_everything_nasty_in_them(postgres: Postgres, template: str) -> None:
    """A few seeds; what ends they must meet between them is no matter of luck."""
    met: set[tuple[str, str]] = set()
    for seed in SEEDS:
        try:
            played = await play(postgres, template, draw(seed, steps=50, events=20))
        except BaseException as error:
            error.add_note(f"seed {seed}")
            raise
        met |= kinds_met(played)
    assert WANTED_KINDS - met == set()


def kinds_met(played: Play) -> set[tuple[str, str]]:
    """What happened in a history, by its model."""
    model = played.model
    met = {(total.outcome, total.reason) for one in model.manifests.values() for total in one.totals}
    met |= {("late", total.outcome) for day, total, _ in model.lines if total.insured_on and day > total.insured_on}
    met |= {("bill", line.kind) for bill in model.bills.issued for line in bill.lines}
    met |= {("bill", "late fee") for bill in model.bills.issued if bill.fee_booked}
    met |= {("bill", "credit") for bill in model.bills.issued if bill.amount < 0}
    met |= {("bill", "late fee paid") for bill in model.bills.issued if bill.fee_paid}
    return met | {
        ("amended", "") for day, count in model.closed.items() if any(total[0] != day for total in count.totals)
    }


@SETTINGS
@given(random=RANDOM, steps=st.integers(1, 14), events=st.integers(1, 5))
@pytest.mark.exhaustive
def test_whole_histories(
    postgres: Postgres,
    template: str,
    loop: asyncio.AbstractEventLoop,
    random: random.Random,
    steps: int,
    events: int,
) -> None:
    history = Workload(random, months=("2026-10-31",)).history(steps, events)
    note(json.dumps(history))
    loop.run_until_complete(play(postgres, template, history))


class Scheme(RuleBasedStateMachine):
    """Every step at any time. `test_any_step_at_any_time` says where it runs."""

    server: Postgres
    template: str
    loop: asyncio.AbstractEventLoop

    def __init__(self) -> None:
        super().__init__()
        self.stack = AsyncExitStack()
        self.workload = Workload(random.Random(0))
        self.play = self.loop.run_until_complete(self.stack.enter_async_context(open_play(self.server, self.template)))

    def teardown(self) -> None:
        try:
            self.loop.run_until_complete(self.play.audit())
        finally:
            self.loop.run_until_complete(self.stack.aclose())

    def step(self, step: Step) -> None:
        self.loop.run_until_complete(self.play.step(step))

    @initialize(random=RANDOM)
    def first(self, random: random.Random) -> None:
        self.send(random)

    @rule(random=RANDOM)
    def send(self, random: random.Random) -> None:
        self.workload.random = random
        step = self.workload.send(4)
        note(json.dumps(step))
        self.step(step)

    @rule(picks=st.lists(st.integers(0, 7), min_size=1, max_size=4), twice=st.booleans())
    def deliver(self, picks: list[int], twice: bool) -> None:
        self.step({"do": "deliver", "picks": picks, "twice": twice})

    @rule(name=st.sampled_from(["settle", "freeze", "count", "bill", "fill", "zombie"]))
    def act(self, name: str) -> None:
        self.step({"do": name})

    @rule(twice=st.booleans())
    def answer(self, twice: bool) -> None:
        self.step({"do": "answer", "twice": twice})

    @rule(twice=st.booleans())
    def close(self, twice: bool) -> None:
        for name in ("freeze", "count"):
            self.step({"do": name})
        self.answer(twice=twice)

    @rule(worker=st.integers(0, 1))
    def restart(self, worker: int) -> None:
        self.step({"do": "restart", "worker": worker})

    @rule(random=RANDOM)
    def correct(self, random: random.Random) -> None:
        self.workload.random = random
        for step in self.workload.correct():
            note(json.dumps(step))
            self.step(step)

    @rule()
    def close_the_month(self) -> None:
        self.step({"do": "rush", "until": "2026-10-31"})
        self.step({"do": "bill"})

    @rule(random=RANDOM)
    def money(self, random: random.Random) -> None:
        self.workload.random = random
        self.step(self.workload.money())


@pytest.mark.parametrize("examples", [8, pytest.param(EXAMPLES, marks=pytest.mark.exhaustive)])
def test_any_step_at_any_time(
    postgres: Postgres, template: str, loop: asyncio.AbstractEventLoop, examples: int
) -> None:
    machine = type("Here", (Scheme,), {"server": postgres, "template": template, "loop": loop})
    phases = (Phase.explicit, Phase.generate, Phase.shrink)
    run_state_machine_as_test(
        machine, settings=settings(SETTINGS, max_examples=examples, stateful_step_count=25, phases=phases)
    )
