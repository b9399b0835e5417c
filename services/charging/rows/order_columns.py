"""Columns of `charging.entry`, the row of an order: the one table that names them. Pure.

COPY, the comparison of repeats, derived rows, the archive's schema and the audit's queries are made from it;
`tests/integration/charging/test_charging_schema.py` compares it with the migrated database.
"""

from collections.abc import Iterable
from enum import Enum, IntEnum, auto
from typing import Final, NamedTuple


class Piece(IntEnum):
    """The piece of an encoded row that holds a column; pieces follow one another in this order (`row_encoding`)."""

    RECORD = 0
    """Fixed width, another value in each row."""
    ORDER_ID = 1
    TEMPLATE = 2
    """Shared by all orders of a row template."""
    VARIABLE = 3
    """VariableFields that may be missing."""
    LATE = 4
    """Missing in most rows."""


class Content(Enum):
    """Whether a column decides if an event with a stored key is a repeat or a conflict."""

    NEVER = auto()
    ALWAYS = auto()
    OF_CANCELLATION = auto()
    """Another kind of row has it from the scheme, not from the event."""


class Leaf(NamedTuple):
    """Place of a column in the leaf of `shared.domain.evidence.leaf.order_leaf`, and its numpy format there.

    The format is empty for a text, which has its length before it. An enterprise is its USCC in a leaf, and the two
    columns of a worker's token follow each other.
    """

    place: int
    format: str = ""


_COPY_FORMATS: Final = {"timestamptz": ">i8", "bigint": ">i8", "integer": ">i4", "smallint": ">i2", "boolean": "u1"}


class OrderColumn(NamedTuple):
    """One column: `key` is its place in the primary key, `size` the bytes of a bytea.

    `is_inherited` columns of a charge are repeated by the rows that are derived from it.
    """

    name: str
    sql_type: str
    piece: Piece
    leaf: Leaf | None = None
    content: Content = Content.NEVER
    is_inherited: bool = False
    is_nullable: bool = False
    key: int | None = None
    size: int | None = None

    @property
    def leaf_format(self) -> str:
        """Numpy format of the value in a leaf; empty for a text and for a column that no leaf has."""
        return self.leaf.format if self.leaf else ""

    @property
    def copy_format(self) -> str:
        """Numpy format of the value in a binary COPY; raises KeyError for a text."""
        return f"V{self.size}" if self.size else _COPY_FORMATS[self.sql_type]


_SAME: Final = Content.ALWAYS
ORDER_COLUMNS: Final = (
    OrderColumn("accepted_at", "timestamptz", Piece.RECORD, Leaf(2, ">i8"), key=0, is_inherited=True),
    OrderColumn("worker_key", "bigint", Piece.RECORD, Leaf(12, ">i8"), key=3, is_inherited=True),
    OrderColumn("leaf_index", "integer", Piece.RECORD),
    OrderColumn("batch", "bigint", Piece.RECORD),
    OrderColumn("region", "integer", Piece.RECORD, Leaf(6, ">i4"), _SAME, is_inherited=True),
    OrderColumn("ended_at", "timestamptz", Piece.RECORD, Leaf(3, ">i8"), _SAME, is_nullable=True),
    OrderColumn("sequence", "bigint", Piece.RECORD, Leaf(4, ">i8"), is_nullable=True),
    OrderColumn("worker_rest", "bytea", Piece.RECORD, Leaf(13, "V24"), _SAME, is_inherited=True, size=24),
    OrderColumn("received", "bytea", Piece.RECORD, Leaf(14, "V32"), size=32),
    OrderColumn("order_id", "text", Piece.ORDER_ID, Leaf(15), key=2, is_inherited=True),
    OrderColumn("enterprise", "smallint", Piece.TEMPLATE, Leaf(1, "S18"), key=1, is_inherited=True),
    OrderColumn("kind", "smallint", Piece.TEMPLATE, Leaf(0, "u1"), key=4),
    OrderColumn("premium", "integer", Piece.TEMPLATE, Leaf(5, ">i8")),
    OrderColumn("tariff_line", "smallint", Piece.TEMPLATE, Leaf(7, ">i4")),
    OrderColumn("token_key", "smallint", Piece.TEMPLATE, Leaf(8, ">u2"), _SAME, is_inherited=True),
    OrderColumn("industry", "smallint", Piece.TEMPLATE, Leaf(9, ">u2"), _SAME, is_inherited=True),
    OrderColumn("reason", "smallint", Piece.TEMPLATE, Leaf(10, ">u2"), Content.OF_CANCELLATION),
    OrderColumn("departed", "boolean", Piece.TEMPLATE, Leaf(11, "i1"), _SAME, is_nullable=True),
    OrderColumn("series", "text", Piece.VARIABLE, Leaf(16), is_nullable=True),
    OrderColumn("agency_uscc", "text", Piece.VARIABLE, Leaf(17), _SAME, is_inherited=True, is_nullable=True),
    OrderColumn("employer_insurance_no", "text", Piece.VARIABLE, Leaf(18), _SAME, is_inherited=True, is_nullable=True),
    OrderColumn("recorded_at", "timestamptz", Piece.LATE, is_nullable=True),
)
"""In the order of COPY. Series and sequence are no content: a resent event may have others (docs/decisions/0004)."""


def _names(columns: Iterable[OrderColumn]) -> tuple[str, ...]:
    return tuple(column.name for column in columns)


COPY_COLUMNS: Final = _names(ORDER_COLUMNS)
KEY_COLUMNS: Final = _names(
    sorted((column for column in ORDER_COLUMNS if column.key is not None), key=lambda column: column.key or 0)
)
"""What makes an event counted once (docs/decisions/0004), in the order of the primary key."""
CONTENT_COLUMNS: Final = _names(column for column in ORDER_COLUMNS if column.content is not Content.NEVER)
INHERITED_COLUMNS: Final = _names(column for column in ORDER_COLUMNS if column.is_inherited)
LEAF_COLUMNS: Final = tuple(
    sorted((column for column in ORDER_COLUMNS if column.leaf), key=lambda column: column.leaf or Leaf(0))
)
"""In the order of the leaf."""


def columns_of(*pieces: Piece) -> tuple[OrderColumn, ...]:
    """The columns of these pieces, in the order of COPY."""
    return tuple(column for column in ORDER_COLUMNS if column.piece in pieces)


def is_same_key_sql(row: str, other: str) -> str:
    """SQL: two rows have one primary key."""
    return " and ".join(f"{row}.{name} = {other}.{name}" for name in KEY_COLUMNS)


def content_sql(row: str) -> str:
    """SQL: what decides if a row with a stored key is a repeat, to be compared by `is not distinct from`."""
    return f"({', '.join(_content_sql(column, row) for column in ORDER_COLUMNS if column.name in CONTENT_COLUMNS)})"


def _content_sql(column: OrderColumn, row: str) -> str:
    value = f"{row}.{column.name}"
    return f"case {row}.kind when 3 then {value} end" if column.content is Content.OF_CANCELLATION else value
