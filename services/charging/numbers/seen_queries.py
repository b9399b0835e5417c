"""Queries for the numbers of series that came, as words of 64 numbers."""

from datetime import date
from typing import Final

from msgspec import Struct
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Date,
    FromClause,
    Integer,
    SmallInteger,
    Table,
    Text,
    and_,
    any_,
    bindparam,
    case,
    cast,
    distinct,
    exists,
    func,
    select,
    tuple_,
)
from sqlalchemy.dialects.postgresql import ARRAY

from services.charging.numbers.series_spans import BOXES, SeriesSpan, overlaps
from services.charging.predicates import (
    BEGIN,
    DAY,
    between,
    first_columns,
    insured_on,
    is_resent,
    new_in_cut,
    on_day,
    reached,
    same_order,
)
from services.charging.tables import (
    INSTANT,
    accounted_day,
    conflict,
    enterprise,
    entry,
    manifest,
    number_range,
    parked,
    resend,
)
from shared.adapters.postgres.queries.statements import ArrayTable, Expression, Selection, insert_into, query, values
from shared.domain.evidence.leaf import RowKind

_SHIFT: Final = 6
_BATCHES: Final = bindparam("batches", type_=ARRAY(BigInteger))
_SINCE: Final = bindparam("since", type_=Date)
_FIRST: Final = bindparam("first_begin", type_=INSTANT)
"""Where the earliest of the accepted days begins."""


class Word(Struct, frozen=True):
    """The bits of 64 numbers of a series: bit n is number `word * 64 + n`."""

    insured_on: date
    enterprise: int
    series: str
    word: int
    uses: int
    seen: int
    excluded: int


class _SentTwice(Struct, frozen=True):
    enterprise: int
    series: str
    word: int
    uses: int


class Torn(Struct, frozen=True):
    enterprise: int
    series: str
    word: int


class _Number(Struct, frozen=True):
    enterprise: int
    series: str
    sequence: int


class _KeptNumber(Struct, frozen=True):
    topic: str
    series: str
    sequence: int


class _Enterprise(Struct, frozen=True):
    uscc: str
    id: int


class NumberRange(Struct, frozen=True):
    """A row of `charging.number_range`."""

    enterprise: int
    series: str
    first: int
    last: int
    state: str
    insured_on: date | None
    found_on: date
    excluded: bytes | None


TORN: Final = ArrayTable("torn", Torn, SmallInteger(), Text(), BigInteger())


def _word_of(row: FromClause) -> Expression:
    return row.c.sequence.op(">>")(_SHIFT)


def _bit_of(row: FromClause) -> Expression:
    return cast(1, BigInteger).op("<<")(cast(row.c.sequence.op("&")(63), Integer))


def _select_words(day: Expression, *conditions: ColumnElement[bool]) -> Selection:
    bit = _bit_of(entry)
    columns = (day.label("insured_on"), entry.c.enterprise, entry.c.series, _word_of(entry).label("word"))
    groups = first_columns(len(columns))
    return (
        select(
            *columns,
            func.count().label("uses"),
            func.bit_or(bit).label("seen"),
            func.bit_or(case((entry.c.reason == 0, 0), else_=bit)).label("excluded"),
        )
        .where(entry.c.kind == RowKind.ACCEPTANCE, *conditions)
        .group_by(*(groups[1:] if day is DAY else groups))  # a parameter needs no group
    )


def _select_sent_twice() -> Selection:
    """Select uses of numbers that an order sent again within the day has once more.

    That is one order, and no row of it needs comparing.
    """
    new, kept = entry.alias("n"), entry.alias("k")
    same = [new.c[name] == resend.c[name] for name in ("accepted_at", "enterprise", "order_id", "worker_key")]
    first = [kept.c[name] == resend.c[name] for name in ("enterprise", "order_id", "worker_key")]
    groups = (new.c.enterprise, new.c.series, _word_of(new).label("word"))
    return (
        select(*groups, func.count().label("uses"))
        .select_from(resend)
        .join(new, and_(*same, new.c.kind == RowKind.ACCEPTANCE))
        .join(
            kept,
            and_(
                kept.c.accepted_at == resend.c.kept_accepted_at,
                *first,
                kept.c.kind == RowKind.ACCEPTANCE,
                kept.c.worker_rest == new.c.worker_rest,
            ),
        )
        .where(new.c.series == kept.c.series, new.c.sequence == kept.c.sequence)
        .where(between(resend), on_day(new), on_day(kept), is_resent(new))
        .group_by(*first_columns(len(groups)))
    )


def _select_twice() -> Selection:
    """Select numbers of torn words that two assignments have: an order, a worker and an acceptance."""
    torn, columns = TORN.rows, (entry.c.enterprise, entry.c.series, entry.c.sequence)
    is_in_word = and_(
        entry.c.enterprise == torn.c.enterprise, entry.c.series == torn.c.series, _word_of(entry) == torn.c.word
    )
    kept = select(resend.c.kept_accepted_at).where(same_order(resend, entry), is_resent(entry)).scalar_subquery()
    accepted_at = func.coalesce(kept, entry.c.accepted_at)
    assignment = tuple_(entry.c.order_id, entry.c.worker_key, entry.c.worker_rest, accepted_at)
    return (
        select(*columns)
        .join_from(entry, torn, is_in_word)
        .where(entry.c.kind == RowKind.ACCEPTANCE, between(entry, _FIRST), reached(entry))
        .group_by(*columns)
        .having(func.count(distinct(assignment)) > 1)
    )


def _select_sent_again() -> Selection:
    new = entry.alias("n")
    return (
        select(new.c.enterprise, new.c.series, new.c.sequence)
        .join_from(resend, new, and_(same_order(new, resend), new.c.kind == RowKind.ACCEPTANCE))
        .where(resend.c.found_on >= _SINCE, is_resent(new))
    )


def _select_kept(kept: Table) -> Selection:
    return select(kept.c.topic, kept.c.series, kept.c.sequence).where(
        kept.c.batch == any_(_BATCHES), kept.c.series.is_not(None)
    )


IS_ACCOUNTED: Final = values(select(exists().where(accounted_day.c.day == DAY)), bool)
ACCOUNT: Final = insert_into(accounted_day, "day")
WORDS: Final = query(_select_words(DAY, on_day(entry)), Word)
LATE_WORDS: Final = query(
    _select_words(insured_on(entry), between(entry, _FIRST, BEGIN), entry.c.batch == any_(_BATCHES)), Word
)
SENT_TWICE: Final = query(_select_sent_twice(), _SentTwice)
TWICE: Final = query(_select_twice(), _Number)
EARLIER: Final = query(
    select(*(number_range.c[name] for name in SeriesSpan.__struct_fields__))
    .join_from(BOXES.rows, number_range, overlaps(number_range))
    .where(number_range.c.state == "seen"),
    SeriesSpan,
)
SENT_AGAIN: Final = query(_select_sent_again(), _Number)
NEW_BATCHES: Final = values(select(manifest.c.batch).where(manifest.c.events > 0, new_in_cut(manifest)), int)
ENTERPRISES: Final = query(select(enterprise.c.uscc, enterprise.c.id), _Enterprise)
KEPT: Final = {table.name: query(_select_kept(table), _KeptNumber) for table in (conflict, parked)}
KEPT_ROWS: Final = 1_000
"""Rows of kept records read at a time."""
