"""An archive's rows are sorted by time within a batch and restored by leaf, with any gaps and any times."""

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from services.archive.rows import SCHEMA
from services.archive.time_order import RUN, SKIPPED, sort_by_leaf, sort_by_time

Row = tuple[int, int, int]
"""Batch, leaf index, time."""
PLACE = ["batch", "leaf_index", "accepted_at"]


def table(rows: list[Row]) -> pa.Table:
    """Sorted by batch and leaf; `sequence` says which row it is."""
    rows = sorted(rows)
    columns = {
        name: pa.array([row[at] for row in rows], pa.int64()).cast(SCHEMA.field(name).type)
        for at, name in enumerate(PLACE)
    }
    columns["sequence"] = pa.array(range(len(rows)), pa.int64())
    return pa.table([columns.get(name, pa.nulls(len(rows), SCHEMA.field(name).type)) for name in SCHEMA.names], SCHEMA)


@given(
    st.lists(
        st.tuples(st.integers(1, 3), st.integers(0, 2**20), st.integers(0, 9) | st.integers(0, 2**50)),
        max_size=60,
        unique_by=lambda row: row[:2],
    )
)
def test_rows_come_back_by_leaf(rows: list[Row]) -> None:
    by_leaf = table(rows)
    by_time = sort_by_time(by_leaf)
    order = list(zip(by_time["batch"].to_pylist(), by_time["accepted_at"].cast(pa.int64()).to_pylist(), strict=True))
    assert order == sorted(order)
    assert sort_by_leaf(by_time).equals(by_leaf)


def test_partitions_are_runs_and_only_gaps_are_skipped() -> None:
    ordered = sort_by_time(table([(7, 0, 10), (7, 1, 12), (7, 2, 11), (7, 5, 13), (8, 4, 1), (8, 5, 1)]))
    assert ordered[RUN].to_pylist() == [0, 1, 0, 1, 0, 0]
    assert ordered[SKIPPED].to_pylist() == [0, 0, 0, 2, 4, 4]


def test_rows_of_the_first_version_are_as_they_are() -> None:
    rows = table([(1, 0, 5), (1, 1, 4)])
    assert sort_by_leaf(rows) is rows
