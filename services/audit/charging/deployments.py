"""Charging as the audit reads it: one database shared with the books, or one for each deployment (docs/decisions/0012).

An enterprise has one deployment, so what is said of enterprises is put together; a worker may have ridden for several
deployments, and counts where he was met first.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from services.audit.charging.row_contents import RowReader
from services.audit.charging.workers import Workers
from services.audit.facts import Facts, Manifest
from shared.adapters.postgres.pool import Connection

_RUNS: Final = 32
"""Bits of a run's id, which is unique in one database: another deployment's ids begin above them."""
_BATCHES: Final = 64


@dataclass(frozen=True, slots=True)
class Charging:
    """One deployment: its database, facts and rows."""

    connection: Connection
    facts: Facts
    rows: RowReader


def join_facts(parts: Sequence[Facts]) -> Facts:
    """Merge the facts of all deployments, with batch numbers that are unique across them."""
    if len(parts) == 1:
        return parts[0]
    manifests: dict[int, Manifest] = {}
    run_ids: dict[str, int] = {}
    for place, part in enumerate(parts):
        for manifest in part.manifests.values():
            batch = manifest.batch + (place << _BATCHES)
            manifests[batch] = replace(manifest, batch=batch)
        run_ids |= {run: number + (place << _RUNS) for run, number in part.run_ids.items()}
    first = parts[0]
    return Facts(
        scheme=first.scheme,
        opened_on=first.opened_on,
        enterprises={},
        manifests=manifests,
        closed=first.closed,
        run_ids=run_ids,
        patience=first.patience,
    )


def join_workers(parts: Sequence[Workers]) -> Workers:
    """Merge the workers of all deployments; each worker counts on the first day that has him."""
    if len(parts) == 1:
        return parts[0]
    whole = Workers()
    for part in parts:
        whole.join(part)
    return whole
