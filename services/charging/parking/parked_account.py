"""Account for parked events (搁置) at the count of a day: which this close reports, and which it settles.

In the transaction of the count, once a day, after the numbers of the day. A parked event is settled once its number
came in a row after it, or once it was sent again and read: one that is parked again is reported as another event.
"""

from datetime import date, timedelta
from typing import Final

from msgspec import Struct
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Date,
    FromClause,
    Integer,
    SmallInteger,
    Text,
    and_,
    any_,
    bindparam,
    exists,
    func,
    not_,
    select,
    tuple_,
)
from sqlalchemy.dialects.postgresql import ARRAY, insert

from services.charging.numbers.seen_ranges import Reach, read_new_batches
from services.charging.predicates import DAY, between, reached
from services.charging.tables import (
    INSTANT,
    enterprise,
    entry,
    manifest,
    number_range,
    parked,
    parked_reported,
    parked_settled,
    position,
    resent,
)
from shared.adapters.postgres.pool import Connection
from shared.adapters.postgres.queries.statements import ArrayTable, Command, Selection, query
from shared.contracts.topics import ORDERS_PREFIX
from shared.domain.calendar import day_bounds
from shared.domain.evidence.leaf import RowKind

SETTLED_WITHIN: Final = timedelta(days=62)
"""How long a parked event may be settled by itself; afterwards a person answers its finding."""
_BATCHES: Final = bindparam("batches", type_=ARRAY(BigInteger))
_SINCE: Final = bindparam("since", type_=Date)
_FIRST: Final = bindparam("first_begin", type_=INSTANT)
_NAMES: Final = ("batch", "leaf_index", "settled_on")


class _Candidate(Struct, frozen=True):
    """A parked event of this close whose number this close saw; `turn` is the order in which batches committed."""

    batch: int
    leaf_index: int
    turn: int
    enterprise: int
    series: str
    sequence: int
    insured_on: date


_CANDIDATES: Final = ArrayTable(
    "c", _Candidate, BigInteger(), Integer(), BigInteger(), SmallInteger(), Text(), BigInteger(), Date()
)


def _reported_parked(*conditions: ColumnElement[bool]) -> Selection:
    """Select parked events that are reported and not settled, with the numbers that this close saw."""
    has_number = and_(
        number_range.c.enterprise == enterprise.c.id,
        number_range.c.series == parked.c.series,
        number_range.c.first <= parked.c.sequence,
        number_range.c.last >= parked.c.sequence,
        number_range.c.state == "seen",
        number_range.c.found_on == DAY,
    )
    return (
        select(
            parked.c.batch,
            parked.c.leaf_index,
            manifest.c.turn,
            enterprise.c.id.label("enterprise"),
            parked.c.series,
            parked.c.sequence,
            number_range.c.insured_on,
        )
        .select_from(parked_reported)
        .join(parked, _is_event(parked))
        .join(manifest, manifest.c.batch == parked.c.batch)
        .join(enterprise, parked.c.topic == func.concat(ORDERS_PREFIX, enterprise.c.uscc))
        .join(number_range, has_number)
        .where(not_(_IS_SETTLED), *conditions)
    )


def _is_event(row: FromClause) -> ColumnElement[bool]:
    return and_(row.c.batch == parked_reported.c.batch, row.c.leaf_index == parked_reported.c.leaf_index)


_IS_SETTLED: Final = exists().where(
    parked_settled.c.batch == parked_reported.c.batch, parked_settled.c.leaf_index == parked_reported.c.leaf_index
)
_IS_RECENT: Final = parked_reported.c.found_on >= _SINCE


def _settle(selection: Selection) -> Command:
    settled_now = selection.subquery("settled")
    settled = select(settled_now.c.batch, settled_now.c.leaf_index, DAY).distinct()
    return Command(insert(parked_settled).from_select(_NAMES, settled).on_conflict_do_nothing())


def _select_sent_again() -> Selection:
    """Select reported events that were sent again, and whose record was read: a position is behind it."""
    is_read = and_(
        position.c.topic == parked.c.topic,
        position.c.partition == resent.c.partition,
        position.c.next_offset > resent.c.record_offset,
    )
    return (
        select(parked.c.batch, parked.c.leaf_index)
        .select_from(parked_reported)
        .join(parked, _is_event(parked))
        .join(resent, _is_event(resent))
        .join(position, is_read)
        .where(not_(_IS_SETTLED), _IS_RECENT)
    )


def _select_came_after() -> Selection:
    """Select candidates whose number is in a row that was received after them."""
    parked_one = _CANDIDATES.rows
    is_of_number = and_(
        entry.c.enterprise == parked_one.c.enterprise,
        entry.c.series == parked_one.c.series,
        entry.c.sequence == parked_one.c.sequence,
    )
    is_after = tuple_(manifest.c.turn, entry.c.leaf_index) > tuple_(parked_one.c.turn, parked_one.c.leaf_index)
    return (
        select(parked_one.c.batch, parked_one.c.leaf_index)
        .select_from(parked_one)
        .join(entry, is_of_number)
        .join(manifest, manifest.c.batch == entry.c.batch)
        .where(entry.c.kind == RowKind.ACCEPTANCE, between(entry, _FIRST), reached(entry), is_after)
    )


_REPORT: Final = Command(
    insert(parked_reported).from_select(
        ("batch", "leaf_index", "found_on"),
        select(parked.c.batch, parked.c.leaf_index, DAY).where(parked.c.batch == any_(_BATCHES)),
    )
)
_SETTLE_EARLIER: Final = _settle(_reported_parked(parked_reported.c.found_on < DAY, _IS_RECENT))
_SETTLE_SENT_AGAIN: Final = _settle(_select_sent_again())
_OWN: Final = query(_reported_parked(parked_reported.c.found_on == DAY), _Candidate)
_SETTLE_OWN: Final = _settle(_select_came_after())


async def account_parked(connection: Connection, day: date, reach: Reach) -> None:
    """Write what the close of `day` reports and settles, once its numbers are accounted for."""
    since = day - SETTLED_WITHIN
    await _REPORT.execute(connection, batches=await read_new_batches(connection, reach), day=day)
    await _SETTLE_SENT_AGAIN.execute(connection, day=day, since=since)
    await _SETTLE_EARLIER.execute(connection, day=day, since=since)
    candidates = await _OWN.fetch(connection, day=day)
    if candidates:
        begin, _ = day_bounds(min(candidate.insured_on for candidate in candidates))
        await _SETTLE_OWN.execute(
            connection, **_CANDIDATES.parameters(candidates), day=day, cut=reach.cut.lasts, first_begin=begin,
            end=day_bounds(day)[1],
        )  # fmt: skip
