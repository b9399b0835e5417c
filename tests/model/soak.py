"""`python -m tests.model.soak --minutes 10 [--seed 1]`: play long histories, seed after seed, to services and model.

What fails is made small and written to `tests/seeds/found-<seed>.json`, to be kept as a test once it is understood.
"""

import argparse
import asyncio
import json
import logging
import sys
import time
from collections.abc import Sequence

import structlog

from tests.generators.shrink_history import Shrinker
from tests.generators.workload import Step, draw
from tests.integration.charging.charging_harness import ROOT
from tests.integration.histories.history_harness import open_play
from tests.integration.histories.model_template import model_template
from tests.support.servers import Postgres, postgres_server

SEEDS = ROOT / "tests" / "seeds"


async def play(server: Postgres, template: str, steps: list[Step]) -> tuple[int, str]:
    """Events played, and what failed ("" for nothing)."""
    async with open_play(server, template) as opened:
        try:
            await opened.play(steps)
        except (KeyboardInterrupt, SystemExit, asyncio.CancelledError):
            raise
        except BaseException as error:  # noqa: BLE001 - pytest's failure is no Exception
            return opened.events, "\n".join([f"{type(error).__name__}: {error}", *getattr(error, "__notes__", [])])
        return opened.events, ""


async def make_small(server: Postgres, template: str, steps: list[Step]) -> list[Step]:
    """Shrink a failing history to few steps; each try is a play on a separate database."""
    loop = asyncio.get_running_loop()

    def fails(tried: list[Step]) -> bool:
        return bool(asyncio.run_coroutine_threadsafe(play(server, template, tried), loop).result()[1])

    return await asyncio.to_thread(Shrinker(fails).shrink, steps)


async def soak(minutes: float, seed: int) -> int:
    """How many histories failed."""
    histories = events = failed = 0
    end = time.monotonic() + 60 * minutes
    with postgres_server() as server:
        async with model_template(server) as template:
            while time.monotonic() < end:
                steps = draw(seed, steps=60, events=25)
                count, failure = await play(server, template, steps)
                histories, events = histories + 1, events + count
                if failure:
                    failed += 1
                    print(f"seed {seed}: {failure[:3000]}", flush=True)  # noqa: T201 - a command prints
                    small = await make_small(server, template, steps)
                    why = f"found by seed {seed}, not understood yet: {failure.splitlines()[0]}"
                    (SEEDS / f"found-{seed}.json").write_text(json.dumps({"why": why, "steps": small}, indent=1) + "\n")
                seed += 1
    reported = f"{histories} histories, {events} events, up to seed {seed - 1}: {failed} failed"
    print(reported, flush=True)  # noqa: T201 - a command prints
    return failed


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status: 1 when services and model disagreed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    return min(asyncio.run(soak(options.minutes, options.seed)), 1)


if __name__ == "__main__":
    sys.exit(main())
