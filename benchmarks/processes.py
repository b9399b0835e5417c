"""CPU time of whole processes, children and the system's part included, as Linux counts it.

A rate depends on who else uses the machine; the CPU time of an order hardly does.
"""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

_PROC: Final = Path("/proc")
_TICKS_PER_SECOND: Final = os.sysconf("SC_CLK_TCK")


def cpu_seconds(groups: Mapping[str, Iterable[int]]) -> dict[str, float]:
    """Seconds of CPU that each group of processes used so far, with all their children; {} where there is no /proc.

    Ended children count once their parent has waited for them.
    """
    if not _PROC.is_dir():
        return {}
    stats = _stats()
    return {name: sum(_of_family(stats, pid) for pid in pids) for name, pids in groups.items()}


def _of_family(stats: Mapping[int, tuple[int, float]], pid: int) -> float:
    own = stats[pid][1] if pid in stats else 0.0
    return own + sum(_of_family(stats, child) for child, (parent, _) in stats.items() if parent == pid)


def _stats() -> dict[int, tuple[int, float]]:
    """Parent and CPU seconds of every process; fields of proc(5), counted from behind the name's bracket."""
    stats = {}
    for entry in _PROC.iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue  # it ended just now
            stats[int(entry.name)] = (int(fields[1]), sum(map(int, fields[11:15])) / _TICKS_PER_SECOND)
    return stats
