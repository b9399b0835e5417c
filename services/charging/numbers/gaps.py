"""Gaps (缺号): numbers without an acceptance. A counted day is checked against its numbers twice.

First at the close of the next day, since an acceptance around midnight may belong to either; then `gap_days` after
the day, when what still has not come is presumed to be orders that were not sent. Missing of a day are: the numbers
between a range of that day and any number of the series that comes before it, and those that the enterprise declared as
used on the day; less what was seen on any day, what is in parked events and conflicts, and what is declared unused.
Before the first number of a series that was ever seen nothing is missing.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Final

from msgspec import Struct
from msgspec.structs import astuple
from sqlalchemy import Boolean, Date, and_, bindparam, exists, func, not_, select, true

from services.charging.numbers.day_declarations import DeclaredNumbers, around, declared_numbers, holding, read_declared
from services.charging.numbers.seen_ranges import Reach
from services.charging.numbers.series_spans import BOXES, Key, SeriesSpan, box_parameters, by_series, overlaps
from services.charging.predicates import DAY
from services.charging.tables import accounted_day, judged_day, number_gap, number_range
from shared.adapters.postgres.pool import Connection
from shared.adapters.postgres.queries.statements import Selection, insert_into, query, values
from shared.domain.books.number_ranges import Range, Ranges, common, holes, united, without

NEXT_CLOSE: Final = 1
_JUDGEMENT: Final = bindparam("is_presumed", type_=Boolean)
_FOUND_BY: Final = bindparam("found_by", type_=Date)


class _Known(Struct, frozen=True):
    enterprise: int
    series: str
    first: int
    last: int
    state: str
    insured_on: date | None


class Gap(Struct, frozen=True):
    """A row of `charging.number_gap`."""

    enterprise: int
    series: str
    first: int
    last: int
    insured_on: date
    is_presumed: bool
    is_declared: bool


def _select_due() -> Selection:
    is_judged = exists().where(judged_day.c.day == accounted_day.c.day, judged_day.c.is_presumed == _JUDGEMENT)
    day = accounted_day.c.day
    return select(day).where(day <= bindparam("until", type_=Date), not_(is_judged)).order_by(day)


def _select_ranges() -> Selection:
    """Select the ranges of a series from the last number below a span up to its end."""
    box, below, known = BOXES.rows, number_range.alias("b"), number_range.alias("r")
    last_below = (
        select(below.c.last)
        .where(below.c.enterprise == box.c.enterprise, below.c.series == box.c.series)
        .where(below.c.last < box.c.first, below.c.state == "seen")
        .order_by(below.c.last.desc())
        .limit(1)
        .lateral("below")
    )
    in_span = and_(
        known.c.enterprise == box.c.enterprise,
        known.c.series == box.c.series,
        known.c.first <= box.c.last,
        known.c.last >= func.coalesce(last_below.c.last, box.c.first),
    )
    return (
        select(*(known.c[name] for name in _Known.__struct_fields__))
        .select_from(box.outerjoin(last_below, true()).join(known, in_span))
        .where(known.c.state != "repeated", known.c.found_on <= _FOUND_BY)
    )


_DUE: Final = values(_select_due(), date)
_JUDGE: Final = insert_into(judged_day, "day", "is_presumed", "judged_on")
_SPANS: Final = query(
    select(
        number_range.c.enterprise,
        number_range.c.series,
        func.min(number_range.c.first).label("first"),
        func.max(number_range.c.last).label("last"),
    )
    .where(number_range.c.insured_on == DAY)
    .group_by(number_range.c.enterprise, number_range.c.series),
    SeriesSpan,
)
_RANGES: Final = query(_select_ranges(), _Known)
_JUDGED: Final = query(
    select(*(number_gap.c[name] for name in SeriesSpan.__struct_fields__))
    .join_from(BOXES.rows, number_gap, overlaps(number_gap))
    .where(number_gap.c.is_presumed == _JUDGEMENT),
    SeriesSpan,
)


@dataclass(slots=True)
class Stretch:
    """The known numbers of a series around one day."""

    mine: list[Range] = field(default_factory=list)
    """Seen on the day itself."""
    seen: list[Range] = field(default_factory=list)
    kept: list[Range] = field(default_factory=list)
    """In conflict or parked."""


async def judge_days(connection: Connection, day: date, reach: Reach, gap_days: int) -> None:
    """At the close of `day`: write the gaps of every day whose time has come, each once."""
    for is_presumed, lag in ((False, NEXT_CLOSE), (True, max(gap_days, NEXT_CLOSE))):
        for due in await _DUE.fetch(connection, until=day - timedelta(days=lag), is_presumed=is_presumed):
            await _JUDGE.execute(connection, day=due, is_presumed=is_presumed, judged_on=day)
            gaps = await find_gaps(connection, due, day, reach, is_presumed=is_presumed)
            await connection.copy_records_to_table(
                "number_gap",
                schema_name="charging",
                columns=Gap.__struct_fields__,
                records=[astuple(gap) for gap in gaps],
            )


async def find_gaps(connection: Connection, day: date, closing: date, reach: Reach, *, is_presumed: bool) -> list[Gap]:
    """The gaps of one day, as known at a close."""
    held = holding(await read_declared(connection, reach.cut, reach.previous, around(day))).values()
    declared = declared_numbers(held, day)
    boxes = await read_boxes(connection, day, declared)
    stretches = await read_stretches(connection, boxes, day, closing)
    # A hole below the day's first number may have been judged as the end of a day before.
    reached = {key: (min([box[0], *(first for first, _ in stretches[key].seen)]), box[1]) for key, box in boxes.items()}
    judged = by_series(await _JUDGED.fetch(connection, **box_parameters(reached), is_presumed=is_presumed))
    gaps: list[Gap] = []
    for key in sorted(boxes):
        missing = missing_of(stretches[key], declared.get(key), judged.get(key, []))
        said = declared[key].used_around if key in declared else []
        for is_declared, ranges in ((False, without(missing, said)), (True, common(missing, said))):
            gaps += [Gap(*key, *gap, day, is_presumed, is_declared) for gap in ranges]
    return gaps


def missing_of(stretch: Stretch, declared: DeclaredNumbers | None, judged: Iterable[Range]) -> Ranges:
    """The numbers of a day without an acceptance or an explanation. Pure."""
    seen, mine = united(stretch.seen), {first for first, _ in stretch.mine}
    expected = [hole for hole in holes(seen) if hole[1] + 1 in mine]
    known = [*stretch.kept, *judged]
    if declared is not None:
        expected += declared.used
        known += declared.unused
    return without(without(united(expected), seen), united(known))


async def read_stretches(
    connection: Connection, boxes: dict[Key, Range], day: date, found_by: date
) -> dict[Key, Stretch]:
    """Read what closes up to one found of each series between two numbers, and the last number below."""
    stretches: dict[Key, Stretch] = defaultdict(Stretch)
    for row in await _RANGES.fetch(connection, **box_parameters(boxes), found_by=found_by):
        stretch, span = stretches[row.enterprise, row.series], (row.first, row.last)
        if row.state == "seen":
            stretch.seen.append(span)
            stretch.mine += [span] if row.insured_on == day else []
        else:
            stretch.kept.append(span)
    return stretches


async def read_boxes(connection: Connection, day: date, declared: dict[Key, DeclaredNumbers]) -> dict[Key, Range]:
    """From the first to the last number that the day has of a series, seen or declared used."""
    boxes = {span.key: span.numbers for span in await _SPANS.fetch(connection, day=day)}
    for key, numbers in declared.items():
        if numbers.used:
            first, last = boxes.get(key, (numbers.used[0][0], 0))
            boxes[key] = (min(first, numbers.used[0][0]), max(last, numbers.used[-1][1]))
    return boxes
