"""`make soak MINUTES=30`: storm after storm by seed until the time is over; then the sum of them.

Each storm is a month of orders on a separate system (see `storm.py`), with several faults a day.
Exit status 1 when anything was lost, doubled, stuck or untrue; the seed of that storm is printed.
"""

import argparse
import asyncio
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from random import Random

from tests.faults.process_deaths import Deaths
from tests.faults.storm import Aftermath, weather

ORDERS = 3_000
FAULTS_A_DAY = 1.5
LONGEST_PAUSE_SECONDS = 30.0
PAUSE_SHARE = 0.2
"""Of the storms have pauses of the whole length; in the others they are short, so that more happens."""


def main() -> int:
    """Run; returns the exit status."""
    wanted = argparse.ArgumentParser(description=__doc__)
    wanted.add_argument("--minutes", type=float, default=30.0)
    wanted.add_argument("--seed", type=int, default=int(time.time()))
    wanted.add_argument("--orders", type=int, default=ORDERS)
    given = wanted.parse_args()
    return Soak(given.seed, given.orders).run(time.monotonic() + 60 * given.minutes)


class Soak:
    """Counts what came of all storms."""

    def __init__(self, seed: int, orders: int) -> None:
        self._rng, self._orders = Random(seed), orders
        self.storms, self.events = 0, 0
        self.deaths = Deaths(seed)
        self.faults: Counter[str] = Counter()
        self.complaints: list[str] = []

    def run(self, deadline: float) -> int:
        """Storms until the deadline has passed, at least one; the first that leaves a complaint is the last."""
        while not self.storms or (time.monotonic() < deadline and not self.complaints):
            self._storm(self._rng.randrange(2**31))
        self._tell()
        return 1 if self.complaints else 0

    def _storm(self, seed: int) -> None:
        folder = Path(tempfile.mkdtemp(prefix="danbao-soak-"))
        longest = LONGEST_PAUSE_SECONDS if self._rng.random() < PAUSE_SHARE else 2.0
        self.storms += 1
        try:
            self._add(seed, asyncio.run(weather(folder, seed, self._orders, FAULTS_A_DAY, longest, self.deaths)))
        except Exception as error:  # noqa: BLE001 - any failure is the storm's verdict
            self.complaints.append(f"seed {seed}: {type(error).__name__}: {error}; logs are kept in {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)

    def _add(self, seed: int, aftermath: Aftermath) -> None:
        self.events += aftermath.summary.events
        self.faults.update(aftermath.faults)
        self.complaints += [f"seed {seed}: {complaint}" for complaint in aftermath.complaints()]
        differs = "differs from" if aftermath.differs else "agrees with"
        verdict = "passed" if not self.complaints else "FAILED"
        sys.stdout.write(
            f"storm {self.storms}, seed {seed}: {aftermath.summary.events:,} events,"
            f" {sum(aftermath.faults.values())} faults, audit {verdict},"
            f" {differs} the model, died at {self.deaths.died.total()} steps so far\n"
        )
        sys.stdout.flush()

    def _count_deaths(self) -> None:
        for death, count in self.deaths.died.items():
            self.faults[f"SIGKILL of {death.service} at a step"] += count

    def _tell(self) -> None:
        self._count_deaths()
        lines = [f"{self.storms} storms, {self.events:,} events taken in, {sum(self.faults.values())} faults:"]
        lines += [f"  {count:>6,}  {kind}" for kind, count in sorted(self.faults.items())]
        died, known = sum(count > 0 for count in self.deaths.died.values()), len(self.deaths.known)
        lines.append(f"died just before or after a step at {died} of {known} places recorded")
        lines += self.complaints or [
            "every event counted once, every report held once, every figure the model's, audit passed"
        ]
        sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    sys.exit(main())
