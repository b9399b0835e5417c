"""What a close shows about single orders, as queries: over exactly the rows that it counted, one statement a kind.

A finding is one enterprise, province and insured day; of its orders the first are named.
"""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Final

from msgspec import Struct
from sqlalchemy import (
    ColumnElement,
    FromClause,
    Integer,
    Interval,
    SmallInteger,
    and_,
    bindparam,
    exists,
    func,
    literal_column,
    not_,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import ARRAY

from services.charging.predicates import (
    CUT,
    DAY,
    END,
    KEY,
    LATE_BEGIN,
    between,
    counted,
    first_columns,
    insured_on,
    materialized,
    new_in_cut,
    province,
    reached,
    same_order,
    worker_id,
)
from services.charging.tables import conflict, enterprise, entry, reinstated, resend
from shared.adapters.postgres.queries.statements import Expression, Query, Selected, query
from shared.contracts.findings import MOST_ORDERS
from shared.domain.evidence.leaf import RowKind
from shared.domain.privacy.identity_share import CITIZEN, CITIZEN_RUN, HAS_DIGITS, MOBILE, MOBILE_RUN


class FoundOrder(Struct, frozen=True):
    """An order of a finding, and how many orders the finding has; `what` divides findings further, else it is 0."""

    uscc: str
    province: int
    insured_on: date
    what: int
    orders: int
    accepted_at: datetime
    order_id: str
    worker_id: str


class IdentityCounts(Struct, frozen=True):
    """Order ids of an enterprise: all, those with runs of digits as long as an identity's, those that read as one."""

    uscc: str
    orders: int
    mobile_runs: int
    citizen_runs: int
    alike: int


class DelayCount(Struct, frozen=True):
    """Acceptances that were sent with a delay of the same bucket."""

    uscc: str
    province: int
    insured_on: date
    bucket: int
    orders: int


_ORDER: Final = ("accepted_at", "order_id", "worker_key", "worker_rest")
_PLACE: Final = ("enterprise", "province", "insured_on", "what")
_NOTHING: Final = literal_column("0", Integer)


def _place(row: FromClause, what: Expression = _NOTHING) -> list[Expression]:
    return [row.c.enterprise, province(row).label("province"), insured_on(row).label("insured_on"), what.label("what")]


def _orders(row: FromClause, what: Expression = _NOTHING) -> Selected:
    """Select the orders of these rows, to be grouped."""
    return select(*_place(row, what), *(row.c[name] for name in _ORDER))


def _grouped(orders: Selected) -> Query[FoundOrder]:
    rows = materialized(orders, "orders")
    place, order = [rows.c[name] for name in _PLACE], [rows.c[name] for name in _ORDER]
    ranked = select(
        *rows.c,
        func.count().over(partition_by=place).label("orders"),
        func.row_number().over(partition_by=place, order_by=order).label("place"),
    ).cte("ranked")
    columns = {"uscc": enterprise.c.uscc, "worker_id": worker_id(ranked).label("worker_id")}
    statement = (
        select(*(columns[name] if name in columns else ranked.c[name] for name in FoundOrder.__struct_fields__))
        .join_from(ranked, enterprise, enterprise.c.id == ranked.c.enterprise)
        .where(ranked.c.place <= MOST_ORDERS)
        .order_by(*first_columns(len(_PLACE)), ranked.c.place)
    )
    return query(statement, FoundOrder)


def _select_conflicts() -> Selected:
    sent = (
        select(*(conflict.c[name] for name in (*KEY, "kind")))
        .where(conflict.c.accepted_at.is_not(None), new_in_cut(conflict))
        .subquery("c")
    )
    return _orders(entry).join(sent, and_(same_order(entry, sent), entry.c.kind == sent.c.kind))


def _select_resends() -> Selected:
    is_accepted = and_(same_order(entry, resend), entry.c.kind == RowKind.ACCEPTANCE)
    return _orders(entry).join(resend, is_accepted).where(resend.c.found_on == DAY)


def _select_unaccepted() -> Selected:
    end, acceptance = entry.alias("e"), entry.alias("a")
    has_acceptance = exists().where(
        same_order(acceptance, end),
        acceptance.c.worker_rest == end.c.worker_rest,
        acceptance.c.kind == RowKind.ACCEPTANCE,
        between(acceptance, LATE_BEGIN, END),
        reached(acceptance, CUT),
    )
    is_end = end.c.kind.in_((RowKind.COMPLETION, RowKind.CANCELLATION))
    return _orders(end, end.c.kind).where(is_end, counted(end), not_(has_acceptance))


def _accepted() -> ColumnElement[bool]:
    return and_(entry.c.kind == RowKind.ACCEPTANCE, counted(entry))


def _select_late() -> Selected:
    delay = bindparam("delay", type_=Interval)
    return _orders(entry).where(_accepted(), entry.c.recorded_at - entry.c.accepted_at > delay)


def _select_not_enrolled() -> Selected:
    reason = bindparam("reason", type_=SmallInteger)
    return _orders(entry, entry.c.industry).where(_accepted(), entry.c.reason == reason)


def _select_delays() -> Selected:
    """Count first acceptances by the bucket of their delay; orders that were found sent again do not count."""
    bounds: ColumnElement[Sequence[timedelta]] = bindparam("bounds", type_=ARRAY(Interval))
    delay = func.coalesce(entry.c.recorded_at - entry.c.accepted_at, literal_column("interval '0'", Interval))
    is_resend = and_(
        exists().where(same_order(resend, entry), resend.c.found_on <= DAY),
        not_(exists().where(same_order(reinstated, entry), reinstated.c.found_on <= DAY)),
    )
    where = (enterprise.c.uscc, province(entry).label("province"), insured_on(entry).label("insured_on"))
    numbers = first_columns(4)
    return (
        select(*where, func.width_bucket(delay, bounds, type_=Integer).label("bucket"), func.count().label("orders"))
        .join_from(entry, enterprise, enterprise.c.id == entry.c.enterprise)
        .where(_accepted(), not_(is_resend))
        .group_by(*numbers)
        .order_by(*numbers)
    )


def _select_identity_like() -> Selected:
    order_id = entry.c.order_id
    orders = (
        select(entry.c.enterprise, order_id, order_id.regexp_match(HAS_DIGITS).label("has_digits"))
        .where(_accepted())
        .subquery("a")
    )

    def count(name: str, *patterns: str) -> Expression:
        reads = [orders.c.order_id.regexp_match(pattern) for pattern in patterns]
        return func.count().filter(orders.c.has_digits, or_(*reads)).label(name)

    counts = (
        select(
            orders.c.enterprise,
            func.count().label("orders"),
            count("mobile_runs", MOBILE_RUN),
            count("citizen_runs", CITIZEN_RUN),
            count("alike", MOBILE, CITIZEN),
        )
        .group_by(orders.c.enterprise)
        .subquery("c")
    )
    return (
        select(enterprise.c.uscc, *(counts.c[name] for name in IdentityCounts.__struct_fields__[1:]))
        .join_from(counts, enterprise, enterprise.c.id == counts.c.enterprise)
        .where(counts.c.alike > 0)
        .order_by(enterprise.c.uscc)
    )


CONFLICTS: Final = _grouped(_select_conflicts())
RESENDS: Final = _grouped(_select_resends())
UNACCEPTED: Final = _grouped(_select_unaccepted())
LATE: Final = _grouped(_select_late())
NOT_ENROLLED: Final = _grouped(_select_not_enrolled())
DELAYS: Final = query(_select_delays(), DelayCount)
IDENTITY_LIKE: Final = query(_select_identity_like(), IdentityCounts)
