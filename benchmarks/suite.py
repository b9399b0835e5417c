"""Which measurement gives which rows, and how long it takes; `python -m benchmarks` runs them one after the other."""

import sys
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from benchmarks import archive, audit, charging, evidence, growth, latency, memory, millions, mix, start_up
from benchmarks.table import Row, Scale, from_rounds, machine


@dataclass(frozen=True, slots=True)
class Measurement:
    """Gives the wanted ones of `rows`; `seconds` is about how long `run` takes on two quiet cores."""

    rows: tuple[str, ...]
    seconds: int
    run: Callable[[Collection[str]], Iterable[Row]]


MEASUREMENTS: Final = (
    Measurement(("charging_cpu", "charging", "fair_rival", "naive_rival"), 270, charging.rows),
    Measurement(("day_mix",), 140, mix.rows),
    Measurement(latency.NAMES, 110, latency.rows),
    Measurement(("memory",), 60, memory.rows),
    Measurement(("start_up",), 45, start_up.rows),
    Measurement(millions.NAMES, 330, millions.rows),
    Measurement(audit.NAMES, 150, audit.rows),
    Measurement(archive.NAMES, 110, archive.rows),
    Measurement(growth.NAMES, 240, growth.rows),
    Measurement(("evidence",), 90, evidence.rows),
)
GENEROUS: Final = Scale(
    {"charging_cpu": 6.0, "charging": 0.2, "fair_rival": 2.0, "day_mix": 0.3}, events=150_000, runs=1, workers=1
)
SHORT: Final = (
    Measurement(("charging_cpu", "charging", "fair_rival"), 35, lambda wanted: charging.rows(wanted, GENEROUS)),
    Measurement(("day_mix",), 35, lambda wanted: mix.rows(wanted, GENEROUS)),
    Measurement(("close", "audit"), 25, lambda wanted: audit.rows(wanted, 200_000, {"close": 10.0, "audit": 6.0})),
)
"""For a noisy machine: ratios only, small, with limits that only a real loss breaks."""


class UnknownRowError(LookupError):
    """No measurement gives a row of that name."""


def choose(measurements: Sequence[Measurement], names: Sequence[str]) -> list[Measurement]:
    """Choose the measurements that give the named rows, or all measurements without a name.

    Raises:
        UnknownRowError: No measurement gives such a row.
    """
    known = {name for measurement in measurements for name in measurement.rows}
    if unknown := sorted(set(names) - known):
        raise UnknownRowError(f"no row is called {', '.join(unknown)}; there are {', '.join(sorted(known))}")
    return [measurement for measurement in measurements if not names or set(names) & set(measurement.rows)]


def run(names: Sequence[str], *, is_short: bool = False, rounds: int = 1) -> tuple[list[Row], dict[str, Any]]:
    """Measure the named rows, or all, in so many rounds; main thread only.

    Returns:
        The rows, and the machine with the measurements that failed and those that it cannot make.

    Raises:
        UnknownRowError: No row has such a name.
    """
    chosen = choose(SHORT if is_short else MEASUREMENTS, names)
    about, began = machine(), time.monotonic()
    measured: dict[str, list[Row]] = {}
    failures: dict[str, str] = {}
    missing: set[str] = set()
    for number in range(1, rounds + 1):
        for measurement in chosen:
            wanted = [name for name in measurement.rows if not names or name in names]
            _report(f"round {number} of {rounds}: {', '.join(wanted)}: about {measurement.seconds} s")
            try:
                rows = {row.name: row for row in measurement.run(wanted)}
            except Exception as error:  # noqa: BLE001 - the other measurements go on, and the failure is reported
                failures |= dict.fromkeys(wanted, f"round {number}: {error!r}")
                continue
            for name in wanted:
                if name in rows:
                    measured.setdefault(name, []).append(rows[name])
                    _report(f"  {name}: {rows[name].value:g} {rows[name].unit}{'' if rows[name].holds else ', missed'}")
                else:
                    missing.add(name)
                    _report(f"  {name}: not measured, since this machine has no /proc")
    names_in_order = [name for measurement in chosen for name in measurement.rows if name in measured]
    about |= {"seconds": round(time.monotonic() - began), "rounds": rounds, "failures": failures}
    about["not_measured"] = sorted(missing)
    return [from_rounds(measured[name]) for name in names_in_order], about


def _report(words: str) -> None:
    """Print progress on standard error, apart from the table or JSON on standard output."""
    print(words, file=sys.stderr, flush=True)
