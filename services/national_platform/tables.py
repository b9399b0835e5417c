"""The tables of the national platform as its queries see them; the migrations are their definition."""

from typing import Final

from sqlalchemy import BigInteger, Column, Date, DateTime, Integer, LargeBinary, MetaData, Table, Text

METADATA: Final = MetaData(schema="national_platform")

DELIVERY: Final = Table(
    "delivery",
    METADATA,
    Column("id", BigInteger, primary_key=True),
    Column("received_at", DateTime(timezone=True)),
    Column("reporter", Text),
    Column("idempotency_key", Text),
    Column("signature", Text),
    Column("body", LargeBinary),
    Column("body_sha256", Text),
    Column("report_id", Text),
    Column("outcome", Text),
    Column("reason", Text),
    Column("detail", Text),
)
REPORT: Final = Table(
    "report",
    METADATA,
    Column("report_id", Text, primary_key=True),
    Column("delivery_id", BigInteger),
    Column("kind", Text),
    Column("province", Text),
    Column("enterprise", Text),
    Column("day", Date),
    Column("period", Text),
)
RECEIPT: Final = Table(
    "receipt",
    METADATA,
    Column("report_id", Text, primary_key=True),
    Column("receipt_id", Text),
    Column("body_sha256", Text),
    Column("received_at", DateTime(timezone=True)),
    Column("unconfirmed", Text),
)
COVERAGE_LINE: Final = Table(
    "coverage_line",
    METADATA,
    Column("report_id", Text, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("period", Text),
    Column("province", Text),
    Column("enterprise", Text),
    Column("insured_on", Date),
    Column("orders", BigInteger),
    Column("premium", BigInteger),
)
DECLARATION: Final = Table(
    "declaration",
    METADATA,
    Column("report_id", Text, primary_key=True),
    Column("period", Text),
    Column("province", Text),
    Column("enterprise", Text),
    Column("orders", BigInteger),
    Column("exact", BigInteger),
    Column("amount", BigInteger),
)
WITNESSED: Final = Table(
    "witnessed",
    METADATA,
    Column("origin", Text, primary_key=True),
    Column("size", BigInteger, primary_key=True),
    Column("root", LargeBinary),
    Column("note", LargeBinary),
    Column("cosigned_at", DateTime(timezone=True)),
    Column("signed_from", BigInteger),
)
WITNESS_ALARM: Final = Table(
    "witness_alarm",
    METADATA,
    Column("alarm_id", BigInteger, primary_key=True),
    Column("origin", Text),
    Column("reason", Text),
    Column("size", BigInteger),
    Column("root", LargeBinary),
    Column("known_size", BigInteger),
    Column("note", LargeBinary),
    Column("raised_at", DateTime(timezone=True)),
)
