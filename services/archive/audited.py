"""Read an archived day's rows one by one, with the column names of the audit's query."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from services.archive import files
from shared.domain.evidence.leaf import RowKind
from shared.domain.scheme.worker import split_token

_MANY: Final = 10_000
"""Rows converted to Python objects at a time."""


def own_kinds(folder: Path, index: files.Index) -> dict[tuple[Any, ...], int]:
    """Return the highest kind of each reversed or re-rated order, by its key."""
    highest: dict[tuple[Any, ...], int] = {}
    for record in read_records(folder, index, RowKind.REVERSAL):
        key = (record["accepted_at"], record["enterprise"], record["order_id"], record["worker_key"])
        highest[key] = max(highest.get(key, 0), record["kind"])
    return highest


def read_records(folder: Path, index: files.Index, least_kind: int = 0) -> Iterator[dict[str, Any]]:
    """Yield each row of at least this kind, with the times also as `accepted` and `ended` in microseconds."""
    tokens = files.read_tokens(folder)
    for name in index.rows_files:
        rows = files.read_rows_file(folder / name, tokens)
        rows = rows.filter(pc.greater_equal(rows["kind"], least_kind))
        for column, of in (("accepted", "accepted_at"), ("ended", "ended_at")):
            rows = rows.append_column(column, rows[of].cast(pa.int64()))
        for batch in rows.to_batches(_MANY):
            for record in batch.to_pylist():
                token = record.pop("worker")
                key, rest = split_token(token)
                yield record | {"worker_key": key, "worker_rest": rest}
