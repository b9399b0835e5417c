"""Rows as they go to the database and into the evidence: the binary COPY stream, and the leaf of each.

What many orders share is laid out once in a form; what differs is packed between. Both cost less so than a list of
Python values for each row, which the driver would have to encode value by value (docs/performance.md).
"""

from collections.abc import Iterable
from struct import Struct
from typing import Final, NamedTuple

from services.charging.rows import COPIED, Row, TotalKey
from shared.domain.leaf import NO_INT64, OrderLeaf, text_leaf

COPY_COLUMNS: Final = (
    "accepted_at", "worker_key", "leaf_index", "batch", "region", "ended_at", "sequence", "worker_rest", "received",
    "order_id", "enterprise", "kind", "premium", "tariff_line", "token_key", "industry", "reason", "departed",
    "series", "agency_uscc", "employer_insurance_no",
)  # fmt: skip
"""The order in which a row's columns stand in the stream."""

_HEADER: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER: Final = b"\xff\xff"
_NULL: Final = b"\xff\xff\xff\xff"
_POSTGRES_EPOCH_US: Final = 946_684_800_000_000
"""2000-01-01T00:00Z, from which PostgreSQL counts, in microseconds since 1970."""
_FIELDS: Final = len(COPY_COLUMNS)
# A field is its length in four bytes, then its value; a missing one has length -1. What is the same in each is ready.
_NUMBERED: Final = Struct(">6sqiqii12sii8sqi24si32si")
_ENDED: Final = Struct(">6sqiqii12siiiqii24si32si")
_NEITHER: Final = Struct(">6sqiqii12siiiii24si32si")
_BEGINNING: Final = Struct(">hi").pack(len(COPY_COLUMNS), 8)
_NOT_ENDED: Final = Struct(">ii").pack(-1, 8)
_BATCH: Final = Struct(">iq")
_SHARED: Final = Struct(">ihihiiihihihih")
_LENGTH: Final = Struct(">i")


Token = tuple[int, bytes]
"""A worker's token: its first 8 bytes as a signed number, and the other 24."""


class Texts(NamedTuple):
    """Series, agency and insurance number of an order, as they stand in a leaf and in the stream."""

    in_leaf: bytes
    in_stream: bytes


def texts(series: str | None, agency_uscc: str | None, insurance_no: str | None) -> Texts:
    """Lay them out; each may be missing."""
    encoded = [None if value is None else value.encode() for value in (series, agency_uscc, insurance_no)]
    return Texts(
        b"".join(map(text_leaf, encoded)),
        b"".join(_NULL if value is None else _LENGTH.pack(len(value)) + value for value in encoded),
    )


class Form:
    """What orders of one enterprise, kind, rate, industry and token key share; `premium` is 0.0001 yuan, signed.

    It holds for orders accepted from `begin_us` until before `end_us`, microseconds since 1970.
    """

    __slots__ = ("_leaf", "_shared", "begin_us", "end_us", "enterprise", "kind", "total")

    def __init__(
        self, enterprise: int, kind: int, token_key: int, industry: int, reason: int, departed: bool | None,
        premium: int, total: TotalKey, begin_us: int, end_us: int,
    ) -> None:  # fmt: skip
        line = total.tariff_line or 0
        self.enterprise, self.kind, self.total = enterprise, int(kind), total
        self.begin_us, self.end_us = begin_us, end_us
        self._leaf = OrderLeaf(
            kind, total.enterprise.encode(), premium, line, token_key, industry, reason,
            -1 if departed is None else departed,
        )  # fmt: skip
        self._shared = _SHARED.pack(
            2, enterprise, 2, kind, 4, premium, 2, line, 2, token_key, 2, industry, 2, reason
        ) + (_NULL if departed is None else b"\0\0\0\1" + bytes([departed]))

    def lay(
        self, leaf_index: int, batch: bytes, accepted_us: int, ended_us: int | None, sequence: int | None, region: int,
        token: Token, received: bytes, order_id: str, texts: Texts,
    ) -> tuple[Row, bytes]:  # fmt: skip
        """One order's row and the hash of its leaf; see `shared.domain.leaf.order_leaf` for the columns.

        `batch` is its number as `in_stream` lays it out.
        """
        key, rest = token
        name = order_id.encode()
        since = accepted_us - _POSTGRES_EPOCH_US
        if sequence is not None:  # an acceptance: it has not ended
            packed = _NUMBERED.pack(
                _BEGINNING, since, 8, key, 4, leaf_index, batch, 4, region, _NOT_ENDED, sequence,
                24, rest, 32, received, len(name),
            )  # fmt: skip
        elif ended_us is not None:
            packed = _ENDED.pack(
                _BEGINNING, since, 8, key, 4, leaf_index, batch, 4, region, 8, ended_us - _POSTGRES_EPOCH_US, -1,
                24, rest, 32, received, len(name),
            )  # fmt: skip
        else:
            packed = _NEITHER.pack(
                _BEGINNING, since, 8, key, 4, leaf_index, batch, 4, region, -1, -1,
                24, rest, 32, received, len(name),
            )  # fmt: skip
        leaf = self._leaf.hash(
            accepted_us, NO_INT64 if ended_us is None else ended_us, NO_INT64 if sequence is None else sequence,
            region, key, rest, received, name, texts.in_leaf,
        )  # fmt: skip
        copied = packed + name + self._shared + texts.in_stream
        return (accepted_us, self.enterprise, order_id, key, self.kind, leaf_index, copied), leaf


def in_stream(batch: int) -> bytes:
    """A batch's number as it stands in each of its rows."""
    return _BATCH.pack(8, batch)


def stream(rows: Iterable[Row]) -> memoryview:
    """Rows as a binary COPY takes them, in this order; a view, for asyncpg takes bytes for the name of a file."""
    return memoryview(b"".join([_HEADER, *[row[COPIED] for row in rows], _TRAILER]))
