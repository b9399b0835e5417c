"""A batch's rows by time instead of by leaf, and back: neighbours then differ by little, and files are smaller.

A batch is several partitions one after the other, in each of which times rise, mostly. By time, the partitions are laid
together: the next time, number and order id are those of the next order, whichever partition it came from. What leads
back is for each row the `run` it was in, counted up in the batch's leaf order wherever time falls (so a run is a
partition, or a piece of one), and how many leaf indexes were `skipped` before it (rows of other days, and repeats).
"""

from typing import Any, Final

import numpy as np
import pyarrow as pa

from services.archive.rows import SCHEMA

RUN: Final = "run"
SKIPPED: Final = "skipped"
_LEAF_INDEX: Final = SCHEMA.get_field_index("leaf_index")
Array = np.ndarray[Any, np.dtype[np.int64]]


def lay_by_time(rows: pa.Table) -> pa.Table:
    """Rows that are sorted by batch and leaf, by batch and time; `run` and `skipped` instead of `leaf_index`."""
    at = rows["accepted_at"].cast(pa.int64()).to_numpy()
    starts = _starts(rows["batch"].to_numpy())
    falls = np.r_[False, at[1:] < at[:-1]][: len(at)].cumsum()
    run = falls - falls[starts]
    skipped = rows["leaf_index"].to_numpy() - _ranks(starts)
    order = _sorted_within(starts, at)
    laid = rows.remove_column(_LEAF_INDEX).take(pa.array(order))
    return laid.append_column(RUN, pa.array(run[order], pa.int32())).append_column(
        SKIPPED, pa.array(skipped[order], pa.int32())
    )


def lay_by_leaf(rows: pa.Table) -> pa.Table:
    """The rows as they were before `lay_by_time`; those of an older archive, which have no `run`, as they are."""
    if RUN not in rows.column_names:
        return rows
    starts = _starts(rows["batch"].to_numpy())
    order = _sorted_within(starts, rows[RUN].to_numpy())
    laid = rows.take(pa.array(order))
    leaf_index = pa.array(laid[SKIPPED].to_numpy() + _ranks(starts), pa.int32())
    return laid.drop_columns([RUN, SKIPPED]).add_column(_LEAF_INDEX, "leaf_index", leaf_index)


def _starts(batches: Array) -> Array:
    """For each row where its batch begins; batches stand one after the other."""
    begins = np.r_[True, batches[1:] != batches[:-1]][: len(batches)]
    return np.maximum.accumulate(np.where(begins, np.arange(len(batches)), 0))


def _ranks(starts: Array) -> Array:
    """The how-manieth row of its batch each is, from 0."""
    found: Array = np.arange(len(starts)) - starts
    return found


def _sorted_within(starts: Array, key: Array) -> Array:
    """Places of the rows sorted by a key within each batch; equal ones stay as they stand."""
    return np.lexsort((key, starts))
