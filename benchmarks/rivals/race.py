"""A rival over the topics that charging has just charged: as many processes, same broker, same database settings.

Counted as with charging: from the first commit of the last process to join, to the last commit of the first that ends.
"""

import asyncio
import os
import sys
import time
from pathlib import Path
from typing import Final

from sqlalchemy import Table
from sqlalchemy.ext.asyncio import create_async_engine

from benchmarks.orders import ride_hailing_enterprises
from benchmarks.rivals.fair import CHARGED
from benchmarks.rivals.naive import Charged
from benchmarks.workers import House
from deploy.embedded.children import Child, start_child
from shared.contracts.topics import orders_topic
from shared.runtime.settings import HOUSE

FAIR: Final = "benchmarks.rivals.fair"
NAIVE: Final = "benchmarks.rivals.naive"
TABLES: Final = {FAIR: CHARGED, NAIVE: Charged.__table__}
JOIN_SECONDS: Final = 60.0
SECONDS: Final = 8.0
"""How long all processes charge together, unless they run dry before."""

Commits = list[tuple[float, int]]
"""Time, and orders in it."""


async def race(house: House, folder: Path, rival: str, processes: int, orders: int) -> float:
    """Orders a second of a rival that finds `orders` in the topics."""
    table = TABLES[rival]
    assert isinstance(table, Table)
    await _make_table(house.owner, table)
    progress = [folder / f"{rival}-{number}.progress" for number in range(processes)]
    children = [_start(house, rival, path, folder) for path in progress]
    try:
        await _let_run(children, progress, orders)
    finally:
        for child in children:
            child.stop()
    commits = [_commits(path) for path in progress]
    stored = await house.pool.fetchval(f"select count(*) from {table.name}")
    reported = sum(count for commit in commits for _, count in commit)
    if not reported - 500 * processes <= stored <= reported + 500 * processes:
        raise RuntimeError(f"{rival} says it charged {reported} orders, {stored} are there")
    return _rate(commits)


async def _make_table(owner: str, table: Table) -> None:
    engine = create_async_engine(owner.replace("postgresql:", "postgresql+asyncpg:", 1))
    async with engine.begin() as connection:
        await connection.run_sync(table.create)
    await engine.dispose()


def _start(house: House, rival: str, progress: Path, folder: Path) -> Child:
    progress.touch()
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "RIVAL_KAFKA": house.stack.kafka,
        "RIVAL_DATABASE": house.owner,
        "RIVAL_TOPICS": ",".join(orders_topic(uscc) for uscc in ride_hailing_enterprises()),
        "RIVAL_PROGRESS": str(progress),
    }
    log = folder / f"{progress.stem}.log"
    return start_child(rival, [sys.executable, "-m", rival], env=environment, cwd=HOUSE, log=log)


async def _let_run(children: list[Child], progress: list[Path], orders: int) -> None:
    """Until all have charged together for SECONDS, or everything is charged."""
    deadline = time.monotonic() + JOIN_SECONDS
    while True:
        for child in children:
            if child.poll() is not None:
                raise RuntimeError(f"{child.name} ended: {child.last_words()}")
        commits = [_commits(path) for path in progress]
        began = max(commit[0][0] if commit else time.time() for commit in commits)
        if time.time() - began > SECONDS or sum(count for commit in commits for _, count in commit) >= orders:
            return
        if time.monotonic() > deadline:
            raise TimeoutError(f"{children[0].name} did not charge within {JOIN_SECONDS:g} s")
        await asyncio.sleep(0.25)


def _commits(path: Path) -> Commits:
    lines = path.read_bytes().splitlines()
    return [(float(at), int(count)) for at, count in (line.split() for line in lines)]


def _rate(commits: list[Commits]) -> float:
    begin, end = max(commit[0][0] for commit in commits), min(commit[-1][0] for commit in commits)
    return sum(count for commit in commits for at, count in commit if begin < at <= end) / (end - begin)
