"""Which rows of a batch may well be in the table already, so that only these are looked up before they are written.

A guess that saves work: the table's key decides (design D4). Pure.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from operator import attrgetter, itemgetter
from typing import Final

from services.charging.rows.batch import Batch
from services.charging.rows.row_kinds import LEAF_INDEX

_PLACE: Final = attrgetter("topic", "partition")
_NEVER: Final = -(2**63)


class DuplicateFilter:
    """Remembers of each partition how far its orders have come."""

    def __init__(self) -> None:
        self._newest: dict[tuple[str, int], int] = {}

    def find(self, batch: Batch, moments: Sequence[int]) -> None:
        """Note in `batch.doubtful` what happened no later than what was read of its partition before.

        That is late, out of order, or a repeat. `moments` are the microseconds of what each row tells, acceptance or
        end; records stand in the order of their partitions.
        """
        start, at = 0, 0
        while start < len(batch.records):
            place = _PLACE(batch.records[start])
            start = bisect_right(batch.records, place, start, key=_PLACE)
            upto = bisect_left(batch.rows, start, at, key=itemgetter(LEAF_INDEX))
            mine, newest = moments[at:upto], self._newest.get(place, _NEVER)
            if mine and min(mine) <= newest:
                pairs = zip(batch.rows[at:upto], mine, strict=True)
                batch.doubtful.update(row[LEAF_INDEX] for row, moment in pairs if moment <= newest)
            self._newest[place] = max(newest, max(mine, default=newest))
            at = upto
