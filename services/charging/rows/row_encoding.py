"""Rows as they go to the database and into the evidence: the binary COPY stream, and the leaf of each.

Orders are laid out a column at a time: what is as wide in every row by numpy, at once for all; what a form's orders
share is ready. One layout for whatever charging writes (docs/decisions/0008, 0013).
"""

import struct
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, compress, groupby
from typing import Any, Final

import numpy as np

from services.charging.rows.order_columns import COPY_COLUMNS, LEAF_COLUMNS, Piece, columns_of
from services.charging.rows.row_kinds import COPIED, Row
from services.charging.rows.row_template import NULL, Form, Texts
from shared.adapters.crypto.hashing import hash_all
from shared.domain.books.delays import BOUNDS_SECONDS
from shared.domain.evidence.leaf import NO_INT64, SharedLeaf

Array = np.ndarray[Any, Any]

_HEADER: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER: Final = b"\xff\xff"
_POSTGRES_EPOCH_US: Final = 946_684_800_000_000
"""2000-01-01T00:00Z, from which PostgreSQL counts, in microseconds since 1970."""
_MINUTE_US: Final = BOUNDS_SECONDS[0] * 1_000_000
"""What was sent within it counts as sent at once, and says no time."""
_PREFIX_AND_VERSION: Final = 2
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
    yield "name_length", ">u2"


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
        places["name_length"] = (">i4", len(row))
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


class Orders:
    """Orders to be laid out, as columns, all equally long.

    Times are microseconds since 1970. NO_INT64 stands where there is no end, no number, or no record's time, which only
    acceptances have. `indexes` are those of their leaves, `tokens` and `received` have 32 bytes each, `regions` are the
    six digits as a number.
    """

    __slots__ = (
        "accepted_us", "ended_us", "forms", "indexes", "names", "received", "recorded_us", "regions", "sequences",
        "texts", "tokens",
    )  # fmt: skip

    def __init__(self) -> None:
        self.indexes: list[int] = []
        self.forms: list[Form] = []
        self.accepted_us: list[int] = []
        self.ended_us: list[int] = []
        self.sequences: list[int] = []
        self.regions: list[int] = []
        self.tokens: list[bytes] = []
        self.received: list[bytes] = []
        self.names: list[str] = []
        self.texts: list[Texts] = []
        self.recorded_us: list[int] = []

    def append(
        self, index: int, form: Form, accepted_us: int, ended_us: int | None, sequence: int | None, region: int,
        token: bytes, order_id: str, texts: Texts, recorded_us: int = NO_INT64,
    ) -> None:  # fmt: skip
        """One more order, but for what `received` says of it."""
        self.indexes.append(index)
        self.forms.append(form)
        self.accepted_us.append(accepted_us)
        self.ended_us.append(NO_INT64 if ended_us is None else ended_us)
        self.sequences.append(NO_INT64 if sequence is None else sequence)
        self.regions.append(region)
        self.tokens.append(token)
        self.names.append(order_id)
        self.texts.append(texts)
        self.recorded_us.append(recorded_us)

    def add(self, others: "Orders") -> None:
        """Put others behind these."""
        for name in self.__slots__:
            getattr(self, name).extend(getattr(others, name))

    def leave_out(self, is_kept: Array) -> list[int]:
        """Keep only some; returns the indexes of the others."""
        if is_kept.all():
            return []
        left = list(compress(self.indexes, (~is_kept).tolist()))
        for name in self.__slots__:
            setattr(self, name, list(compress(getattr(self, name), is_kept.tolist())))
        return left

    def moments(self) -> list[int]:
        """When what each tells happened, acceptance or end: microseconds since 1970."""
        ended = self.ended_us
        if ended.count(NO_INT64) == len(ended):
            return self.accepted_us
        return [accepted if end == NO_INT64 else end for accepted, end in zip(self.accepted_us, ended, strict=True)]

    def sort(self) -> None:
        """By their indexes."""
        if sorted(self.indexes) == self.indexes:
            return
        order = sorted(range(len(self.indexes)), key=self.indexes.__getitem__)
        for name in self.__slots__:
            column = getattr(self, name)
            if column:
                setattr(self, name, [column[place] for place in order])


def number_forms(forms: Sequence[Form]) -> tuple[list[Form], Array]:
    """The distinct forms, and for each of `forms` which of these it is: what they say is then taken as columns."""
    numbers = {form: number for number, form in enumerate(dict.fromkeys(forms))}
    return list(numbers), np.array([numbers[form] for form in forms])


