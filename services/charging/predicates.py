"""Predicates that queries of charging share: what a cut reaches, which rows a close counts, what a row is.

Each takes a table or an alias and gives a Core expression, to be compiled by
`shared.adapters.postgres.queries.statements`. The parameters that several predicates share are named here, once.
"""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any, Final

from sqlalchemy import (
    CTE,
    BigInteger,
    ColumnElement,
    Date,
    DateTime,
    FromClause,
    Integer,
    Interval,
    LargeBinary,
    Text,
    and_,
    any_,
    bindparam,
    case,
    cast,
    exists,
    func,
    literal_column,
    not_,
    or_,
    true,
)
from sqlalchemy.dialects.postgresql import ARRAY

from services.charging.store.derived_rows import ChargeRow
from services.charging.tables import INSTANT, enterprise, entry, reinstated, resend
from shared.adapters.postgres.queries.statements import Expression, Selected
from shared.domain.evidence.leaf import RowKind

CUT: Final = bindparam("cut", type_=ARRAY(BigInteger))
"""`Batches.lasts` of the cut that a close counts over."""
PREVIOUS: Final = bindparam("previous", type_=ARRAY(BigInteger))
"""`Batches.lasts` of the cut of the day before."""
DAY: Final = bindparam("day", type_=Date)
BEGIN: Final = bindparam("begin", type_=INSTANT)
END: Final = bindparam("end", type_=INSTANT)
"""Bounds of the counted or requested day: from the first, up to before the second."""
LATE_BATCHES: Final = bindparam("late_batches", type_=ARRAY(BigInteger))
"""Batches in the cut, not in the one of the day before, that hold rows of earlier days."""
LATE_BEGIN: Final = bindparam("late_begin", type_=INSTANT)
"""Where the earliest of those days begins: older partitions are not scanned."""
KEY: Final = ("accepted_at", "enterprise", "order_id", "worker_key")
"""Columns of an order's key; `kind` distinguishes its rows."""
Instant = ColumnElement[datetime]
ALWAYS: Final = true()
LATER: Final = entry.alias("n")
"""A row of an order that came after another one."""
_RESEND, _REINSTATED = resend.alias("s"), reinstated.alias("x")
SHANGHAI: Final = literal_column("interval '8 hours'", Interval)


def reached(row: FromClause, cut: ColumnElement[Sequence[int]] = CUT) -> ColumnElement[bool]:
    """The cut reaches the row's batch: it is not above its run's last one.

    Null for a run that the array is too short for. One access to an array, because every row of a day is tested.
    """
    batch = row.c.batch
    return batch <= cut[cast(batch.op(">>")(32), Integer)]


def new_in_cut(row: FromClause) -> ColumnElement[bool]:
    """The cut reaches the row's batch, and the cut of the day before did not."""
    return and_(reached(row), reached(row, PREVIOUS).is_not(true()))


def between(row: FromClause, begin: Instant = BEGIN, end: Instant = END) -> ColumnElement[bool]:
    """The row's order was accepted between two instants.

    Every row of a join has to say so, even where it follows: the planner then leaves out the partitions of other days.
    """
    return and_(row.c.accepted_at >= begin, row.c.accepted_at < end)


def on_day(row: FromClause) -> ColumnElement[bool]:
    """The row is of the closing day, and its close counts it."""
    return and_(between(row), reached(row))


def late(row: FromClause) -> ColumnElement[bool]:
    """The row is of a day before the closing one, and the close counts it."""
    return and_(between(row, LATE_BEGIN, BEGIN), row.c.batch == any_(LATE_BATCHES))


def counted(row: FromClause) -> ColumnElement[bool]:
    """The row is of the closing day or late, and the close counts it."""
    is_late = and_(row.c.accepted_at < BEGIN, row.c.batch == any_(LATE_BATCHES))
    return and_(between(row, LATE_BEGIN, END), or_(on_day(row), is_late))


def is_charge(row: FromClause) -> ColumnElement[bool]:
    """The row is an acceptance or a re-rated charge; as `shared.domain.evidence.leaf.is_charge`."""
    kind = row.c.kind
    return or_(kind == RowKind.ACCEPTANCE, and_(kind >= RowKind.RERATED, kind % 2 == 0))


