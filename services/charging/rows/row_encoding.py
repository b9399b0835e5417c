"""Row encoding: rows of a batch as binary COPY and as leaves of the evidence.

Orders are encoded a column at a time: numpy fills the columns of fixed width for all rows at once, and row templates
hold what orders share. Every row that charging writes is encoded here (docs/decisions/0008, 0013).
"""

import struct
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, compress, groupby
from typing import Any, Final

import numpy as np

from services.charging.rows.order_columns import COPY_COLUMNS, LEAF_COLUMNS, Piece, columns_of
from services.charging.rows.row_kinds import COPIED, Row
from services.charging.rows.row_template import NULL, RowTemplate, VariableFields
from shared.adapters.crypto.hashing import hash_all
from shared.domain.books.delays import BOUNDS_SECONDS
from shared.domain.evidence.leaf import NO_INT64, SharedLeaf

Array = np.ndarray[Any, Any]

_HEADER: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER: Final = b"\xff\xff"
_POSTGRES_EPOCH_US: Final = 946_684_800_000_000
"""2000-01-01T00:00Z, from which PostgreSQL counts, in microseconds since 1970."""
_MINUTE_US: Final = BOUNDS_SECONDS[0] * 1_000_000
"""An event sent within a minute counts as sent at once: no `recorded_at` is stored."""
_PREFIX_AND_VERSION: Final = 2
_ID_LENGTH: Final = "order_id_length"
_TIME: Final = struct.Struct(">iq")
_WORKER: Final = np.dtype([("worker_key", ">i8"), ("worker_rest", "V24")])


def _leaf_fields() -> Iterator[tuple[str, str]]:
    """Fields of an order's leaf behind the prefix of its hash, up to its first text; see `SharedLeaf` for the parts."""
    parts, before = iter(SharedLeaf._fields), _PREFIX_AND_VERSION
    fixed = [column for column in LEAF_COLUMNS if column.leaf_format]
    for is_shared, columns in groupby(fixed, lambda column: column.piece is Piece.TEMPLATE):
        formats = [(column.name, column.leaf_format) for column in columns]
        if is_shared:
            yield next(parts), f"V{before + np.dtype(formats).itemsize}"
            before = 0
        else:
            yield from formats
    yield _ID_LENGTH, ">u2"


_LEAF: Final = np.dtype(list(_leaf_fields()))


class _FixedFields:
    """Rows of the stream up to the order's id, in which some columns are missing."""

    def __init__(self, *missing: str) -> None:
        row, places = struct.pack(">h", len(COPY_COLUMNS)), {}
        for column in columns_of(Piece.RECORD):
            if column.name in missing:
                row += NULL
            else:
                size = np.dtype(column.copy_format).itemsize
                row += struct.pack(">i", size)
                places[column.name] = (column.copy_format, len(row))
                row += bytes(size)
        places[_ID_LENGTH] = (">i4", len(row))
        self._row = np.frombuffer(row + bytes(4), f"V{len(row) + 4}")
        kinds, offsets = zip(*places.values(), strict=True)
        self._columns = np.dtype(
            {"names": list(places), "formats": kinds, "offsets": offsets, "itemsize": self._row.itemsize}
        )

    def rows(self, count: int) -> Array:
        """Return `count` rows whose columns are to be filled."""
        return np.repeat(self._row, count).view(self._columns)


_NUMBERED: Final = _FixedFields("ended_at")
_ENDED: Final = _FixedFields("sequence")
_NEITHER: Final = _FixedFields("ended_at", "sequence")


class OrderArrays:
    """Orders to be encoded, as one list for each column, all equally long.

    Times are microseconds since 1970. NO_INT64 is a missing end, sequence number or record time, which only acceptances
    have. `indexes` are those of the leaves, `tokens` and `received` have 32 bytes each, `regions` are the six digits as
    a number.
    """

    __slots__ = (
        "accepted_us", "ended_us", "indexes", "order_ids", "received", "recorded_us", "regions", "sequences",
        "templates", "tokens", "variable_fields",
    )  # fmt: skip

    def __init__(self) -> None:
        self.indexes: list[int] = []
        self.templates: list[RowTemplate] = []
        self.accepted_us: list[int] = []
        self.ended_us: list[int] = []
        self.sequences: list[int] = []
        self.regions: list[int] = []
        self.tokens: list[bytes] = []
        self.received: list[bytes] = []
        self.order_ids: list[str] = []
        self.variable_fields: list[VariableFields] = []
        self.recorded_us: list[int] = []

    def append(
        self, index: int, template: RowTemplate, accepted_us: int, ended_us: int | None, sequence: int | None,
        region: int, token: bytes, order_id: str, variable_fields: VariableFields, recorded_us: int = NO_INT64,
    ) -> None:  # fmt: skip
        """Append an order, without its `received` hash."""
        self.indexes.append(index)
        self.templates.append(template)
        self.accepted_us.append(accepted_us)
        self.ended_us.append(NO_INT64 if ended_us is None else ended_us)
        self.sequences.append(NO_INT64 if sequence is None else sequence)
        self.regions.append(region)
        self.tokens.append(token)
        self.order_ids.append(order_id)
        self.variable_fields.append(variable_fields)
        self.recorded_us.append(recorded_us)

    def add(self, others: "OrderArrays") -> None:
        """Append other orders."""
        for name in self.__slots__:
            getattr(self, name).extend(getattr(others, name))

    def keep_only(self, is_kept: Array) -> list[int]:
        """Drop the orders whose flag is false; returns their indexes."""
        if is_kept.all():
            return []
        dropped = list(compress(self.indexes, (~is_kept).tolist()))
        for name in self.__slots__:
            setattr(self, name, list(compress(getattr(self, name), is_kept.tolist())))
        return dropped

    def event_times_us(self) -> list[int]:
        """When each event happened, acceptance or end: microseconds since 1970."""
        ended = self.ended_us
        if ended.count(NO_INT64) == len(ended):
            return self.accepted_us
        return [accepted if end == NO_INT64 else end for accepted, end in zip(self.accepted_us, ended, strict=True)]

    def sort(self) -> None:
        """Sort the orders by their indexes."""
        if sorted(self.indexes) == self.indexes:
            return
        order = sorted(range(len(self.indexes)), key=self.indexes.__getitem__)
        for name in self.__slots__:
            column = getattr(self, name)
            if column:
                setattr(self, name, [column[position] for position in order])


