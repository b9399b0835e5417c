"""Re-rating's query: which orders of a day are not rated as the scheme rates them now."""

from datetime import datetime
from typing import Final

from msgspec import Struct
from sqlalchemy import (
    BigInteger,
    Boolean,
    FromClause,
    Integer,
    LargeBinary,
    SmallInteger,
    Text,
    and_,
    bindparam,
    cast,
    func,
    not_,
    or_,
    select,
    tuple_,
)
from sqlalchemy.dialects.postgresql import Insert, insert

from services.charging.predicates import (
    END,
    LATER,
    between,
    charge_columns,
    first_columns,
    is_charge,
    is_resent,
    is_superseded,
    province,
    same_order,
)
from services.charging.rerate.rate_table import Rate, RatedPlace
from services.charging.store.derived_rows import ChargeRow
from services.charging.tables import INSTANT, enterprise, entry, unsettled
from shared.adapters.postgres.queries.statements import ArrayTable, Command, Expression, Selected, query
from shared.domain.evidence.leaf import RowKind


class OrderKey(Struct, frozen=True):
    """Key of an order within its day."""

    accepted_at: datetime
    enterprise: int
    order_id: str
    worker_key: int


class DifferingSum(Struct, frozen=True):
    """Orders of a place that are rated one way, and are rated another way by the scheme as it is now."""

    uscc: str
    province: int
    industry: int
    old_line: int
    old_reason: int
    new_line: int
    new_reason: int
    orders: int
    old_premium: int
    new_premium: int


class DifferingCharge(ChargeRow, frozen=True):
    """A last charge, and how the scheme as it is now rates its order."""

    new_premium: int
    new_line: int
    new_reason: int


class NewlyCharged(OrderKey, frozen=True):
    """An order that cost nothing and now is charged."""

    worker_rest: bytes


_CHARGE: Final = entry.alias("c")
RATES: Final = ArrayTable(
    "r", Rate, SmallInteger(), SmallInteger(), SmallInteger(), Boolean(), INSTANT, INSTANT, Integer(), SmallInteger(),
    SmallInteger(),
)  # fmt: skip
CHARGED: Final = ArrayTable("o", NewlyCharged, INSTANT, SmallInteger(), Text(), BigInteger(), LargeBinary())


def _order_key(name: str) -> Expression:
    """The parameters of `name_key` as one value."""
    return tuple_(*(bindparam(f"{name}_{field}", type_=entry.c[field].type) for field in OrderKey.__struct_fields__))


def _key_of(row: FromClause) -> Expression:
    return tuple_(*(row.c[field] for field in OrderKey.__struct_fields__))


def name_key(name: str, key: OrderKey) -> dict[str, object]:
    """The parameters `after_accepted_at` to `after_worker_key`, or another name's."""
    return {f"{name}_{field}": getattr(key, field) for field in OrderKey.__struct_fields__}


def _select_places() -> Selected:
    order = entry.alias("n")
    uscc, wanted = bindparam("uscc", type_=Text), bindparam("province", type_=Integer)
    return (
        select(order.c.enterprise, enterprise.c.uscc, province(order).label("province"), order.c.industry)
        .join_from(order, enterprise, enterprise.c.id == order.c.enterprise)
        .where(order.c.kind == RowKind.ACCEPTANCE, between(order))
        .where(or_(uscc.is_(None), enterprise.c.uscc == uscc), or_(wanted.is_(None), province(order) == wanted))
        .distinct()
    )


def _select_differing(*columns: Expression) -> Selected:
    """Select last charges of a day's orders that are not what the rate of their place says.

    Left alone are orders whose charge was taken back (cancelled or sent again) and those that were found sent again:
    they owe nothing.
    """
    charge, rate = _CHARGE, RATES.rows
    is_rate = and_(
        rate.c.enterprise == charge.c.enterprise,
        rate.c.province == province(charge),
        rate.c.industry == charge.c.industry,
        rate.c.is_employee == charge.c.employer_insurance_no.is_not(None),
        charge.c.accepted_at >= rate.c.valid_from,
        charge.c.accepted_at < rate.c.valid_to,
    )
    rated, due = ([row.c[name] for name in ("premium", "tariff_line", "reason")] for row in (charge, rate))
    return (
        select(*columns)
        .select_from(charge)
        .join(rate, is_rate)
        .join(enterprise, enterprise.c.id == charge.c.enterprise)
        .where(
            between(charge),
            is_charge(charge),
            tuple_(*rated) != tuple_(*due),
            not_(is_superseded(charge, between(LATER))),
            not_(is_resent(charge)),
        )
    )


def _select_sums() -> Selected:
    charge, rate = _CHARGE, RATES.rows
    groups = (
        enterprise.c.uscc,
        province(charge).label("province"),
        charge.c.industry,
        charge.c.tariff_line.label("old_line"),
        charge.c.reason.label("old_reason"),
        rate.c.tariff_line.label("new_line"),
        rate.c.reason.label("new_reason"),
    )
    premiums = ((charge, "old_premium"), (rate, "new_premium"))
    sums = [cast(func.sum(row.c.premium), BigInteger).label(name) for row, name in premiums]
    numbers = first_columns(len(groups))
    return _select_differing(*groups, func.count().label("orders"), *sums).group_by(*numbers).order_by(*numbers)


def _select_chunk() -> Selected:
    charge, rate = _CHARGE, RATES.rows
    new = [rate.c.premium.label("new_premium"), rate.c.tariff_line.label("new_line"), rate.c.reason.label("new_reason")]
    first, last = (bindparam(name, type_=INSTANT) for name in ("after_accepted_at", "until_accepted_at"))
    return (
        _select_differing(*charge_columns(charge, charge), *new)
        .where(charge.c.accepted_at >= first, charge.c.accepted_at <= last)
        .where(_key_of(charge) > _order_key("after"), _key_of(charge) <= _order_key("until"))
        .order_by(*(charge.c[field] for field in OrderKey.__struct_fields__))
    )


def _select_step() -> Selected:
    """Select where the next rows of the day end: a walk along the index, so that no chunk reads the rest of the day."""
    columns = [entry.c[field] for field in OrderKey.__struct_fields__]
    return (
        select(*columns)
        .where(entry.c.accepted_at >= bindparam("after_accepted_at", type_=INSTANT), entry.c.accepted_at < END)
        .where(_key_of(entry) > _order_key("after"))
        .order_by(*columns)
        .offset(bindparam("rows", type_=BigInteger))
        .limit(1)
    )


def _unsettle() -> Insert:
    """Queue cancellations that were settled while their orders cost nothing, now that these are charged."""
    order, cancellation = CHARGED.rows, entry.alias("x")
    is_of_order = and_(same_order(cancellation, order), cancellation.c.worker_rest == order.c.worker_rest)
    names = (*OrderKey.__struct_fields__, "batch")
    cancelled = (
        select(*(cancellation.c[name] for name in names))
        .join_from(order, cancellation, is_of_order)
        .where(cancellation.c.kind == RowKind.CANCELLATION, between(cancellation))
    )
    return insert(unsettled).from_select(names, cancelled).on_conflict_do_nothing()


PLACES: Final = query(_select_places(), RatedPlace)
SUMS: Final = query(_select_sums(), DifferingSum)
CHUNK: Final = query(_select_chunk(), DifferingCharge)
STEP: Final = query(_select_step(), OrderKey)
UNSETTLE: Final = Command(_unsettle())
