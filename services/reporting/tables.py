"""The tables of reporting as its queries see them; the migrations are their definition."""

from typing import Final

from sqlalchemy import BigInteger, Column, Date, DateTime, Identity, Integer, LargeBinary, MetaData, Table, Text

METADATA: Final = MetaData(schema="reporting")


def _instant(name: str) -> Column[object]:
    return Column(name, DateTime(timezone=True))


DAY_CLOSED: Final = Table(
    "day_closed",
    METADATA,
    Column("day", Date, primary_key=True),
    _instant("as_of"),
    Column("body", LargeBinary),
    Column("body_sha256", Text),
)
STATEMENT_ISSUED: Final = Table(
    "statement_issued",
    METADATA,
    Column("statement_id", Text, primary_key=True),
    Column("period", Text),
    Column("province", Text),
    Column("enterprise", Text),
    Column("body", LargeBinary),
    Column("body_sha256", Text),
)
UNREADABLE: Final = Table(
    "unreadable",
    METADATA,
    Column("body_sha256", Text, primary_key=True),
    Column("topic", Text),
    Column("body", LargeBinary),
    Column("error", Text),
)
REPORT: Final = Table(
    "report",
    METADATA,
    Column("report_id", Text, primary_key=True),
    Column("number", BigInteger, Identity(always=True)),
    Column("kind", Text),
    Column("day", Date),
    Column("period", Text),
    Column("province", Text),
    Column("enterprise", Text),
    Column("statement_id", Text),
    Column("as_of", Date),
    Column("body", LargeBinary),
    Column("body_sha256", Text),
)
SHARE: Final = Table(
    "share",
    METADATA,
    Column("report_id", Text, primary_key=True),
    Column("enterprise", Text, primary_key=True),
    Column("orders", BigInteger),
    Column("amount", BigInteger),
)
PROVINCE_BUILT: Final = Table(
    "province_built",
    METADATA,
    Column("day", Date, primary_key=True),
    Column("province", Text, primary_key=True),
)
DAY_BUILT: Final = Table("day_built", METADATA, Column("day", Date, primary_key=True))
DELIVERY: Final = Table(
    "delivery",
    METADATA,
    Column("report_id", Text, primary_key=True),
    Column("state", Text),
    Column("attempts", Integer),
    _instant("next_attempt_at"),
    Column("last_error", Text),
)
RECEIPT: Final = Table(
    "receipt",
    METADATA,
    Column("report_id", Text, primary_key=True),
    Column("receipt_id", Text),
    Column("body_sha256", Text),
    _instant("received_at"),
    Column("unconfirmed", Text),
)
DISCREPANCY: Final = Table(
    "discrepancy",
    METADATA,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("identity_sha256", Text),
    Column("kind", Text),
    Column("report_id", Text),
    Column("period", Text),
    Column("day", Date),
    Column("province", Text),
    Column("enterprise", Text),
    Column("declared", Text),
    Column("reported", Text),
    Column("detail", Text),
)
DISCREPANCY_STATE: Final = Table(
    "discrepancy_state",
    METADATA,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("discrepancy_id", BigInteger),
    Column("state", Text),
    Column("note", Text),
)
DISCREPANCY_NOW: Final = Table(
    "discrepancy_now",
    METADATA,
    Column("id", BigInteger, primary_key=True),
    Column("kind", Text),
    Column("report_id", Text),
    Column("period", Text),
    Column("day", Date),
    Column("province", Text),
    Column("enterprise", Text),
    Column("declared", Text),
    Column("reported", Text),
    Column("detail", Text),
    _instant("found_at"),
    Column("state", Text),
    Column("note", Text),
    _instant("noted_at"),
)