def is_reversal(row: FromClause) -> ColumnElement[bool]:
    """The row takes a charge back; as `shared.domain.evidence.leaf.is_reversal`."""
    kind = row.c.kind
    return or_(kind == RowKind.REVERSAL, and_(kind >= RowKind.RERATED_REVERSAL, kind % 2 == 1))


def is_premium_due(row: FromClause) -> ColumnElement[bool]:
    """The row is a charge that was not excluded."""
    return and_(is_charge(row), row.c.reason == 0)


def same_order(row: FromClause, other: FromClause) -> ColumnElement[bool]:
    """The two rows have the key of one order."""
    return and_(*(row.c[name] == other.c[name] for name in KEY))


def is_reversal_of(row: FromClause, charge: FromClause) -> ColumnElement[bool]:
    """The row takes this charge back; as `shared.domain.evidence.leaf.reversal_of`."""
    kind = case((charge.c.kind == RowKind.ACCEPTANCE, int(RowKind.REVERSAL)), else_=charge.c.kind + 1)
    return and_(same_order(row, charge), row.c.kind == kind)


def is_superseded(row: FromClause, later: ColumnElement[bool] = ALWAYS, by: FromClause = LATER) -> ColumnElement[bool]:
    """The charge was reversed or rated again: a row of the order came after it, of which `later` says more."""
    return exists().where(same_order(by, row), by.c.kind >= RowKind.REVERSAL, by.c.kind > row.c.kind, later)


def is_last_charge(row: FromClause, later: ColumnElement[bool] = ALWAYS, by: FromClause = LATER) -> ColumnElement[bool]:
    """The row is a charge, and the order was not rated again after it; `later` says more of such a row."""
    return and_(is_charge(row), not_(is_superseded(row, and_(is_charge(by), later), by)))


def is_resent(row: FromClause) -> ColumnElement[bool]:
    """The row's order was sent again under another acceptance time, as far as closes know: that acceptance holds."""
    return and_(exists().where(same_order(_RESEND, row)), not_(exists().where(same_order(_REINSTATED, row))))


def insured_on(row: FromClause) -> ColumnElement[date]:
    """The day on which the row's order was accepted, in Shanghai."""
    return cast(func.timezone(SHANGHAI, row.c.accepted_at), Date)


def day_begin(day: ColumnElement[date]) -> ColumnElement[datetime]:
    """The instant at which a day begins in Shanghai."""
    return func.timezone(SHANGHAI, cast(day, DateTime), type_=INSTANT)


def province(row: FromClause) -> ColumnElement[int]:
    """The first two digits of the row's region."""
    return row.c.region // 10_000


def worker_token(row: FromClause) -> ColumnElement[bytes]:
    """The row's worker, in one piece."""
    return func.int8send(row.c.worker_key, type_=LargeBinary).op("||", return_type=LargeBinary())(row.c.worker_rest)


def worker_id(row: FromClause) -> ColumnElement[str]:
    """The row's worker in hex."""
    return func.encode(worker_token(row), literal_column("'hex'"), type_=Text)


def key_of(row: FromClause) -> list[ColumnElement[Any]]:
    """The columns of the row's order key, to select or to sort by."""
    return [row.c[name] for name in KEY]


def materialized(rows: Selected, name: str) -> CTE:
    """A common table expression that is computed once: the planner misjudges how few rows it has."""
    return rows.cte(name).prefix_with("materialized", dialect="postgresql")


def first_columns(count: int) -> list[ColumnElement[int]]:
    """The first columns of a select list, by their numbers, to group or to sort by."""
    return [literal_column(str(number), Integer) for number in range(1, count + 1)]


def charge_columns(charge: FromClause, cause: FromClause) -> list[Expression]:
    """What a ChargeRow holds: of the charge, of its enterprise, and of the event that causes the derived row."""
    tables = dict.fromkeys(("received", "ended_at", "departed"), cause) | {"uscc": enterprise}
    return [tables.get(name, charge).c[name] for name in ChargeRow.__struct_fields__]
