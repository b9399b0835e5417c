"""Queries for the orders of a day that lie outside the signed declarations of their enterprises."""

from datetime import date, datetime
from functools import reduce
from typing import Final

from msgspec import Struct
from sqlalchemy import (
    CTE,
    BigInteger,
    ColumnElement,
    Date,
    FromClause,
    Integer,
    LargeBinary,
    SmallInteger,
    Text,
    and_,
    any_,
    bindparam,
    case,
    cast,
    exists,
    extract,
    false,
    func,
    literal_column,
    not_,
    or_,
    select,
    union_all,
)
from sqlalchemy.dialects.postgresql import ARRAY, INT8MULTIRANGE, aggregate_order_by, distinct_on

from services.charging.cut import Batches
from services.charging.predicates import (
    CUT,
    DAY,
    between,
    charge_columns,
    first_columns,
    is_charge,
    is_reversal,
    key_of,
    new_in_cut,
    province,
    reached,
    same_order,
    worker_id,
)
from services.charging.rows.row_kinds import CANCELLED, REVERSAL_REASONS
from services.charging.store.derived_rows import ChargeRow
from services.charging.tables import archived_day, batch_day, declaration, enterprise, entry, manifest
from shared.adapters.postgres.queries.statements import ArrayTable, Expression, Selection, query, values
from shared.domain.evidence.leaf import RowKind

_NONE: Final = Batches([])
_ENTERPRISES: Final = bindparam("enterprises", type_=ARRAY(SmallInteger))
_LIMIT: Final = bindparam("limit", type_=Integer)
_DAYS: Final = bindparam("days", type_=ARRAY(Date))


class OutsidePlace(Struct, frozen=True, order=True):
    """Where orders lie outside, and what one of them costs (0.0001 yuan)."""

    uscc: str
    province: int
    industry: int
    tariff_line: int
    base_amount: int


class OutsideOrder(Struct, frozen=True):
    """An order that lies outside."""

    accepted_at: datetime
    enterprise: int
    order_id: str
    worker_key: int
    worker_id: str


class UsedNumbers(Struct, frozen=True):
    """Numbers of a series that are declared used, as the text of an int8multirange."""

    enterprise: int
    series: str
    used: str


class Surplus(Struct, frozen=True):
    """Orders with a declared number, of an enterprise, province and industry, beyond those that were declared."""

    enterprise: int
    province: int
    industry: int
    orders: int


class PlaceCount(Struct, frozen=True):
    enterprise: int
    province: int
    industry: int
    within: int
    undeclared: int


class _OutsideSum(OutsidePlace, frozen=True, order=True):
    orders: int


class Names(Struct, frozen=True):
    """Which orders lie outside: how many, their premium (0.0001 yuan), and SHA-256 over their keys and charges."""

    orders: int
    premium: int
    sha256: bytes


USED: Final = ArrayTable("d", UsedNumbers, SmallInteger(), Text(), Text())
SURPLUS: Final = ArrayTable("s", Surplus, SmallInteger(), Integer(), SmallInteger(), BigInteger())


def _of_day(row: FromClause) -> ColumnElement[bool]:
    is_counted = or_(CUT.is_(None), reached(row))
    return and_(between(row), row.c.enterprise == any_(_ENTERPRISES), is_counted)


def _orders_now() -> CTE:
    """Orders of a day as they are now: the last row that charges or reverses one says what it costs."""
    rows = entry.alias("l")
    key = key_of(rows)
    last = (
        select(*key, rows.c.kind, rows.c.premium, rows.c.tariff_line, rows.c.reason)
        .ext(distinct_on(*key))
        .where(_of_day(rows), rows.c.kind >= RowKind.REVERSAL)
        .order_by(*key, rows.c.kind.desc())
        .cte("later")
        .prefix_with("materialized")
    )
    used = USED.rows
    declared = (
        select(used.c.enterprise, used.c.series, cast(used.c.used, INT8MULTIRANGE).label("used"))
        .cte("declared")
        .prefix_with("materialized")
    )
    first = select(entry).where(_of_day(entry), entry.c.kind == RowKind.ACCEPTANCE).subquery("a")
    is_cancelled = and_(is_reversal(last), last.c.reason == REVERSAL_REASONS.index(CANCELLED))
    return (
        select(
            *first.c,
            func.coalesce(last.c.kind, first.c.kind).label("last_kind"),
            func.coalesce(last.c.premium, first.c.premium).label("base_amount"),
            func.coalesce(last.c.tariff_line, first.c.tariff_line).label("line"),
            province(first).label("province"),
            func.coalesce(declared.c.used.op("@>")(first.c.sequence), false()).label("is_declared"),
            case((last.c.kind.is_(None), first.c.reason == 0), else_=and_(is_charge(last), last.c.reason == 0)).label(
                "is_charged"
            ),
            func.coalesce(is_cancelled, false()).label("is_cancelled"),
        )
        .select_from(first)
        .outerjoin(last, same_order(last, first))
        .outerjoin(declared, and_(declared.c.enterprise == first.c.enterprise, declared.c.series == first.c.series))
        .cte("now")
    )


_NOW: Final = _orders_now()


def _place(row: FromClause) -> list[Expression]:
    return [row.c[name] for name in ("enterprise", "province", "industry")]


