"""Forms: what many orders share, laid out once, in a row's columns and in its leaf (docs/decisions/0008)."""

from struct import Struct
from typing import Final, NamedTuple

from services.charging.rows.order_columns import OrderColumn, Piece, columns_of
from shared.domain.evidence.leaf import shared_leaf, text_leaf
from shared.intake.rated_events import TotalKey

NULL: Final = b"\xff\xff\xff\xff"
"""A missing field of a binary COPY; any other is its length in four bytes, then its value."""
_SHARED: Final = columns_of(Piece.TEMPLATE)
_LENGTH: Final = Struct(">i")


class Texts(NamedTuple):
    """Series, agency and insurance number of an order, as they stand in a leaf and in the stream."""

    in_leaf: bytes
    in_stream: bytes


def texts(series: str | None, agency_uscc: str | None, insurance_no: str | None) -> Texts:
    """Lay them out; each may be missing."""
    encoded = [None if value is None else value.encode() for value in (series, agency_uscc, insurance_no)]
    return Texts(
        b"".join(map(text_leaf, encoded)),
        b"".join(NULL if value is None else _LENGTH.pack(len(value)) + value for value in encoded),
    )


class Form:
    """What orders of one enterprise, kind, rate, industry and token key share; `premium` is 0.0001 yuan, signed.

    It holds for orders accepted from `begin_us` until before `end_us`, microseconds since 1970. `leaf` and `in_stream`
    are its parts of the leaf and of the row: the columns from enterprise to departed.
    """

    __slots__ = ("begin_us", "end_us", "enterprise", "in_stream", "kind", "leaf", "total")

    def __init__(
        self, enterprise: int, kind: int, token_key: int, industry: int, reason: int, departed: bool | None,
        premium: int, total: TotalKey, begin_us: int, end_us: int,
    ) -> None:  # fmt: skip
        line = total.tariff_line or 0
        self.enterprise, self.kind, self.total = enterprise, int(kind), total
        self.begin_us, self.end_us = begin_us, end_us
        self.leaf = shared_leaf(
            kind, total.enterprise.encode(), premium, line, token_key, industry, reason,
            -1 if departed is None else departed,
        )  # fmt: skip
        values = {
            "enterprise": enterprise, "kind": kind, "premium": premium, "tariff_line": line, "token_key": token_key,
            "industry": industry, "reason": reason, "departed": departed,
        }  # fmt: skip
        self.in_stream = b"".join(_field(column, values[column.name]) for column in _SHARED)


def _field(column: OrderColumn, value: int | None) -> bytes:
    """One field of a binary COPY."""
    if value is None:
        return NULL
    size = int(column.copy_format[-1])
    return _LENGTH.pack(size) + value.to_bytes(size, signed=column.copy_format[-2] == "i")
