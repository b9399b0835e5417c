"""The tables of schema `ledger` as queries see them; the migrations are the authority on what they may hold."""

from typing import TypeVar

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Computed,
    Date,
    DateTime,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    Uuid,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeEngine

from shared.adapters.postgres.quarantine import set_aside_table

metadata = MetaData(schema="ledger")
INSTANT = DateTime(timezone=True)
T = TypeVar("T")


def _columns(kind: type[TypeEngine[T]] | TypeEngine[T], *names: str) -> list[Column[T]]:
    """Columns of one type."""
    return [Column(name, kind) for name in names]


def _keys(kind: type[TypeEngine[T]], *names: str) -> list[Column[T]]:
    """Columns of the primary key, of one type."""
    return [Column(name, kind, primary_key=True) for name in names]


turn = Table("turn", metadata, Column("one", Boolean))

books = Table(
    "books",
    metadata,
    Column("one", Boolean, server_default="true"),
    *(Column("opened_on", Date), Column("recorded_at", INSTANT)),
)

account = Table(
    "account", metadata, *_keys(BigInteger, "account_id"), *_columns(Text, "kind", "enterprise", "province")
)

manifest_inbox = Table(
    "manifest_inbox",
    metadata,
    Column("run", Text, primary_key=True),
    Column("number", BigInteger, primary_key=True),
    Column("payload", LargeBinary),
    Column("received_at", INSTANT),
)

manifest_booked = Table(
    "manifest_booked",
    metadata,
    Column("run", Text, primary_key=True),
    Column("number", BigInteger, primary_key=True),
    Column("kind", Text),
    Column("leaves", BigInteger),
    Column("root", Text),
    Column("content_sha256", LargeBinary),
    Column("closing_day", Date),
    Column("booked_at", INSTANT),
)

decision = Table(
    "decision",
    metadata,
    Column("decision_id", BigInteger, primary_key=True),
    Column("decided_at", INSTANT),
    *_columns(Text, "person", "request"),
    Column("content", JSONB),
)

edition = Table(
    "edition", metadata, *_keys(Text, "edition"), *_columns(Text, "subject"), *_columns(INSTANT, "taken_at")
)

edition_file = Table("edition_file", metadata, *_keys(Text, "edition", "name"), *_columns(LargeBinary, "content"))

enterprise_deployment = Table(
    "enterprise_deployment", metadata, *_keys(Text, "enterprise"), *_columns(Text, "deployment")
)

day_closing = Table(
    "day_closing",
    metadata,
    Column("day", Date, primary_key=True),
    Column("attempt", Integer, primary_key=True),
    *_columns(JSONB, "cut", "previous_cut"),
    *_columns(INSTANT, "as_of", "requested_at"),
    Column("decision_id", BigInteger),
)