def lay_out(orders: Orders, batch_number: int) -> tuple[list[Row], list[bytes]]:
    """Each order's row and the hash of its leaf; see `shared.domain.evidence.leaf.order_leaf` for the columns."""
    if not orders.indexes:
        return [], []
    names = [name.encode() for name in orders.names]
    workers = np.frombuffer(b"".join(orders.tokens), _WORKER)
    columns: dict[str, Array] = {
        "accepted_at": np.array(orders.accepted_us, np.int64),
        "ended_at": np.array(orders.ended_us, np.int64),
        "sequence": np.array(orders.sequences, np.int64),
        "region": np.array(orders.regions, np.int32),
        "worker_key": workers["worker_key"],
        "worker_rest": workers["worker_rest"],
        "received": np.frombuffer(b"".join(orders.received), "V32"),
        "name_length": np.array(list(map(len, names)), np.int32),
    }
    leaves = hash_all(_leaves(orders.forms, columns), names, [texts.in_leaf for texts in orders.texts])
    heads = _heads(columns, orders.indexes, batch_number)
    copied = zip(
        heads, names, [form.in_stream for form in orders.forms], [texts.in_stream for texts in orders.texts],
        _late(columns["accepted_at"], orders.recorded_us), strict=True,
    )  # fmt: skip
    keys = workers["worker_key"].tolist()
    enterprises, kinds = [form.enterprise for form in orders.forms], [form.kind for form in orders.forms]
    rows = zip(orders.accepted_us, enterprises, orders.names, keys, kinds, orders.indexes, copied, strict=True)
    return list(rows), leaves


def _late(accepted_us: Array, recorded_us: Sequence[int]) -> list[bytes]:
    """The field of each that tells when it was sent, where that was a minute or more after it was accepted."""
    fields = [NULL] * len(recorded_us)
    for place in np.flatnonzero(np.array(recorded_us) >= accepted_us + _MINUTE_US).tolist():
        fields[place] = _TIME.pack(8, recorded_us[place] - _POSTGRES_EPOCH_US)
    return fields


def stream(rows: Iterable[Row]) -> memoryview:
    """Rows as a binary COPY takes them, in this order; a view, for asyncpg takes bytes for the name of a file."""
    return memoryview(b"".join(chain((_HEADER,), chain.from_iterable(row[COPIED] for row in rows), (_TRAILER,))))


def _leaves(forms: Sequence[Form], columns: dict[str, Array]) -> list[bytes]:
    """The leaves up to their texts."""
    distinct, places = number_forms(forms)
    laid = np.empty(len(forms), _LEAF)
    for name in ("head", "premium", "rated"):
        shared = b"".join(getattr(form.leaf, name) for form in distinct)
        laid[name] = np.frombuffer(shared, _LEAF[name])[places]
    return _filled(laid, columns)


def _heads(columns: dict[str, Array], indexes: Sequence[int], batch_number: int) -> list[bytes]:
    """The rows of the stream up to the order's id."""
    has_number, has_ended = columns["sequence"] != NO_INT64, columns["ended_at"] != NO_INT64
    columns = columns | {
        "accepted_at": columns["accepted_at"] - _POSTGRES_EPOCH_US,
        "ended_at": columns["ended_at"] - _POSTGRES_EPOCH_US,
        "leaf_index": np.array(indexes, np.int32),
        "batch": np.full(len(indexes), batch_number),
    }
    heads: list[bytes] = [b""] * len(indexes)
    for head, which in ((_NUMBERED, has_number), (_ENDED, has_ended), (_NEITHER, ~(has_number | has_ended))):
        if which.all():
            return _filled(head.rows(len(indexes)), columns)
        places = np.flatnonzero(which)
        filled = _filled(head.rows(len(places)), {name: values[places] for name, values in columns.items()})
        for place, row in zip(places.tolist(), filled, strict=True):
            heads[place] = row
    return heads


def _filled(laid: Array, columns: dict[str, Array]) -> list[bytes]:
    """Fill the fields that are among the columns; returns each row's bytes."""
    for name in set(laid.dtype.names or ()) & columns.keys():
        laid[name] = columns[name]
    rows: list[bytes] = laid.view(f"V{laid.itemsize}").tolist()
    return rows
