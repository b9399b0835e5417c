"""Row templates: the pre-encoded columns that orders with the same rating share (docs/decisions/0008). Pure."""

from struct import Struct
from typing import Final, NamedTuple

from services.charging.rows.order_columns import OrderColumn, Piece, columns_of
from shared.domain.evidence.leaf import shared_leaf, text_leaf
from shared.intake.rated_events import TotalKey

NULL: Final = b"\xff\xff\xff\xff"
"""A missing field of a binary COPY; any other is its length in four bytes, then its value."""
_SHARED: Final = columns_of(Piece.TEMPLATE)
_LENGTH: Final = Struct(">i")


class VariableFields(NamedTuple):
    """Series, agency and insurance number of an order, encoded for its leaf and for COPY."""

    in_leaf: bytes
    in_copy: bytes


def encode_variable_fields(
    series: str | None, agency_uscc: str | None, employer_insurance_no: str | None
) -> VariableFields:
    """Encode the texts that may be missing."""
    texts = [None if text is None else text.encode() for text in (series, agency_uscc, employer_insurance_no)]
    return VariableFields(
        b"".join(map(text_leaf, texts)),
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
