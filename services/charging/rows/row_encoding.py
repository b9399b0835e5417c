"""Rows as they go to the database and into the evidence: the binary COPY stream, and the leaf of each.

Orders are laid out a column at a time: what is as wide in every row by numpy, at once for all; what a form's orders
share is ready. One layout for whatever charging writes (docs/decisions/0008, 0013).
"""

import struct
from collections.abc import Iterable, Sequence
from itertools import chain, compress
from typing import Any, Final

import numpy as np

from services.charging.rows.row_kinds import COPIED, Row
from services.charging.rows.row_template import NULL, Form, Texts
from shared.adapters.crypto.hashing import hash_all
from shared.domain.books.delays import BOUNDS_SECONDS
from shared.domain.evidence.leaf import NO_INT64

COPY_COLUMNS: Final = (
    "accepted_at", "worker_key", "leaf_index", "batch", "region", "ended_at", "sequence", "worker_rest", "received",
    "order_id", "enterprise", "kind", "premium", "tariff_line", "token_key", "industry", "reason", "departed",
    "series", "agency_uscc", "employer_insurance_no", "recorded_at",
)  # fmt: skip
"""The order in which a row's columns stand in the stream."""
Array = np.ndarray[Any, Any]

_HEADER: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER: Final = b"\xff\xff"
_POSTGRES_EPOCH_US: Final = 946_684_800_000_000
"""2000-01-01T00:00Z, from which PostgreSQL counts, in microseconds since 1970."""
_MINUTE_US: Final = BOUNDS_SECONDS[0] * 1_000_000
"""What was sent within it counts as sent at once, and says no time."""
_TIME: Final = struct.Struct(">iq")
_LEAF_COLUMNS: Final = (
    ("head", "V21"), ("accepted_us", ">i8"), ("ended_us", ">i8"), ("sequence", ">i8"), ("premium", "V8"),
    ("region", ">i4"), ("rated", "V11"), ("worker", "V32"), ("received", "V32"), ("name_length", ">u2"),
)  # fmt: skip
"""A leaf of `shared.domain.evidence.leaf.order_leaf` with what RFC 6962 puts before it, up to its first text."""
_LEAF: Final = np.dtype(list(_LEAF_COLUMNS))
_WORKER: Final = np.dtype([("key", "V8"), ("rest", "V24")])


class _Head:
    """Rows of the stream up to the order's id, which have these columns with these types; None for a missing one."""

    def __init__(self, *columns: tuple[str, str | None]) -> None:
        row, places = struct.pack(">h", len(COPY_COLUMNS)), {}
        for name, kind in columns:
            if kind is None:
                row += NULL
            else:
                size = np.dtype(kind).itemsize
                row += struct.pack(">i", size)
                places[name] = (kind, len(row))
                row += bytes(size)
        places["name_length"] = (">i4", len(row))
        self._row = np.frombuffer(row + bytes(4), f"V{len(row) + 4}")
        kinds, offsets = zip(*places.values(), strict=True)
        self._columns = np.dtype(
            {"names": list(places), "formats": kinds, "offsets": offsets, "itemsize": self._row.itemsize}
        )

    def rows(self, count: int) -> Array:
        """So many of them, to be filled."""
        return np.repeat(self._row, count).view(self._columns)


_OPENING: Final = (("accepted_us", ">i8"), ("key", "V8"), ("index", ">i4"), ("batch", ">i8"), ("region", ">i4"))
_CLOSING: Final = (("rest", "V24"), ("received", "V32"))
_NUMBERED: Final = _Head(*_OPENING, ("ended_us", None), ("sequence", ">i8"), *_CLOSING)
_ENDED: Final = _Head(*_OPENING, ("ended_us", ">i8"), ("sequence", None), *_CLOSING)
_NEITHER: Final = _Head(*_OPENING, ("ended_us", None), ("sequence", None), *_CLOSING)


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
    received = np.frombuffer(b"".join(orders.received), "V32")
    columns: dict[str, Array] = {
        "accepted_us": np.array(orders.accepted_us, np.int64),
        "ended_us": np.array(orders.ended_us, np.int64),
        "sequence": np.array(orders.sequences, np.int64),
        "region": np.array(orders.regions, np.int32),
        "received": received,
        "name_length": np.array(list(map(len, names)), np.int32),
    }
    fixed = _leaves(orders.forms, columns | {"worker": workers.view("V32")})
    leaves = hash_all(fixed, names, [each.in_leaf for each in orders.texts])
    heads = _heads(columns | {"key": workers["key"], "rest": workers["rest"]}, orders.indexes, batch_number)
    copied = zip(
        heads, names, [form.in_stream for form in orders.forms], [each.in_stream for each in orders.texts],
        _late(columns["accepted_us"], orders.recorded_us), strict=True,
    )  # fmt: skip
    keys = workers["key"].copy().view(">i8").tolist()
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
    has_number, has_ended = columns["sequence"] != NO_INT64, columns["ended_us"] != NO_INT64
    columns = columns | {
        "accepted_us": columns["accepted_us"] - _POSTGRES_EPOCH_US,
        "ended_us": columns["ended_us"] - _POSTGRES_EPOCH_US,
        "index": np.array(indexes, np.int32),
        "batch": np.full(len(indexes), batch_number),
    }
    heads: list[bytes] = [b""] * len(indexes)
    for head, which in ((_NUMBERED, has_number), (_ENDED, has_ended), (_NEITHER, ~(has_number | has_ended))):
        if which.all():
            return _filled(head.rows(len(indexes)), columns)
        places = np.flatnonzero(which)
        mine = _filled(head.rows(len(places)), {name: values[places] for name, values in columns.items()})
        for place, each in zip(places.tolist(), mine, strict=True):
            heads[place] = each
    return heads


def _filled(laid: Array, columns: dict[str, Array]) -> list[bytes]:
    """Put in those of the columns that it has; returns each row's bytes."""
    for name in set(laid.dtype.names or ()) & columns.keys():
        laid[name] = columns[name]
    found: list[bytes] = laid.view(f"V{laid.itemsize}").tolist()
    return found
