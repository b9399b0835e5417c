"""A cut (截点) as SQL sees it: which batches a close reaches."""

from collections.abc import Mapping
from dataclasses import dataclass

from shared.adapters.postgres import Connection

IN_CUT = "exists (select 1 from unnest($1::bigint[]) as last where batch <= last and batch >> 32 = last >> 32)"
"""True for a row whose `batch` the cut in parameter 1 reaches: not above its run's last batch."""


@dataclass(frozen=True, slots=True)
class Batches:
    """The last batch of each run within a cut; a run's batches before it are within, too."""

    lasts: list[int]

    def with_batch(self, batch: int) -> "Batches":
        """The same and one more run, of which this is the last batch."""
        return Batches([*self.lasts, batch])


async def resolve(connection: Connection, cut: Mapping[str, int]) -> Batches:
    """Find the runs of a cut; those of another charging deployment are not ours to count."""
    rows = await connection.fetch("select id, run from charging.run where run = any($1)", list(cut))
    return Batches([row["id"] << 32 | cut[row["run"]] for row in rows])
