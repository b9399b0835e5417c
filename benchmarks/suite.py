"""Which measurement gives which rows, and how long it takes; `python -m benchmarks` runs them one after the other."""

import sys
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from benchmarks import archive, audit, charging, evidence, growth, latency, memory, millions, mix, start_up
from benchmarks.table import Row, Scale, machine


@dataclass(frozen=True, slots=True)
class Measurement:
    """`run` gives those of these rows that are wanted; `seconds` is about how long it takes on two quiet cores."""

    rows: tuple[str, ...]
    seconds: int
    run: Callable[[Collection[str]], Iterable[Row]]


MEASUREMENTS: Final = (
    Measurement(("charging", "fair_rival", "naive_rival"), 270, charging.rows),
    Measurement(("day_mix",), 140, mix.rows),
    Measurement(latency.NAMES, 110, latency.rows),
    Measurement(("memory",), 60, memory.rows),
    Measurement(("start_up",), 45, start_up.rows),
    Measurement(millions.NAMES, 330, millions.rows),
    Measurement(audit.NAMES, 150, audit.rows),
    Measurement(archive.NAMES, 110, archive.rows),
    Measurement(("growth",), 240, growth.rows),
    Measurement(("evidence",), 90, evidence.rows),
)
GENEROUS: Final = Scale({"charging": 0.2, "fair_rival": 2.0, "day_mix": 0.3}, events=150_000, runs=1, workers=1)
SHORT: Final = (
    Measurement(("charging", "fair_rival"), 35, lambda wanted: charging.rows(wanted, GENEROUS)),
    Measurement(("day_mix",), 35, lambda wanted: mix.rows(wanted, GENEROUS)),
    Measurement(("close", "audit"), 25, lambda wanted: audit.rows(wanted, 200_000, {"close": 10.0, "audit": 6.0})),
)
"""For a noisy machine: ratios only, small, with limits that only a real loss breaks."""


class UnknownRowError(LookupError):
    """No measurement gives a row of that name."""


def choose(measurements: Sequence[Measurement], names: Sequence[str]) -> list[Measurement]:
    """Those that give the named rows, all without a name.

    Raises:
        UnknownRowError: None does.
    """
    known = {name for measurement in measurements for name in measurement.rows}
    if unknown := sorted(set(names) - known):
        raise UnknownRowError(f"no row is called {', '.join(unknown)}; there are {', '.join(sorted(known))}")
    return [measurement for measurement in measurements if not names or set(names) & set(measurement.rows)]


def run(names: Sequence[str], *, is_short: bool = False) -> tuple[list[Row], dict[str, Any]]:
    """Measure the named rows, or all; returns them, and what they were measured on with what failed. Main thread only.

    Raises:
        UnknownRowError: No row has such a name.
    """
    chosen = choose(SHORT if is_short else MEASUREMENTS, names)
    about, began = machine(), time.monotonic()
    rows: list[Row] = []
    failures: dict[str, str] = {}
    for measurement in chosen:
        wanted = [name for name in measurement.rows if not names or name in names]
        _report(f"{', '.join(wanted)}: about {measurement.seconds} s")
        try:
            measured = list(measurement.run(wanted))
            rows += measured
            for row in measured:
                _report(f"  {row.name}: {row.value:g} {row.unit}{'' if row.holds else ', missed'}")
        except Exception as error:  # noqa: BLE001 - the others are still measured, and this one is reported
            failures |= dict.fromkeys(wanted, repr(error))
    return rows, {**about, "seconds": round(time.monotonic() - began), "failures": failures}


def _report(words: str) -> None:
    """Progress goes where it does not disturb what is printed."""
    print(words, file=sys.stderr, flush=True)
