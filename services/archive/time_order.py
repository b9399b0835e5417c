"""Sort a batch's rows by time instead of by leaf, and back: neighbours then differ by little, and files are smaller.

A batch is several partitions one after the other, in each of which times rise, mostly. Sorting by time merges
the partitions: the next time, number and order id are those of the next order of any partition. Two columns restore the
leaf order: the `run` of each row, counted up in leaf order at each place where time falls (so a run is a partition or a
piece of one), and how many leaf indexes were `skipped` before the row (rows of other days, and repeats).
"""

from typing import Any, Final

import numpy as np
import pyarrow as pa

from services.archive.rows import SCHEMA

RUN: Final = "run"
SKIPPED: Final = "skipped"
_LEAF_INDEX: Final = SCHEMA.get_field_index("leaf_index")
Array = np.ndarray[Any, np.dtype[np.int64]]


def sort_by_time(rows: pa.Table) -> pa.Table:
    """Sort rows from batch and leaf order to batch and time; `run` and `skipped` replace `leaf_index`."""
    at = rows["accepted_at"].cast(pa.int64()).to_numpy()
    starts = _starts(rows["batch"].to_numpy())
    falls = np.r_[False, at[1:] < at[:-1]][: len(at)].cumsum()
    run = falls - falls[starts]
    skipped = rows["leaf_index"].to_numpy() - _ranks(starts)
    order = _sorted_within(starts, at)
    by_time = rows.remove_column(_LEAF_INDEX).take(pa.array(order))
    return by_time.append_column(RUN, pa.array(run[order], pa.int32())).append_column(
        SKIPPED, pa.array(skipped[order], pa.int32())
    )


def sort_by_leaf(rows: pa.Table) -> pa.Table:
    """Restore the order before `sort_by_time`; rows of an older archive, without `run`, are returned unchanged."""
    if RUN not in rows.column_names:
        return rows
    starts = _starts(rows["batch"].to_numpy())
    order = _sorted_within(starts, rows[RUN].to_numpy())
    by_leaf = rows.take(pa.array(order))
    leaf_index = pa.array(by_leaf[SKIPPED].to_numpy() + _ranks(starts), pa.int32())
    return by_leaf.drop_columns([RUN, SKIPPED]).add_column(_LEAF_INDEX, "leaf_index", leaf_index)


def _starts(batches: Array) -> Array:
    """For each row the index where its batch begins; batches are consecutive."""
    begins = np.r_[True, batches[1:] != batches[:-1]][: len(batches)]
    return np.maximum.accumulate(np.where(begins, np.arange(len(batches)), 0))


def _ranks(starts: Array) -> Array:
    """Zero-based rank of each row within its batch."""
    ranks: Array = np.arange(len(starts)) - starts
    return ranks


def _sorted_within(starts: Array, key: Array) -> Array:
    """Indexes that sort the rows by a key within each batch; the sort is stable."""
    return np.lexsort((key, starts))
