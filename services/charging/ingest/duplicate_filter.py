"""Duplicate filter: flags rows that may be in the table already, so that only those are queried before COPY.

A guess that saves work: the key of the table decides what is a duplicate. Pure.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from operator import attrgetter, itemgetter
from typing import Final

from services.charging.rows.batch import Batch
from services.charging.rows.row_kinds import LEAF_INDEX

_PARTITION: Final = attrgetter("topic", "partition")
_NEVER: Final = -(2**63)


class DuplicateFilter:
    """Remembers the newest moment of each partition's orders."""

    def __init__(self) -> None:
        self._newest: dict[tuple[str, int], int] = {}

    def find(self, batch: Batch, moments: Sequence[int]) -> set[int]:
        """Leaf indexes of rows whose moment is no later than one read of their partition in an earlier batch.

        Such a row is late, out of order, or a duplicate. `moments` are the microseconds of each row's acceptance or
        end; records are in the order of their partitions.
        """
        possible: set[int] = set()
        record, row = 0, 0
        while record < len(batch.records):
            partition = _PARTITION(batch.records[record])
            record = bisect_right(batch.records, partition, record, key=_PARTITION)
            next_row = bisect_left(batch.rows, record, row, key=itemgetter(LEAF_INDEX))
            own_moments, newest = moments[row:next_row], self._newest.get(partition, _NEVER)
            if own_moments and min(own_moments) <= newest:
                pairs = zip(batch.rows[row:next_row], own_moments, strict=True)
                possible.update(own_row[LEAF_INDEX] for own_row, moment in pairs if moment <= newest)
            self._newest[partition] = max(newest, max(own_moments, default=newest))
            row = next_row
        return possible
