"""Which measurement gives which rows, and how long it takes; `danbao bench` runs them one after the other."""

import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from benchmarks import charging, evidence
from benchmarks.table import Row, machine


@dataclass(frozen=True, slots=True)
class Measurement:
    """`run` gives the rows of these names; `seconds` is about how long it takes on two quiet cores."""

    rows: tuple[str, ...]
    seconds: int
    run: Callable[[], Iterable[Row]]


MEASUREMENTS: Final = (
    Measurement(("charging",), 150, charging.rows),
    Measurement(("evidence",), 90, evidence.rows),
)
SHORT: Final = (Measurement(("charging",), 30, lambda: charging.rows(orders=200_000, runs=1, target=0.2)),)
"""For a noisy machine: ratios only, small, with limits that only a real loss breaks."""


class UnknownRowError(LookupError):
    """No measurement gives a row of that name."""


def choose(measurements: Sequence[Measurement], names: Sequence[str]) -> list[Measurement]:
    """Those that give the named rows, all without a name.

    Raises:
        UnknownRowError: None does.
    """
    known = {name for each in measurements for name in each.rows}
    if unknown := sorted(set(names) - known):
        raise UnknownRowError(f"no row is called {', '.join(unknown)}; there are {', '.join(sorted(known))}")
    return [each for each in measurements if not names or set(names) & set(each.rows)]


def run(names: Sequence[str], *, is_short: bool = False) -> tuple[list[Row], dict[str, Any]]:
    """Measure the named rows, or all; returns them and what they were measured on. In the main thread.

    Raises:
        UnknownRowError: No row has such a name.
    """
    about, rows = machine(), []
    began = time.monotonic()
    for each in choose(SHORT if is_short else MEASUREMENTS, names):
        _tell(f"{', '.join(each.rows)}: about {each.seconds} s")
        rows += [row for row in each.run() if not names or row.name in names]
    return rows, {**about, "seconds": round(time.monotonic() - began)}


def _tell(words: str) -> None:
    """Progress goes where it does not disturb what is printed."""
    print(words, file=sys.stderr, flush=True)