day_count = Table(
    "day_count",
    metadata,
    Column("day", Date, primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("deployment", Text, primary_key=True),
    Column("answer", JSONB),
    Column("content_sha256", LargeBinary),
    Column("differences", JSONB),
    Column("received_at", INSTANT),
)

day_closed = Table(
    "day_closed",
    metadata,
    Column("day", Date, primary_key=True),
    Column("attempt", Integer),
    Column("as_of", INSTANT),
    Column("cut", JSONB),
    *_columns(BigInteger, "orders", "premium"),
    *_columns(JSONB, "totals", "workers", "first_time", "hours"),
    *_columns(BigInteger, "resends", "unmatched_cancellations"),
    Column("recorded_at", INSTANT),
)

statement = Table(
    "statement",
    metadata,
    Column("statement_id", Text, primary_key=True),
    *_columns(Text, "enterprise", "province", "period"),
    Column("as_of", INSTANT),
    Column("due_on", Date),
    Column("due_on_is_provisional", Boolean),
    Column("calendar", Text),
    *_columns(BigInteger, "orders", "exact_amount", "amount"),
    Column("recorded_at", INSTANT),
)

due_date_change = Table(
    "due_date_change",
    metadata,
    Column("change_id", BigInteger, primary_key=True),
    *_columns(Text, "statement_id", "calendar"),
    Column("due_on", Date),
    Column("due_on_is_provisional", Boolean),
    Column("notice", Text),
    Column("recorded_at", INSTANT),
)

statement_line = Table(
    "statement_line",
    metadata,
    Column("statement_id", Text, primary_key=True),
    Column("number", Integer, primary_key=True),
    *_columns(Text, "kind", "insured_month", "industry"),
    Column("tariff_line", Integer),
    *_columns(BigInteger, "base_amount", "orders", "exact_amount", "amount"),
    Column("series", Text),
    Column("insured_on", Date),
)

period_issued = Table(
    "period_issued",
    metadata,
    Column("period", Text, primary_key=True),
    Column("as_of", INSTANT),
    Column("statements", Integer),
    Column("recorded_at", INSTANT),
    Column("decision_id", BigInteger),
)

remittance = Table(
    "remittance",
    metadata,
    Column("remittance_id", Text, primary_key=True),
    *_columns(Text, "enterprise", "province"),
    Column("amount", BigInteger),
    Column("received_on", Date),
    Column("content_sha256", LargeBinary),
    Column("recorded_at", INSTANT),
    *_columns(Text, "reverses", "reason", "authority"),
)

journal_entry = Table(
    "journal_entry",
    metadata,
    Column("entry_id", BigInteger, primary_key=True),
    Column("kind", Text),
    *_columns(Date, "posting_day", "insured_on"),
    Column("run", Text),
    Column("number", BigInteger),
    *_columns(Text, "statement_id", "remittance_id"),
    Column("corrects", BigInteger),
    Column("recorded_at", INSTANT),
)

posting = Table(
    "posting",
    metadata,
    Column("entry_id", BigInteger, primary_key=True),
    Column("line", Integer, primary_key=True),
    *_columns(BigInteger, "account_id", "amount"),
)

day_sum = Table(
    "day_sum",
    metadata,
    *_columns(Date, "posting_day", "insured_on"),
    *_columns(Text, "enterprise", "province", "industry"),
    Column("tariff_line", Integer),
    *_columns(Text, "outcome", "reason"),
    *_columns(BigInteger, "base_amount", "orders", "premium"),
)

outside_declaration = Table(
    "outside_declaration",
    metadata,
    *(Column(name, Date, primary_key=True) for name in ("posting_day", "insured_on")),
    *(Column(name, Text, primary_key=True) for name in ("enterprise", "province", "industry")),
    *(Column(name, BigInteger, primary_key=name != "orders") for name in ("base_amount", "orders")),
    Column("tariff_line", Integer, primary_key=True),
)

day_line = Table(
    "day_line",
    metadata,
    Column("line_id", BigInteger, primary_key=True),
    *_columns(Date, "posting_day", "insured_on"),
    *_columns(Text, "enterprise", "province", "industry"),
    Column("tariff_line", Integer),
    *_columns(Text, "outcome", "reason"),
    *_columns(BigInteger, "orders", "premium"),
    Column("run", Text),
    *_columns(BigInteger, "number", "entry_id"),
)

allocation = Table(
    "allocation",
    metadata,
    Column("allocation_id", BigInteger, primary_key=True),
    *_columns(Text, "statement_id", "what"),
    Column("amount", BigInteger),
    Column("effective_on", Date),
    Column("remittance_id", Text),
    Column("entry_id", BigInteger),
)

late_fee = Table(
    "late_fee",
    metadata,
    Column("late_fee_id", BigInteger, primary_key=True),
    Column("statement_id", Text),
    Column("as_of", Date),
    *_columns(BigInteger, "amount", "total", "entry_id"),
)

refused_message = Table(
    "refused_message",
    metadata,
    Column("refused_id", BigInteger, primary_key=True),
    *_columns(Text, "topic", "reason", "detail"),
    Column("sha256", LargeBinary),
    Column("received_at", INSTANT),
    Column("partition", Integer),
    Column("record_offset", BigInteger),
    Column("recorded_at", INSTANT),
    Column("bytes", Integer),
    Column("redacted", Text),
    Column("sealed", LargeBinary),
    Column("sealed_on", Date),
)

refused_review = Table(
    "refused_review",
    metadata,
    Column("refused_id", BigInteger, primary_key=True),
    *_columns(Text, "reviewer", "note"),
    Column("recorded_at", INSTANT),
)

topic_position = Table(
    "topic_position",
    metadata,
    *_keys(Text, "cluster_id", "topic"),
    *_keys(Integer, "partition"),
    Column("next_offset", BigInteger),
    Column("topic_id", Uuid),
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", BigInteger, primary_key=True),
    *_columns(Text, "topic", "key", "refusal"),
    Column("payload", LargeBinary),
    *_columns(INSTANT, "written_at", "refused_at"),
)

log_entry = Table(
    "log_entry",
    metadata,
    Column("index", BigInteger, primary_key=True),
    Column("run", Text),
    Column("number", BigInteger),
    Column("entry", LargeBinary),
    Column("leaf_hash", LargeBinary, Computed("sha256('\\x00'::bytea || entry)")),
)

log_node = Table(
    "log_node", metadata, *_keys(SmallInteger, "level"), *_keys(BigInteger, "index"), *_columns(LargeBinary, "hash")
)

checkpoint = Table(
    "checkpoint",
    metadata,
    Column("size", BigInteger, primary_key=True),
    Column("origin", Text),
    *_columns(LargeBinary, "root", "note"),
    Column("signed_at", INSTANT),
)

day_checkpoint = Table("day_checkpoint", metadata, Column("day", Date, primary_key=True), Column("size", BigInteger))

cosignature = Table(
    "cosignature",
    metadata,
    Column("size", BigInteger, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("key_id", LargeBinary, primary_key=True),
    Column("line", Text),
    *_columns(INSTANT, "cosigned_at", "recorded_at"),
)

log_fault = Table(
    "log_fault",
    metadata,
    Column("fault_id", BigInteger, primary_key=True),
    Column("kind", Text),
    Column("size", BigInteger),
    Column("detail", Text),
    Column("found_at", INSTANT),
)

set_aside = set_aside_table(metadata)
