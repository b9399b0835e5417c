"""Missing numbers that came after all, or were declared unused since: what a close says of gaps of earlier days.

A gap is written once and stays. Each close that finds one of its numbers, or a declaration of its day, says what is
left of it: fewer numbers, or none.
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import date
from typing import Final

from msgspec import Struct
from sqlalchemy import Date, any_, bindparam, or_, select
from sqlalchemy.dialects.postgresql import ARRAY

from services.charging.cut import Batches
from services.charging.numbers.day_declarations import around, declared_numbers, not_outdated, read_declared
from services.charging.numbers.series_spans import BOXES, Key, SeriesSpan, box_parameters, by_series, overlaps
from services.charging.predicates import DAY
from services.charging.tables import enterprise, number_gap, number_range
from shared.adapters.postgres.pool import Connection
from shared.adapters.postgres.queries.statements import Selection, query
from shared.domain.books.number_ranges import Range, Ranges, united, without


class GapLeft(Struct, frozen=True):
    """What a close knows of the missing numbers of a day and series: those it had, and those that are left."""

    uscc: str
    series: str
    insured_on: date
    is_presumed: bool
    missing: Ranges
    left: Ranges


class _NamedGap(SeriesSpan, frozen=True):
    insured_on: date
    is_presumed: bool
    uscc: str


def _select_touched() -> Selection:
    """Select the gaps of series and days of which this close has a number, and those of days declared since."""
    gap, other, near = number_gap, number_gap.alias("other"), number_range
    is_found = select(other.c.insured_on).where(
        other.c.enterprise == gap.c.enterprise, other.c.series == gap.c.series, other.c.insured_on == gap.c.insured_on,
        other.c.is_presumed == gap.c.is_presumed, overlaps(other, near), near.c.found_on == DAY,
        near.c.state == "seen",
    )  # fmt: skip
    columns = [gap.c[name] for name in ("enterprise", "series", "first", "last", "insured_on", "is_presumed")]
    return (
        select(*columns, enterprise.c.uscc)
        .join_from(gap, enterprise, enterprise.c.id == gap.c.enterprise)
        .where(or_(is_found.exists(), gap.c.insured_on == any_(bindparam("days", type_=ARRAY(Date)))))
        .order_by(enterprise.c.uscc, gap.c.insured_on, gap.c.series, gap.c.first)
    )


_TOUCHED: Final = query(_select_touched(), _NamedGap)
_SEEN: Final = query(
    select(*(number_range.c[name] for name in SeriesSpan.__struct_fields__))
    .join_from(BOXES.rows, number_range, overlaps(number_range))
    .where(number_range.c.state == "seen", number_range.c.found_on <= DAY),
    SeriesSpan,
)


async def read_gaps_left(
    connection: Connection, day: date, cuts: tuple[Batches, Batches], declared_days: Sequence[date]
) -> list[GapLeft]:
    """The gaps of earlier days that the close of `day` knows more about, with what is left of each."""
    changed = sorted({near for declared in declared_days for near in around(declared)})
    gaps: dict[tuple[str, str, date, bool, int], list[Range]] = defaultdict(list)
    for row in await _TOUCHED.fetch(connection, day=day, days=changed):
        if row.insured_on < day:
            key = (row.uscc, row.series, row.insured_on, row.is_presumed, row.enterprise)
            gaps[key].append(row.numbers)
    if not gaps:
        return []
    boxes: dict[Key, Range] = {}
    for (_, series, _, _, number), ranges in gaps.items():
        first, last = boxes.get((number, series), ranges[0])
        boxes[number, series] = min(first, ranges[0][0]), max(last, ranges[-1][1])
    seen = by_series(await _SEEN.fetch(connection, **box_parameters(boxes), day=day))
    days = sorted({near for _, _, insured_on, _, _ in gaps for near in around(insured_on)})
    held = not_outdated(await read_declared(connection, *cuts, days))
    left = []
    for (uscc, series, insured_on, is_presumed, number), ranges in gaps.items():
        declared = declared_numbers(held, insured_on).get((number, series))
        known = [*seen.get((number, series), []), *(declared.unused if declared else [])]
        missing = united(ranges)
        left.append(GapLeft(uscc, series, insured_on, is_presumed, missing, without(missing, united(known))))
    return [gap for gap in left if gap.left != gap.missing]
