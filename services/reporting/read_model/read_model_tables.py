"""The read model's tables as the projections write them; the migration is their definition."""

from typing import Final

from sqlalchemy import BigInteger, Boolean, Column, Date, DateTime, Integer, Table, Text
from sqlalchemy.dialects.postgresql import ARRAY

from services.reporting.tables import METADATA

_PLACE: Final = ("province", "enterprise", "industry")
COUNTS: Final = ("charged", "reversed", "presumed", "excluded", "premium")
"""Figures of a place: orders, and premium in 0.0001 yuan."""


def _table(name: str, dates: tuple[str, ...], texts: tuple[str, ...], numbers: tuple[str, ...]) -> Table:
    columns = [Column(column, Date) for column in dates] + [Column(column, Text) for column in texts]
    return Table(name, METADATA, *columns, *(Column(column, BigInteger) for column in numbers))


DAY_PROJECTED: Final = _table("day_projected", ("day",), (), ())
DAILY_SUM: Final = _table("daily_sum", ("insured_on", "day"), _PLACE, COUNTS)
DAILY_REASON: Final = _table("daily_reason", ("insured_on", "day"), (*_PLACE, "outcome", "reason"), ("orders",))
PARTICIPATION: Final = _table("participation", ("insured_on", "day"), _PLACE[:2], ("workers",))
DAILY_HOURS: Final = Table(
    "daily_hours",
    METADATA,
    Column("insured_on", Date),
    Column("day", Date),
    Column("province", Text),
    Column("enterprise", Text),
    Column("orders", ARRAY(BigInteger)),
)
FIRST_TIME: Final = _table("first_time", ("day",), ("province",), ("workers",))
MONTHLY_SUM: Final = _table("monthly_sum", ("month",), _PLACE, COUNTS)
WHOLE_SUM: Final = _table("whole_sum", (), _PLACE, COUNTS)
MONTHLY_FIRST_TIME: Final = _table("monthly_first_time", ("month",), ("province",), ("workers",))
STATEMENT_SUM: Final = Table(
    "statement_sum",
    METADATA,
    Column("statement_id", Text),
    Column("period", Text),
    Column("province", Text),
    Column("enterprise", Text),
    Column("issued_as_of", DateTime(timezone=True)),
    Column("due_on", Date),
    Column("due_on_is_provisional", Boolean),
    Column("orders", BigInteger),
    Column("exact_amount", BigInteger),
    Column("amount", BigInteger),
    Column("adjustments", Integer),
    Column("adjusted", BigInteger),
    Column("assessed", Integer),
)
PROJECTED: Final = (
    DAY_PROJECTED, DAILY_SUM, DAILY_REASON, PARTICIPATION, DAILY_HOURS, FIRST_TIME, MONTHLY_SUM, WHOLE_SUM,
    MONTHLY_FIRST_TIME, STATEMENT_SUM,
)  # fmt: skip
"""Tables that a rebuild empties: all of them follow from the messages that reporting keeps."""
REMITTANCE: Final = Table(
    "remittance",
    METADATA,
    Column("remittance_id", Text, primary_key=True),
    Column("province", Text),
    Column("enterprise", Text),
    Column("amount", BigInteger),
    Column("received_on", Date),
    Column("received_at", DateTime(timezone=True)),
    Column("reverses", Text),
    Column("reason", Text),
    Column("authority", Text),
)
ARRIVAL: Final = Table(
    "arrival",
    METADATA,
    Column("minute", DateTime(timezone=True), primary_key=True),
    Column("enterprise", Text, primary_key=True),
    Column("outcome", Text, primary_key=True),
    Column("reason", Text, primary_key=True),
    Column("events", BigInteger),
)
ARRIVED_MANIFEST: Final = Table(
    "arrived_manifest",
    METADATA,
    Column("run", Text, primary_key=True),
    Column("number", BigInteger, primary_key=True),
    Column("minute", DateTime(timezone=True)),
)