def _select_counts() -> Selection:
    is_within, is_undeclared = _NOW.c.is_declared, and_(not_(_NOW.c.is_declared), _NOW.c.is_charged)
    return (
        select(
            *_place(_NOW),
            func.count().filter(is_within).label("within"),
            func.count().filter(is_undeclared).label("undeclared"),
        )
        .where(or_(_NOW.c.is_charged, _NOW.c.is_cancelled))
        .group_by(*first_columns(3))
    )


def _orders_outside() -> CTE:
    received = (manifest.c.turn, _NOW.c.leaf_index)
    of_number = (_NOW.c.enterprise, _NOW.c.series, _NOW.c.sequence)
    is_again = func.row_number().over(partition_by=of_number, order_by=received) > 1
    numbered = (
        select(*_NOW.c, manifest.c.turn, is_again.label("is_again"))
        .join_from(_NOW, manifest, manifest.c.batch == _NOW.c.batch)
        .where(or_(_NOW.c.is_charged, _NOW.c.is_cancelled))
        .cte("numbered")
    )
    order = (numbered.c.is_again.desc(), numbered.c.turn.desc(), numbered.c.leaf_index.desc())
    place = func.row_number().over(partition_by=_place(numbered), order_by=order)
    ranked = (
        select(*numbered.c, place.label("place")).where(numbered.c.is_declared, numbered.c.is_charged).cte("ranked")
    )
    surplus = SURPLUS.rows
    is_of_place = and_(*(mine == other for mine, other in zip(_place(ranked), _place(surplus), strict=True)))
    beyond = (
        select(*_outside_columns(ranked))
        .join_from(ranked, surplus, is_of_place)
        .where(ranked.c.place <= surplus.c.orders)
    )
    undeclared = select(*_outside_columns(_NOW)).where(not_(_NOW.c.is_declared), _NOW.c.is_charged)
    return union_all(undeclared, beyond).cte("outside")


def _outside_columns(row: FromClause) -> list[Expression]:
    more = (row.c[name] for name in ("last_kind", "base_amount", "line", "province", "industry"))
    return [*key_of(row), *more]


_OUTSIDE: Final = _orders_outside()


def _select_sums() -> Selection:
    outside = _OUTSIDE.c
    groups = (
        enterprise.c.uscc,
        outside.province,
        outside.industry,
        outside.line.label("tariff_line"),
        outside.base_amount,
    )
    return (
        select(*groups, func.count().label("orders"))
        .join_from(_OUTSIDE, enterprise, enterprise.c.id == outside.enterprise)
        .group_by(*first_columns(len(groups)))
    )


def _select_names() -> Selection:
    outside, nothing = _OUTSIDE.c, literal_column("''::bytea", LargeBinary)
    microseconds = cast(extract("epoch", outside.accepted_at) * 1_000_000, BigInteger)
    pieces: list[Expression] = [
        func.int8send(microseconds),
        func.int2send(outside.enterprise),
        func.int8send(outside.worker_key),
        func.int2send(outside.last_kind),
        func.int4send(outside.base_amount),
        func.convert_to(outside.order_id, literal_column("'utf8'")),
        literal_column("'\\x00'::bytea", LargeBinary),
    ]
    name = reduce(lambda left, right: left.op("||")(right), pieces)
    named = func.string_agg(name, aggregate_order_by(nothing, *key_of(_OUTSIDE)))
    return select(
        func.count().label("orders"),
        cast(func.coalesce(func.sum(outside.base_amount), 0), BigInteger).label("premium"),
        func.sha256(func.coalesce(named, nothing)).label("sha256"),
    ).select_from(_OUTSIDE)


def _select_few() -> Selection:
    return (
        select(*key_of(_OUTSIDE), worker_id(entry).label("worker_id"))
        .join_from(_OUTSIDE, entry, same_order(entry, _OUTSIDE))
        .where(entry.c.kind == RowKind.ACCEPTANCE)
        .order_by(*key_of(_OUTSIDE))
        .limit(_LIMIT)
    )


def _select_charges() -> Selection:
    charge = entry.alias("c")
    is_charge_of = and_(same_order(charge, _OUTSIDE), charge.c.kind == _OUTSIDE.c.last_kind)
    return (
        select(*charge_columns(charge, charge))
        .select_from(_OUTSIDE)
        .join(charge, is_charge_of)
        .join(enterprise, enterprise.c.id == charge.c.enterprise)
        .order_by(*key_of(charge))
        .limit(_LIMIT)
    )


COUNTS: Final = query(_select_counts(), PlaceCount)
SUMS: Final = query(_select_sums(), _OutsideSum)
NAMES: Final = query(_select_names(), Names)
FEW: Final = query(_select_few(), OutsideOrder)
CHARGES: Final = query(_select_charges(), ChargeRow)
IS_ANY_SIGNED: Final = values(select(exists().where(declaration.c.revision.is_not(None))), bool)
LATE_DAYS: Final = values(
    select(batch_day.c.insured_on).where(batch_day.c.insured_on < DAY, new_in_cut(batch_day)).distinct(), date
)
NEW_DAYS: Final = values(
    select(declaration.c.declared_day).where(declaration.c.revision.is_not(None), new_in_cut(declaration)).distinct(),
    date,
)
ARCHIVED: Final = values(select(archived_day.c.day).where(archived_day.c.day == any_(_DAYS)), date)
