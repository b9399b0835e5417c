"""Queries for the findings about an enterprise's numbers and manifests at a close."""

from datetime import date, datetime
from typing import Final

from msgspec import Struct
from sqlalchemy import BigInteger, Date, Integer, SmallInteger, all_, and_, bindparam, cast, exists, func, not_, select
from sqlalchemy.dialects.postgresql import ARRAY, distinct_on

from services.charging.numbers.series_spans import BOXES, SeriesSpan, overlaps
from services.charging.predicates import DAY, between, first_columns, new_in_cut, worker_id
from services.charging.tables import (
    accounted_day,
    conflict,
    day_count,
    enterprise,
    entry,
    judged_day,
    number_gap,
    number_range,
    parked,
    parked_reported,
    parked_settled,
)
from services.charging.tables import declaration as stored_declaration
from shared.adapters.postgres.queries.statements import Selection, query, values
from shared.contracts.topics import ORDERS_PREFIX
from shared.domain.evidence.leaf import RowKind

MOST_RANGES: Final = 100
"""Ranges of numbers that a finding names; its `count` is over all of them."""
_UNTOLD: Final = frozenset({"cancelled"})
"""Reversals that a manifest does not subtract: it counts what was accepted and charged, cancelled later or not."""
_NAMES: Final = bindparam("enterprises", type_=ARRAY(SmallInteger))
_IN_SPANS: Final = and_(entry.c.enterprise == BOXES.rows.c.enterprise, entry.c.series == BOXES.rows.c.series)


class NamedSpan(SeriesSpan, frozen=True):
    uscc: str


class _NumberedOrder(Struct, frozen=True):
    enterprise: int
    series: str
    order_id: str
    accepted_at: datetime
    worker: str


class _Days(Struct, frozen=True):
    first_on: date | None
    last_on: date | None


class _NamedGap(Struct, frozen=True):
    uscc: str
    series: str
    insured_on: date
    is_presumed: bool
    first: int
    last: int
    is_declared: bool


class _Acceptances(Struct, frozen=True):
    uscc: str
    acceptances: int


class _ChangedId(Struct, frozen=True):
    uscc: str
    order_id: str
    declared_day: date | None


class ParkedNumber(Struct, frozen=True):
    """A number of a parked event that is not settled."""

    enterprise: int
    series: str
    sequence: int
    reason: str


def _select_parked() -> Selection:
    """Select the numbers of events that closes of these days reported as parked, and that are not settled."""
    until = bindparam("until", type_=Date)
    of_event = and_(parked.c.batch == parked_reported.c.batch, parked.c.leaf_index == parked_reported.c.leaf_index)
    is_settled = exists().where(
        parked_settled.c.batch == parked_reported.c.batch,
        parked_settled.c.leaf_index == parked_reported.c.leaf_index,
        parked_settled.c.settled_on <= until,
    )
    return (
        select(enterprise.c.id.label("enterprise"), parked.c.series, parked.c.sequence, parked.c.reason)
        .select_from(parked_reported)
        .join(parked, of_event)
        .join(enterprise, parked.c.topic == func.concat(ORDERS_PREFIX, enterprise.c.uscc))
        .where(parked_reported.c.found_on.between(DAY, until), parked.c.series.is_not(None), not_(is_settled))
    )


def _select_of_state(state: str) -> Selection:
    """Select the ranges of a state that a close found, with the enterprise's name."""
    columns = [number_range.c[name] for name in SeriesSpan.__struct_fields__]
    return (
        select(*columns, enterprise.c.uscc)
        .join(enterprise, enterprise.c.id == number_range.c.enterprise)
        .where(number_range.c.found_on == DAY, number_range.c.state == state)
        .order_by(enterprise.c.uscc, number_range.c.series, number_range.c.first)
    )


def _select_gaps() -> Selection:
    gap = number_gap.c
    is_judged = and_(judged_day.c.day == gap.insured_on, judged_day.c.is_presumed == gap.is_presumed)
    columns = [gap[name] for name in _NamedGap.__struct_fields__[1:]]
    return (
        select(enterprise.c.uscc, *columns)
        .select_from(number_gap)
        .join(judged_day, is_judged)
        .join(enterprise, enterprise.c.id == gap.enterprise)
        .where(judged_day.c.judged_on == DAY)
        .order_by(enterprise.c.uscc, gap.insured_on, gap.series, gap.first)
    )


def _select_undeclared() -> Selection:
    """Select how many numbered acceptances of the day came from enterprises that are not named."""
    acceptances = func.sum(number_range.c.last - number_range.c.first + 1)
    return (
        select(enterprise.c.uscc, cast(acceptances, BigInteger).label("acceptances"))
        .join_from(number_range, enterprise, enterprise.c.id == number_range.c.enterprise)
        .where(number_range.c.insured_on == DAY, number_range.c.found_on == DAY)
        .where(number_range.c.enterprise != all_(_NAMES))
        .group_by(enterprise.c.uscc)
        .order_by(enterprise.c.uscc)
    )


def _select_changed_ids() -> Selection:
    stored = stored_declaration.c
    is_of_id = and_(stored.enterprise == conflict.c.enterprise, stored.declaration_id == conflict.c.order_id)
    return (
        select(enterprise.c.uscc, conflict.c.order_id, stored.declared_day)
        .select_from(conflict)
        .join(enterprise, enterprise.c.id == conflict.c.enterprise)
        .outerjoin(stored_declaration, is_of_id)
        .where(conflict.c.kind == RowKind.DECLARATION, new_in_cut(conflict))
        .order_by(*first_columns(2))
    )


PARKED: Final = query(_select_parked(), ParkedNumber)
REPEATED: Final = query(_select_of_state("repeated"), NamedSpan)
SCATTERED: Final = query(_select_of_state("scattered"), NamedSpan)
REPEATED_ORDERS: Final = query(
    select(entry.c.enterprise, entry.c.series, entry.c.order_id, entry.c.accepted_at, worker_id(entry).label("worker"))
    .join_from(BOXES.rows, entry, _IN_SPANS)
    .where(entry.c.kind == RowKind.ACCEPTANCE, between(entry))
    .where(entry.c.sequence.between(BOXES.rows.c.first, BOXES.rows.c.last))
    .order_by(entry.c.enterprise, entry.c.series, entry.c.sequence, entry.c.accepted_at)
    .limit(bindparam("limit", type_=Integer)),
    _NumberedOrder,
)
REPEATED_DAYS: Final = query(
    select(func.min(number_range.c.insured_on).label("first_on"), func.max(number_range.c.insured_on).label("last_on"))
    .join_from(BOXES.rows, number_range, overlaps(number_range))
    .where(number_range.c.state == "seen"),
    _Days,
)
GAPS: Final = query(_select_gaps(), _NamedGap)
UNDECLARED: Final = query(_select_undeclared(), _Acceptances)
NEW_DAYS: Final = values(
    select(stored_declaration.c.declared_day).where(new_in_cut(stored_declaration)).distinct(), date
)
CHANGED_IDS: Final = query(_select_changed_ids(), _ChangedId)
FIRST_DAY: Final = values(select(accounted_day.c.day).order_by(accounted_day.c.day).limit(1), date)
ANSWERS: Final = values(
    select(day_count.c.payload)
    .ext(distinct_on(day_count.c.day))
    .where(day_count.c.day.between(DAY, bindparam("until", type_=Date)))
    .order_by(day_count.c.day, day_count.c.answered_at.desc(), day_count.c.attempt.desc()),
    bytes,
)
