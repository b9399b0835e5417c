"""Rows as tables: how they are read, and how their leaves are worked out, a column at a time.

The leaf is `shared.domain.evidence.leaf.order_leaf`; here it is encoded for many rows at once, because a function
call a row would cost more than the hash. `tests/integration/cli/test_archive.py` holds both together.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shared.adapters.arrow.database import TOKEN
from shared.adapters.arrow.hashing import hash_rows
from shared.domain.evidence.leaf import NO_INT64, VERSION

SCHEMA: Final = pa.schema(
    [
        ("batch", pa.int64()), ("leaf_index", pa.int32()), ("kind", pa.int16()), ("enterprise", pa.int16()),
        ("accepted_at", pa.timestamp("us", "UTC")), ("ended_at", pa.timestamp("us", "UTC")), ("sequence", pa.int64()),
        ("premium", pa.int32()), ("region", pa.int32()), ("tariff_line", pa.int16()), ("token_key", pa.int16()),
        ("industry", pa.int16()), ("reason", pa.int16()), ("departed", pa.bool_()), ("worker", TOKEN),
        ("received", TOKEN), ("order_id", pa.string()), ("series", pa.string()), ("agency_uscc", pa.string()),
        ("employer_insurance_no", pa.string()), ("recorded_at", pa.timestamp("us", "UTC")),
    ]
)  # fmt: skip
ORDER: Final = [("batch", "ascending"), ("leaf_index", "ascending")]
TEXTS: Final = ("order_id", "series", "agency_uscc", "employer_insurance_no")
_FIXED: Final = [
    ("prefix", "u1"), ("version", "u1"), ("kind", "u1"), ("uscc", "S18"), ("accepted_at", ">i8"), ("ended_at", ">i8"),
    ("sequence", ">i8"), ("premium", ">i8"), ("region", ">i4"), ("tariff_line", ">i4"), ("token_key", ">u2"),
    ("industry", ">u2"), ("reason", ">u2"), ("departed", "i1"), ("worker", "V32"), ("received", "V32"),
]  # fmt: skip
_HASH: Final = 32
_LONGEST: Final = 2**15
"""No text is as long: an event is at most 64 kB and its texts are bounded far below."""
_AT_ONCE: Final = 16_384
"""Rows whose leaves are laid out together: some 5 MB, which are used again instead of new memory for a whole file."""
Array = np.ndarray[Any, Any]


def exact(rows: pa.Table) -> pa.Table:
    """With tokens and hashes as 32 bytes, which they are; `ArrowInvalid` where one is not."""
    for name in ("worker", "received"):
        rows = rows.set_column(rows.schema.get_field_index(name), name, rows[name].cast(TOKEN))
    return rows


def leaf_hashes(rows: pa.Table, enterprises: Mapping[int, str]) -> bytes:
    """32 bytes a row, in the rows' order: the hash of each one's leaf."""
    parts = range(0, rows.num_rows, _AT_ONCE)
    return b"".join([_leaf_hashes(rows.slice(at, _AT_ONCE), enterprises) for at in parts])


def _leaf_hashes(rows: pa.Table, enterprises: Mapping[int, str]) -> bytes:
    fixed = _fixed(rows, enterprises)
    texts = [_Text(rows[name]) for name in TEXTS]
    hashes = np.empty((rows.num_rows, _HASH), np.uint8)
    form = np.zeros(rows.num_rows, np.int64)  # rows of one form have texts as long as one another's
    for text in texts:
        form = form * _LONGEST + text.lengths + 1
    for each in np.unique(form):
        places = np.flatnonzero(form == each)
        laid = _lay(fixed, texts, places)
        hashes[places] = hash_rows(laid)
    return hashes.tobytes()


def _fixed(rows: pa.Table, enterprises: Mapping[int, str]) -> Array:
    """What is as wide in every leaf, with the 0x00 of a leaf's hash before it."""
    laid = np.zeros(rows.num_rows, _FIXED)
    laid["version"] = VERSION
    usccs = np.zeros(max(enterprises, default=0) + 1, "S18")
    for number, uscc in enterprises.items():
        usccs[number] = uscc.encode()
    laid["uscc"] = usccs[_numbers(rows["enterprise"])]
    for name in ("accepted_at", "ended_at", "sequence"):
        laid[name] = _numbers(rows[name], NO_INT64)
    for name in ("kind", "premium", "region", "tariff_line", "token_key", "industry", "reason"):
        laid[name] = _numbers(rows[name])
    laid["departed"] = _numbers(pc.cast(rows["departed"], pa.int8()), -1)
    for name in ("worker", "received"):
        laid[name] = fixed_bytes(rows[name]).view("V32").reshape(-1)
    return laid


def _numbers(column: pa.ChunkedArray, missing: int = 0) -> Array:
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.int64())
    found: Array = pc.fill_null(column, missing).to_numpy()
    return found


def fixed_bytes(column: pa.ChunkedArray) -> Array:
    """Columns of 32 bytes as they lie in memory: an array of rows by 32."""
    array = column.combine_chunks()
    width = column.type.byte_width
    whole = np.frombuffer(array.buffers()[1], np.uint8).reshape(-1, width)
    found: Array = whole[array.offset : array.offset + len(array)]
    return found


class _Text:
    """A column of texts: where each begins, and how long it is; -1 for one that is missing."""

    def __init__(self, column: pa.ChunkedArray) -> None:
        array = column.combine_chunks()
        offsets = np.frombuffer(array.buffers()[1], np.int32)[array.offset : array.offset + len(array) + 1]
        self.starts, self.lengths = offsets[:-1], np.diff(offsets)
        if array.null_count:
            self.lengths[array.is_null().to_numpy(zero_copy_only=False)] = -1
        data = array.buffers()[2]
        self._data = data if data is not None else b""

    def of(self, places: Array, length: int) -> Array:
        """The bytes of texts that are all of this length."""
        each_byte = np.ndarray((len(self._data) - length + 1,), f"V{length}", self._data, strides=(1,))
        found: Array = each_byte[self.starts[places]]
        return found


def _lay(fixed: Array, texts: list[_Text], places: Array) -> Array:
    """Leaves of rows whose texts are as long as one another's; bytes are laid as a whole, not field by field."""
    lengths = [int(text.lengths[places[0]]) for text in texts]
    fields: list[tuple[str, str]] = [("fixed", f"V{fixed.itemsize}")]
    for number, length in enumerate(lengths):
        fields += [(f"length{number}", ">u2")] + [(f"text{number}", f"V{length}")] * (length > 0)
    laid = np.empty(len(places), fields)
    laid["fixed"] = fixed.view(f"V{fixed.itemsize}")[places]
    for number, (text, length) in enumerate(zip(texts, lengths, strict=True)):
        laid[f"length{number}"] = length if length >= 0 else 0xFFFF
        if length > 0:
            laid[f"text{number}"] = text.of(places, length)
    return laid
