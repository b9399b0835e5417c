"""The tables of schema `ledger` as queries see them; the migrations are the authority on what they may hold."""

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

from shared.adapters.postgres.quarantine import set_aside_table

metadata = MetaData(schema="ledger")
INSTANT = DateTime(timezone=True)

turn = Table("turn", metadata, Column("one", Boolean))

books = Table(
    "books",
    metadata,
    Column("one", Boolean, server_default="true"),
    Column("opened_on", Date),
    Column("recorded_at", INSTANT),
)

account = Table(
    "account",
    metadata,
    Column("account_id", BigInteger, primary_key=True),
    Column("kind", Text),
    Column("enterprise", Text),
    Column("province", Text),
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
    Column("person", Text),
    Column("request", Text),
    Column("content", JSONB),
)

enterprise_deployment = Table(
    "enterprise_deployment", metadata, Column("enterprise", Text, primary_key=True), Column("deployment", Text)
)

day_closing = Table(
    "day_closing",
    metadata,
    Column("day", Date, primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("cut", JSONB),
    Column("previous_cut", JSONB),
    Column("as_of", INSTANT),
    Column("requested_at", INSTANT),
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
    Column("orders", BigInteger),
    Column("premium", BigInteger),
    Column("totals", JSONB),
    Column("workers", JSONB),
    Column("first_time", JSONB),
    Column("hours", JSONB),
    Column("resends", BigInteger),
    Column("unmatched_cancellations", BigInteger),
    Column("recorded_at", INSTANT),
)

statement = Table(
    "statement",
    metadata,
    Column("statement_id", Text, primary_key=True),
    Column("enterprise", Text),
    Column("province", Text),
    Column("period", Text),
    Column("as_of", INSTANT),
    Column("due_on", Date),
    Column("orders", BigInteger),
    Column("exact_amount", BigInteger),
    Column("amount", BigInteger),
    Column("recorded_at", INSTANT),
)

statement_line = Table(
    "statement_line",
    metadata,
    Column("statement_id", Text, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("kind", Text),
    Column("insured_month", Text),
    Column("industry", Text),
    Column("tariff_line", Integer),
    Column("base_amount", BigInteger),
    Column("orders", BigInteger),
    Column("exact_amount", BigInteger),
    Column("amount", BigInteger),
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
    Column("enterprise", Text),
    Column("province", Text),
    Column("amount", BigInteger),
    Column("received_on", Date),
    Column("content_sha256", LargeBinary),
    Column("recorded_at", INSTANT),
)

journal_entry = Table(
    "journal_entry",
    metadata,
    Column("entry_id", BigInteger, primary_key=True),
    Column("kind", Text),
    Column("posting_day", Date),
    Column("insured_on", Date),
    Column("run", Text),
    Column("number", BigInteger),
    Column("statement_id", Text),
    Column("remittance_id", Text),
    Column("corrects", BigInteger),
    Column("recorded_at", INSTANT),
)

posting = Table(
    "posting",
    metadata,
    Column("entry_id", BigInteger, primary_key=True),
    Column("line", Integer, primary_key=True),
    Column("account_id", BigInteger),
    Column("amount", BigInteger),
)

day_sum = Table(
    "day_sum",
    metadata,
    Column("posting_day", Date),
    Column("insured_on", Date),
    Column("enterprise", Text),
    Column("province", Text),
    Column("industry", Text),
    Column("tariff_line", Integer),
    Column("outcome", Text),
    Column("reason", Text),
    Column("base_amount", BigInteger),
    Column("orders", BigInteger),
    Column("premium", BigInteger),
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
    Column("posting_day", Date),
    Column("insured_on", Date),
    Column("enterprise", Text),
    Column("province", Text),
    Column("industry", Text),
    Column("tariff_line", Integer),
    Column("outcome", Text),
    Column("reason", Text),
    Column("orders", BigInteger),
    Column("premium", BigInteger),
    Column("run", Text),
    Column("number", BigInteger),
    Column("entry_id", BigInteger),
)

allocation = Table(
    "allocation",
    metadata,
    Column("allocation_id", BigInteger, primary_key=True),
    Column("statement_id", Text),
    Column("what", Text),
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
    Column("amount", BigInteger),
    Column("total", BigInteger),
    Column("entry_id", BigInteger),
)

refused_message = Table(
    "refused_message",
    metadata,
    Column("refused_id", BigInteger, primary_key=True),
    Column("topic", Text),
    Column("reason", Text),
    Column("detail", Text),
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
    Column("reviewer", Text),
    Column("note", Text),
    Column("recorded_at", INSTANT),
)

topic_position = Table(
    "topic_position",
    metadata,
    Column("cluster_id", Text, primary_key=True),
    Column("topic", Text, primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("next_offset", BigInteger),
    Column("topic_id", Uuid),
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", BigInteger, primary_key=True),
    Column("topic", Text),
    Column("key", Text),
    Column("payload", LargeBinary),
    Column("written_at", INSTANT),
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
    "log_node",
    metadata,
    Column("level", SmallInteger, primary_key=True),
    Column("index", BigInteger, primary_key=True),
    Column("hash", LargeBinary),
)

checkpoint = Table(
    "checkpoint",
    metadata,
    Column("size", BigInteger, primary_key=True),
    Column("origin", Text),
    Column("root", LargeBinary),
    Column("note", LargeBinary),
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
    Column("cosigned_at", INSTANT),
    Column("recorded_at", INSTANT),
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

kept_key = Table(
    "kept_key",
    metadata,
    Column("day", Date, primary_key=True),
    Column("key", LargeBinary),
    Column("made_at", INSTANT),
    Column("destroyed_at", INSTANT),
)
