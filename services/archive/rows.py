"""Rows as Arrow tables: their schema, and the hashes of their leaves, computed a column at a time.

The leaf is `shared.domain.evidence.leaf.order_leaf`; here it is encoded for many rows at once, because a function
call a row would cost more than the hash. `tests/integration/cli/test_archive.py` holds both together.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from services.charging.rows.order_columns import LEAF_COLUMNS, ORDER_COLUMNS
from shared.adapters.arrow.database import TOKEN
from shared.adapters.arrow.hashing import hash_rows
from shared.domain.evidence.leaf import NO_INT64, VERSION

_ROW_KEY: Final = ("batch", "leaf_index")
ORDER: Final = [(name, "ascending") for name in _ROW_KEY]
TOKEN_COLUMNS: Final = ("worker_key", "worker_rest")
"""The table's two token columns, which are one, `worker`, in files."""
_TYPES: Final = {
    "smallint": pa.int16(), "integer": pa.int32(), "bigint": pa.int64(), "boolean": pa.bool_(), "text": pa.string(),
    "timestamptz": pa.timestamp("us", "UTC"), "bytea": TOKEN,
}  # fmt: skip
_LEAF_NAMES: Final = [column.name for column in LEAF_COLUMNS]


def _schema() -> pa.Schema:
    """Return the schema: batch and leaf index, the leaf's columns in its order, the others."""
    types = {column.name: _TYPES[column.sql_type] for column in ORDER_COLUMNS} | {"worker": TOKEN}
    key, rest = TOKEN_COLUMNS
    ordered = dict.fromkeys([*_ROW_KEY, *_LEAF_NAMES, *types])
    names = ["worker" if name == key else name for name in ordered if name not in {rest, "worker"}]
    return pa.schema([(name, types[name]) for name in names])


SCHEMA: Final = _schema()
TEXTS: Final = [column.name for column in LEAF_COLUMNS if not column.leaf_format]
_FORMATS: Final = {column.name: column.leaf_format for column in LEAF_COLUMNS} | {"worker": "V32"}
_FIXED: Final = [
    ("prefix", "u1"), ("version", "u1"),
    *((name, _FORMATS[name]) for name in SCHEMA.names if _FORMATS.get(name)),
]  # fmt: skip
_HASH: Final = 32
_LONGEST: Final = 2**15
"""Above every text's length: an event is at most 64 kB and its texts are bounded far below."""
_AT_ONCE: Final = 16_384
"""Rows whose leaves are encoded together: some 5 MB, reused instead of new memory for a whole file."""
Array = np.ndarray[Any, Any]


def exact(rows: pa.Table) -> pa.Table:
    """Cast tokens and hashes to 32 bytes; `ArrowInvalid` where one has another length."""
    for name in ("worker", "received"):
        rows = rows.set_column(rows.schema.get_field_index(name), name, rows[name].cast(TOKEN))
    return rows


def leaf_hashes(rows: pa.Table, enterprises: Mapping[int, str]) -> bytes:
    """Return the leaf hash of every row, 32 bytes each, in the rows' order."""
    parts = range(0, rows.num_rows, _AT_ONCE)
    return b"".join([_leaf_hashes(rows.slice(at, _AT_ONCE), enterprises) for at in parts])


def _leaf_hashes(rows: pa.Table, enterprises: Mapping[int, str]) -> bytes:
    fixed = _fixed(rows, enterprises)
    texts = [_Text(rows[name]) for name in TEXTS]
    hashes = np.empty((rows.num_rows, _HASH), np.uint8)
    shapes = np.zeros(rows.num_rows, np.int64)  # rows of one shape have texts of equal lengths
    for text in texts:
        shapes = shapes * _LONGEST + text.lengths + 1
    for shape in np.unique(shapes):
        places = np.flatnonzero(shapes == shape)
        leaves = _encode_leaves(fixed, texts, places)
        hashes[places] = hash_rows(leaves)
    return hashes.tobytes()


def _fixed(rows: pa.Table, enterprises: Mapping[int, str]) -> Array:
    """Encode the fixed-width fields of every leaf, with the 0x00 prefix of a leaf's hash."""
    fields = np.zeros(rows.num_rows, _FIXED)
    fields["version"] = VERSION
    usccs = np.zeros(max(enterprises, default=0) + 1, "S18")
    for number, uscc in enterprises.items():
        usccs[number] = uscc.encode()
    for name, _ in _FIXED[2:]:
        if name == "enterprise":
            fields[name] = usccs[_numbers(rows[name])]
        elif SCHEMA.field(name).type == TOKEN:
            fields[name] = fixed_bytes(rows[name]).view("V32").reshape(-1)
        else:
            fields[name] = _numbers(rows[name])
    return fields


def _numbers(column: pa.ChunkedArray) -> Array:
    """Return a column as integers, nulls with the leaf's value for null."""
    if pa.types.is_boolean(column.type):
        numbers: Array = pc.fill_null(column.cast(pa.int8()), -1).to_numpy()
    elif pa.types.is_timestamp(column.type) or pa.types.is_int64(column.type):
        numbers = pc.fill_null(column.cast(pa.int64()), NO_INT64).to_numpy()
    else:
        numbers = column.to_numpy()
    return numbers


def fixed_bytes(column: pa.ChunkedArray) -> Array:
    """View a fixed-width binary column as an array of rows by width, without a copy."""
    array = column.combine_chunks()
    width = column.type.byte_width
    whole = np.frombuffer(array.buffers()[1], np.uint8).reshape(-1, width)
    values: Array = whole[array.offset : array.offset + len(array)]
    return values


class _Text:
    """A text column: start and length of every text; -1 is the length of null."""

    def __init__(self, column: pa.ChunkedArray) -> None:
        array = column.combine_chunks()
        offsets = np.frombuffer(array.buffers()[1], np.int32)[array.offset : array.offset + len(array) + 1]
        self.starts, self.lengths = offsets[:-1], np.diff(offsets)
        if array.null_count:
            self.lengths[array.is_null().to_numpy(zero_copy_only=False)] = -1
        data = array.buffers()[2]
        self._data = data if data is not None else b""

    def of(self, places: Array, length: int) -> Array:
        """Return the bytes of texts that all have this length."""
        windows = np.ndarray((len(self._data) - length + 1,), f"V{length}", self._data, strides=(1,))
        values: Array = windows[self.starts[places]]
        return values


def _encode_leaves(fixed: Array, texts: list[_Text], places: Array) -> Array:
    """Encode leaves of rows whose texts have equal lengths, all rows of a field at once."""
    lengths = [int(text.lengths[places[0]]) for text in texts]
    fields: list[tuple[str, str]] = [("fixed", f"V{fixed.itemsize}")]
    for number, length in enumerate(lengths):
        fields += [(f"length{number}", ">u2")] + [(f"text{number}", f"V{length}")] * (length > 0)
    leaves = np.empty(len(places), fields)
    leaves["fixed"] = fixed.view(f"V{fixed.itemsize}")[places]
    for number, (text, length) in enumerate(zip(texts, lengths, strict=True)):
        leaves[f"length{number}"] = length if length >= 0 else 0xFFFF
        if length > 0:
            leaves[f"text{number}"] = text.of(places, length)
    return leaves