def number_templates(templates: Sequence[RowTemplate]) -> tuple[list[RowTemplate], Array]:
    """The distinct templates, and the position of each of `templates` among them: for work a column at a time."""
    numbers = {template: number for number, template in enumerate(dict.fromkeys(templates))}
    return list(numbers), np.array([numbers[template] for template in templates])


def encode_rows(orders: OrderArrays, batch_number: int) -> tuple[list[Row], list[bytes]]:
    """Encode orders as rows for COPY and as leaf hashes; see `shared.domain.evidence.leaf.order_leaf` for a leaf."""
    if not orders.indexes:
        return [], []
    order_ids = [order_id.encode() for order_id in orders.order_ids]
    workers = np.frombuffer(b"".join(orders.tokens), _WORKER)
    columns: dict[str, Array] = {
        "accepted_at": np.array(orders.accepted_us, np.int64),
        "ended_at": np.array(orders.ended_us, np.int64),
        "sequence": np.array(orders.sequences, np.int64),
        "region": np.array(orders.regions, np.int32),
        "worker_key": workers["worker_key"],
        "worker_rest": workers["worker_rest"],
        "received": np.frombuffer(b"".join(orders.received), "V32"),
        _ID_LENGTH: np.array(list(map(len, order_ids)), np.int32),
    }
    leaves = hash_all(
        _fixed_leaf_fields(orders.templates, columns), order_ids, [fields.in_leaf for fields in orders.variable_fields]
    )
    copied = zip(
        _fixed_copy_fields(columns, orders.indexes, batch_number), order_ids,
        [template.in_copy for template in orders.templates], [fields.in_copy for fields in orders.variable_fields],
        _late_fields(columns["accepted_at"], orders.recorded_us), strict=True,
    )  # fmt: skip
    keys = workers["worker_key"].tolist()
    enterprises = [template.enterprise for template in orders.templates]
    kinds = [template.kind for template in orders.templates]
    rows = zip(orders.accepted_us, enterprises, orders.order_ids, keys, kinds, orders.indexes, copied, strict=True)
    return list(rows), leaves


def _late_fields(accepted_us: Array, recorded_us: Sequence[int]) -> list[bytes]:
    """The field `recorded_at` of each row: missing unless the event was sent a minute or more after acceptance."""
    fields = [NULL] * len(recorded_us)
    for row in np.flatnonzero(np.array(recorded_us) >= accepted_us + _MINUTE_US).tolist():
        fields[row] = _TIME.pack(8, recorded_us[row] - _POSTGRES_EPOCH_US)
    return fields


def copy_stream(rows: Iterable[Row]) -> memoryview:
    """Rows as a binary COPY takes them, in this order; a view, because asyncpg takes bytes for the name of a file."""
    return memoryview(b"".join(chain((_HEADER,), chain.from_iterable(row[COPIED] for row in rows), (_TRAILER,))))


def _fixed_leaf_fields(templates: Sequence[RowTemplate], columns: dict[str, Array]) -> list[bytes]:
    """Each leaf up to the order's id."""
    distinct, numbers = number_templates(templates)
    leaves = np.empty(len(templates), _LEAF)
    for part in SharedLeaf._fields:
        shared = b"".join(getattr(template.leaf, part) for template in distinct)
        leaves[part] = np.frombuffer(shared, _LEAF[part])[numbers]
    return _filled(leaves, columns)


def _fixed_copy_fields(columns: dict[str, Array], indexes: Sequence[int], batch_number: int) -> list[bytes]:
    """Each row of the stream up to the order's id."""
    has_number, has_ended = columns["sequence"] != NO_INT64, columns["ended_at"] != NO_INT64
    columns = columns | {
        "accepted_at": columns["accepted_at"] - _POSTGRES_EPOCH_US,
        "ended_at": columns["ended_at"] - _POSTGRES_EPOCH_US,
        "leaf_index": np.array(indexes, np.int32),
        "batch": np.full(len(indexes), batch_number),
    }
    rows: list[bytes] = [b""] * len(indexes)
    for fields, is_such in ((_NUMBERED, has_number), (_ENDED, has_ended), (_NEITHER, ~(has_number | has_ended))):
        if is_such.all():
            return _filled(fields.rows(len(indexes)), columns)
        positions = np.flatnonzero(is_such)
        filled = _filled(fields.rows(len(positions)), {name: values[positions] for name, values in columns.items()})
        for position, row in zip(positions.tolist(), filled, strict=True):
            rows[position] = row
    return rows


def _filled(records: Array, columns: dict[str, Array]) -> list[bytes]:
    """Fill the fields of the records that are among the columns; returns each record's bytes."""
    for name in set(records.dtype.names or ()) & columns.keys():
        records[name] = columns[name]
    rows: list[bytes] = records.view(f"V{records.itemsize}").tolist()
    return rows
