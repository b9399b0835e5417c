"""The tables of reporting as its queries see them; the migrations are their definition."""

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    Identity,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    Uuid,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from shared.adapters.postgres.quarantine import set_aside_table

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
    _instant("received_at"),
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
    _instant("received_at"),
)
TOPIC_POSITION: Final = Table(
    "topic_position",
    METADATA,
    Column("cluster_id", Text, primary_key=True),
    Column("topic", Text, primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("next_offset", BigInteger),
    Column("topic_id", Uuid),
)
REFUSED_MESSAGE: Final = Table(
    "refused_message",
    METADATA,
    Column("refused_id", BigInteger, Identity(always=True), primary_key=True),
    Column("topic", Text),
    Column("partition", Integer),
    Column("record_offset", BigInteger),
    Column("reason", Text),
    Column("detail", Text),
    Column("sha256", LargeBinary),
    _instant("recorded_at"),
    Column("bytes", Integer),
    Column("redacted", Text),
    Column("sealed", LargeBinary),
    Column("sealed_on", Date),
    _instant("received_at"),
)
REFUSED_REVIEW: Final = Table(
    "refused_review",
    METADATA,
    Column("refused_id", BigInteger, primary_key=True),
    Column("reviewer", Text),
    Column("note", Text),
    _instant("noted_at"),
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
    _instant("built_at"),
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
DAY_BUILT: Final = Table("day_built", METADATA, Column("day", Date, primary_key=True), _instant("built_at"))
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
    _instant("kept_at"),
)
_NAMED: Final = ("kind", "key", "report_id", "period", "province", "enterprise", "declared", "reported", "detail")


_FINDING: Final = {**dict.fromkeys(_NAMED, Text), "day": Date, "count": BigInteger, "evidence": JSONB}
"""Columns of a discrepancy that are set when it is found."""


DISCREPANCY: Final = Table(
    "discrepancy",
    METADATA,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("identity_sha256", Text),
    *(Column(name, kind) for name, kind in _FINDING.items()),
    _instant("found_at"),
)
DISCREPANCY_ORDER: Final = Table(
    "discrepancy_order",
    METADATA,
    Column("discrepancy_id", BigInteger, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("order_id", Text),
    _instant("accepted_at"),
    Column("worker_id", Text),
)
DISCREPANCY_SIGHTING: Final = Table(
    "discrepancy_sighting",
    METADATA,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("discrepancy_id", BigInteger),
    Column("count", BigInteger),
    Column("detail", Text),
    Column("evidence", JSONB),
    _instant("seen_at"),
)
DISCREPANCY_STATE: Final = Table(
    "discrepancy_state",
    METADATA,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("discrepancy_id", BigInteger),
    Column("state", Text),
    Column("actor", Text),
    Column("note", Text),
    _instant("noted_at"),
)
DISCREPANCY_STANDING: Final = Table(
    "discrepancy_standing",
    METADATA,
    Column("discrepancy_id", BigInteger, primary_key=True),
    Column("state_id", BigInteger),
    Column("state", Text),
    Column("province", Text),
    Column("enterprise", Text),
)
DISCREPANCY_NOW: Final = Table(
    "discrepancy_now",
    METADATA,
    Column("id", BigInteger, primary_key=True),
    Column("identity_sha256", Text),
    *(Column(name, kind) for name, kind in _FINDING.items()),
    _instant("found_at"),
    Column("state", Text),
    Column("actor", Text),
    Column("note", Text),
    _instant("noted_at"),
    _instant("last_seen_at"),
    Column("times_seen", BigInteger),
)
DAY_EXAMINED: Final = Table(
    "day_examined",
    METADATA,
    Column("day", Date, primary_key=True),
    Column("findings", Integer),
    _instant("examined_at"),
)
DAY_FIGURE: Final = Table(
    "day_figure",
    METADATA,
    Column("day", Date, primary_key=True),
    Column("insured_on", Date, primary_key=True),
    Column("enterprise", Text, primary_key=True),
    Column("province", Text, primary_key=True),
    Column("delays", ARRAY(BigInteger)),
    Column("received", BigInteger),
    Column("employees", BigInteger),
)
INJURY_NOTICE: Final = Table(
    "injury_notice",
    METADATA,
    Column("notice_id", Text, primary_key=True),
    Column("injured_on", Date),
    Column("body", LargeBinary),
    Column("body_sha256", Text),
    _instant("received_at"),
)
INJURY_CHECK: Final = Table(
    "injury_check",
    METADATA,
    Column("notice_id", Text, primary_key=True),
    Column("checked_on", Date, primary_key=True),
    Column("outcome", Text),
    Column("is_final", Boolean),
    _instant("checked_at"),
)
REPORTED_TOTAL: Final = Table(
    "reported_total",
    METADATA,
    Column("number", BigInteger, Identity(always=True), primary_key=True),
    Column("source", Text),
    Column("enterprise", Text),
    Column("day", Date),
    Column("count", BigInteger),
    Column("body", LargeBinary),
    Column("body_sha256", Text),
    _instant("received_at"),
)
TOTAL_CHECK: Final = Table(
    "total_check",
    METADATA,
    Column("number", BigInteger, primary_key=True),
    Column("checked_on", Date, primary_key=True),
    Column("received", BigInteger),
)
SET_ASIDE: Final = set_aside_table(METADATA)
