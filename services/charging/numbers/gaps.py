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
from typing import Any, Final

from services.charging.numbers.day_declarations import DeclaredNumbers, around, declared_numbers, holding, read_declared
from services.charging.numbers.seen_ranges import Key, Reach
from shared.adapters.postgres.pool import Connection
from shared.domain.books.number_ranges import Range, Ranges, common, holes, united, without

NEXT_CLOSE: Final = 1
_DUE: Final = """
    select day from charging.accounted_day a where day <= $1
        and not exists (select 1 from charging.judged_day j where (j.day, j.is_presumed) = (a.day, $2)) order by day"""
_SPANS: Final = """
    select enterprise, series, min(first), max(last) from charging.number_range
    where insured_on = $1 group by 1, 2"""
# The ranges of a series from the last number below a span up to its end.
_RANGES: Final = """
    select r.enterprise, r.series, r.first, r.last, r.state, r.insured_on
    from unnest($1::smallint[], $2::text[], $3::bigint[], $4::bigint[]) as box (enterprise, series, first, last)
    left join lateral (
        select b.last from charging.number_range b
        where b.enterprise = box.enterprise and b.series = box.series and b.last < box.first and b.state = 'seen'
        order by b.last desc limit 1) as below on true
    join charging.number_range r on r.enterprise = box.enterprise and r.series = box.series
        and r.first <= box.last and r.last >= coalesce(below.last, box.first)
    where r.state <> 'repeated' and r.found_on <= $5"""
_JUDGED: Final = """
    select g.enterprise, g.series, g.first, g.last
    from unnest($1::smallint[], $2::text[], $3::bigint[], $4::bigint[]) as box (enterprise, series, first, last)
    join charging.number_gap g on g.enterprise = box.enterprise and g.series = box.series
        and g.first <= box.last and g.last >= box.first
    where g.is_presumed = $5"""


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
        for due in await connection.fetch(_DUE, day - timedelta(days=lag), is_presumed):
            await connection.execute("insert into charging.judged_day values ($1, $2, $3)", due[0], is_presumed, day)
            rows = await find_gaps(connection, due[0], day, reach, is_presumed=is_presumed)
            await connection.copy_records_to_table("number_gap", schema_name="charging", records=rows)


async def find_gaps(
    connection: Connection, day: date, closing: date, reach: Reach, *, is_presumed: bool
) -> list[tuple[Any, ...]]:
    """Rows of `number_gap` for one day, as known at a close."""
    held = holding(await read_declared(connection, reach.cut, reach.previous, around(day))).values()
    declared = declared_numbers(held, day)
    boxes = await read_boxes(connection, day, declared)
    stretches = await read_stretches(connection, boxes, day, closing)
    judged: dict[Key, list[Range]] = defaultdict(list)
    # A hole below the day's first number may have been judged as the end of a day before.
    reached = {key: (min([box[0], *(first for first, _ in stretches[key].seen)]), box[1]) for key, box in boxes.items()}
    for row in await connection.fetch(_JUDGED, *_columns(reached), is_presumed):
        judged[row[0], row[1]].append((row[2], row[3]))
    rows: list[tuple[Any, ...]] = []
    for key in sorted(boxes):
        missing = missing_of(stretches[key], declared.get(key), judged.get(key, []))
        said = declared[key].used_around if key in declared else []
        rows += [(*key, *gap, day, is_presumed, False) for gap in without(missing, said)]
        rows += [(*key, *gap, day, is_presumed, True) for gap in common(missing, said)]
    return rows


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
    for row in await connection.fetch(_RANGES, *_columns(boxes), found_by):
        stretch, span = stretches[row["enterprise"], row["series"]], (row["first"], row["last"])
        if row["state"] == "seen":
            stretch.seen.append(span)
            stretch.mine += [span] if row["insured_on"] == day else []
        else:
            stretch.kept.append(span)
    return stretches


async def read_boxes(connection: Connection, day: date, declared: dict[Key, DeclaredNumbers]) -> dict[Key, Range]:
    """From the first to the last number that the day has of a series, seen or declared used."""
    spans = await connection.fetch(_SPANS, day)
    boxes: dict[Key, Range] = {(row[0], row[1]): (row[2], row[3]) for row in spans}
    for key, numbers in declared.items():
        if numbers.used:
            first, last = boxes.get(key, (numbers.used[0][0], 0))
            boxes[key] = (min(first, numbers.used[0][0]), max(last, numbers.used[-1][1]))
    return boxes


def _columns(boxes: dict[Key, Range]) -> list[list[Any]]:
    rows = [(*key, *box) for key, box in boxes.items()]
    return [list(column) for column in zip(*rows, strict=True)] or [[], [], [], []]
