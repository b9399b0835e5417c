"""Rows out of PostgreSQL, by the column: some thousand rows are a few values of bytes, not a row each.

A driver takes 1.5 µs for the columns of a row. Here PostgreSQL puts rows that are alike together: what hardly differs
(kind, enterprise, premium, how long the texts are, ...) once for all of them, each other column as one array or as one
text or bytes without an end between. Were they put together wrongly, no root would come out.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

import numpy as np
import pyarrow as pa

from services.archive.rows import ORDER, SCHEMA, TEXTS
from services.charging.rows.order_columns import Piece, columns_of
from shared.adapters.arrow.database import ArrowDatabase
from shared.domain.errors import Refused
from shared.domain.evidence.leaf import NO_INT64

_ALIKE: Final = [column.name for column in columns_of(Piece.TEMPLATE)]
_MISSING: Final = {"timestamptz": "'-infinity'", "bigint": str(NO_INT64)}
_NUMBERS: Final = {
    column.name: (
        f"coalesce({column.name}, {_MISSING[column.sql_type]})" if column.is_nullable else column.name,
        column.copy_format,
    )
    for column in columns_of(Piece.RECORD)
    if column.sql_type != "bytea"
}
"""SQL and element type of columns read as an array. Null is the smallest value of its width, as in a leaf."""
_BYTES: Final = {column.name: column.size or 0 for column in columns_of(Piece.RECORD) if column.sql_type == "bytea"}
"""Fixed-width columns read as one byte string."""
_HEAD_BYTES: Final = 20
"""Of an array of one dimension without nulls, before its elements, each behind its length in four bytes."""
_EPOCH_US: Final = 946_684_800_000_000
"""PostgreSQL's epoch is 2000, that of Arrow 1970."""
_KEY_BYTES: Final = 8
"""Bytes of a token in the first of its two columns."""
LEAVES_AT_ONCE: Final = 16_384
"""Leaves of one aggregate query: PostgreSQL has them in memory, some 200 bytes each."""
_SETTINGS: Final = "select set_config('work_mem', '64MB', false), set_config('enable_sort', 'off', false)"
"""Aggregate in scan order: sorting whole rows first costs half as much again."""
Array = np.ndarray[Any, Any]


def read_rows(
    database: ArrowDatabase, table: str, batches: Mapping[int, int], at_once: int = LEAVES_AT_ONCE
) -> pa.Table:
    """The rows of these batches in a table of `charging`, sorted by batch and leaf; `worker` is the whole token.

    `batches` has the number of leaves of each batch, which is at least the number of its rows.
    """
    database.read(_SETTINGS)
    tables = [SCHEMA.empty_table()]
    for part in _parts(batches, at_once):
        alike = database.read(_SQL.format(table=table, among=among(part))).to_pylist()
        if alike:
            tables.append(pa.concat_tables(map(_rows, alike)).combine_chunks().sort_by(ORDER))
    return pa.concat_tables(tables)


def among(batches: Collection[int]) -> str:
    """SQL: the row is of one of these batches. The range is for BRIN, which does not use lists."""
    if not batches:
        return "false"
    wanted = ",".join(map(str, batches))
    return f"batch between {min(batches)} and {max(batches)} and batch = any('{{{wanted}}}')"


def _parts(batches: Mapping[int, int], at_once: int) -> Iterator[list[int]]:
    """Yield the batches in ascending groups."""
    part: list[int] = []
    leaves = 0
    for batch in sorted(batches):
        if part and leaves + batches[batch] > at_once:
            yield part
            part, leaves = [], 0
        part.append(batch)
        leaves += batches[batch]
    if part:
        yield part


def _select() -> str:
    lengths = [f"octet_length({text})" for text in TEXTS]
    alike = ", ".join([*_ALIKE, *lengths, "recorded_at is null"])
    columns = [*_ALIKE, *(f"{length} as {text}_length" for text, length in zip(TEXTS, lengths, strict=True))]
    columns += [f"array_send(array_agg({sql})) as {name}" for name, (sql, _) in _NUMBERS.items()]
    columns.append("array_send(array_agg(recorded_at) filter (where recorded_at is not null)) as recorded_at")
    columns += [f"string_agg({text}, '') as {text}" for text in TEXTS]
    columns += [f"string_agg({name}, '') as {name}" for name in _BYTES]
    return f"select count(*) as rows, {', '.join(columns)} from charging.{{table}} where {{among}} group by {alike}"


_SQL: Final = _select()


def _rows(alike: dict[str, Any]) -> pa.Table:
    """Decode the rows of one aggregate."""
    count = alike["rows"]
    columns = {name: pa.repeat(pa.scalar(alike[name], SCHEMA.field(name).type), count) for name in _ALIKE}
    numbers = {name: _numbers(alike[name], element, count) for name, (_, element) in _NUMBERS.items()}
    for name in ("batch", "leaf_index", "region"):
        columns[name] = pa.array(numbers[name])
    columns["sequence"] = _unless_missing(numbers["sequence"], numbers["sequence"])
    for name in ("accepted_at", "ended_at"):
        columns[name] = _unless_missing(numbers[name] + _EPOCH_US, numbers[name]).cast(SCHEMA.field(name).type)
    late = alike["recorded_at"]  # of all or of none
    sent = np.full(count, NO_INT64) if late is None else _numbers(late, ">i8", count)
    columns["recorded_at"] = _unless_missing(sent + _EPOCH_US, sent).cast(SCHEMA.field("recorded_at").type)
    for name in TEXTS:
        columns[name] = _texts(alike[name], alike[f"{name}_length"], count)
    texts = {name: _bytes(alike[name], size, count) for name, size in _BYTES.items()}
    tokens = np.empty((count, _KEY_BYTES + _BYTES["worker_rest"]), np.uint8)
    tokens[:, :_KEY_BYTES] = numbers["worker_key"].astype(">i8").view(np.uint8).reshape(count, _KEY_BYTES)
    tokens[:, _KEY_BYTES:] = texts["worker_rest"]
    columns["worker"] = _fixed("worker", tokens)
    columns["received"] = _fixed("received", texts["received"])
    return pa.table([columns[name] for name in SCHEMA.names], SCHEMA)


def _numbers(sent: bytes, element: str, count: int) -> Array:
    sent_elements = np.frombuffer(sent, [("length", ">i4"), ("value", element)], count, _HEAD_BYTES)
    return sent_elements["value"].astype(element.replace(">", "="))


def _unless_missing(values: Array, sent: Array) -> pa.Array:
    missing = sent == NO_INT64
    return pa.array(values, mask=missing if missing.any() else None)


def _texts(sent: str | None, length: int | None, count: int) -> pa.Array:
    """Decode texts of one length, or nulls."""
    if length is None:
        return pa.nulls(count, pa.string())
    ends = np.arange(count + 1, dtype=np.int32) * np.int32(length)
    return pa.Array.from_buffers(pa.string(), count, [None, pa.py_buffer(ends), pa.py_buffer((sent or "").encode())])


def _bytes(sent: bytes, width: int, count: int) -> Array:
    if len(sent) != width * count:
        raise Refused(f"{len(sent)} bytes where {count} rows should have {width} each")
    values: Array = np.frombuffer(sent, np.uint8).reshape(count, width)
    return values


def _fixed(name: str, values: Array) -> pa.Array:
    return pa.Array.from_buffers(SCHEMA.field(name).type, len(values), [None, pa.py_buffer(values)])
