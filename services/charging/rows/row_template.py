"""Row templates: the pre-encoded columns that orders with the same rating share (docs/decisions/0008). Pure."""

from collections.abc import Sequence
from itertools import compress
from struct import Struct
from typing import Final, NamedTuple

from services.charging.rows.order_columns import OrderColumn, Piece, columns_of
from shared.domain.evidence.leaf import shared_leaf, text_leaf
from shared.intake.rated_events import TotalKey

NULL: Final = b"\xff\xff\xff\xff"
"""A missing field of a binary COPY; any other is its length in four bytes, then its value."""
_SHARED: Final = columns_of(Piece.TEMPLATE)
VARIABLE_NAMES: Final = tuple(column.name for column in columns_of(Piece.VARIABLE))
_IS_IN_LEAF: Final = tuple(column.leaf is not None for column in columns_of(Piece.VARIABLE))
_LENGTH: Final = Struct(">i")


class VariableFields(NamedTuple):
    """Texts of an order that may be missing, like its series, encoded for its leaf and for COPY."""

    in_leaf: bytes
    in_copy: bytes


def encode_variable_fields(source: object) -> VariableFields:
    """Encode the texts of an order that may be missing: the attributes of `source` with the columns' names."""
    return _encode_texts([getattr(source, name, None) for name in VARIABLE_NAMES])


def encode_series(series: str | None) -> VariableFields:
    """Encode the series of an order that has no other text."""
    return _encode_texts([series if name == "series" else None for name in VARIABLE_NAMES])


def _encode_texts(values: Sequence[str | None]) -> VariableFields:
    texts = [None if text is None else text.encode() for text in values]
    return VariableFields(
        b"".join(map(text_leaf, compress(texts, _IS_IN_LEAF))),
        b"".join(NULL if text is None else _LENGTH.pack(len(text)) + text for text in texts),
    )


class RowTemplate:
    """Columns that orders of one enterprise, kind, rate, industry and token key share.

    `premium` is 0.0001 yuan, signed. Valid for orders accepted from `begin_us` until before `end_us`, microseconds
    since 1970. `leaf` and `in_copy` are the encoded columns, from enterprise to departed.
    """

    __slots__ = ("begin_us", "end_us", "enterprise", "in_copy", "kind", "leaf", "total")

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
        self.in_copy = b"".join(_copy_field(column, values[column.name]) for column in _SHARED)


def _copy_field(column: OrderColumn, value: int | None) -> bytes:
    """One field of a binary COPY."""
    if value is None:
        return NULL
    size = int(column.copy_format[-1])
    return _LENGTH.pack(size) + value.to_bytes(size, signed=column.copy_format[-2] == "i")
