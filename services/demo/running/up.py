"""`danbao up`: run the services until a stop signal."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from services.demo.running.event_loop import run_work, state_directory
from services.demo.running.state import ENV_FILE
from services.demo.running.system import DEMO_SCHEME, System, Wishes, running_system
from shared.runtime.exits import Exit


def run_up(state: Path | None, scheme: str) -> int:
    """Run until SIGINT or SIGTERM; returns the exit status."""
    with _directory(state) as folder:
        run_work(_serve(Wishes(folder, scheme or DEMO_SCHEME, has_scheduler=True)))
    return Exit.OK


@contextmanager
def _directory(state: Path | None) -> Iterator[Path]:
    if state is None:
        with state_directory("up") as folder:
            yield folder
    else:
        state.mkdir(parents=True, exist_ok=True, mode=0o700)
        yield state.resolve()


async def _serve(wishes: Wishes) -> None:
    async with running_system(wishes) as system:
        _print(system)
        await system.supervisor.guard(asyncio.Event().wait())


def _print(system: System) -> None:
    """Print the addresses for a person; flushed, because a script may wait for them."""
    reporting = system.settings.reporting_url
    lines = [
        f"portal             {reporting}/  (accounts: danbao user add)",
        f"operator's key     {system.operator_key}",
        f"charging           {system.settings.charging_url}",
        f"ledger             {system.settings.ledger_url}",
        f"national platform  {system.settings.platform_url}",
        f"Kafka              {system.settings.kafka}",
        f"for other commands set -a; . '{system.directory / ENV_FILE}'; set +a",
        f"logs               {system.directory / 'logs'}",
        "Ctrl-C ends everything.",
    ]
    print("\n".join(lines), flush=True)
