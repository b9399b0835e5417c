"""Number accounting (单号核对): at the count of a day, the numbers of every series that came, as ranges.

In the transaction of the count, once a day, set-wise: the database folds acceptances into words of 64 numbers, so what
reaches this process is a sixty-fourth of the rows, and no row is sorted.

A number counts as *seen* where a row has its acceptance; *repeated* where two orders have it (an order that
was sent again under another acceptance time is one order); in *conflict* or *parked* where the bytes could be read. A
repeat leaves no row: one that was given another number leaves that number missing.
"""

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Final, NamedTuple

from msgspec.structs import astuple

from services.charging.cut import Batches, Late, reading_few
from services.charging.numbers.seen_queries import (
    ACCOUNT,
    EARLIER,
    ENTERPRISES,
    IS_ACCOUNTED,
    KEPT,
    KEPT_ROWS,
    LATE_WORDS,
    NEW_BATCHES,
    SENT_AGAIN,
    SENT_TWICE,
    TORN,
    TWICE,
    WORDS,
    NumberRange,
    Torn,
    Word,
)
from services.charging.numbers.series_spans import BOXES, Key, SeriesSpan, by_series
from shared.adapters.postgres.pool import Connection
from shared.contracts.topics import enterprise_of
from shared.domain.books.number_ranges import Range, Ranges, bitmap, common, ranges_of_words, united, without
from shared.domain.calendar import day_bounds

RESENT_WITHIN: Final = timedelta(days=62)
"""How far back re-sends are searched: they are found within a month of each other."""
MOST_RANGES: Final = 100_000
"""Of a series and day. More are a fault of numbering: such a day of a series is a finding, and its numbers are neither
seen nor missing, or random numbers would make a row an order, and gaps without end."""


class Reach(NamedTuple):
    """Scope of a close: its cut, the one before, and late batches."""

    cut: Batches
    previous: Batches
    late: Late


@dataclass(slots=True)
class _Words:
    """Words of one series and insured day."""

    seen: dict[int, int] = field(default_factory=dict)
    excluded: dict[int, int] = field(default_factory=dict)
    torn: list[int] = field(default_factory=list)
    """Words with more uses than numbers, orders sent again aside."""

    def take(self, row: Word, repeats: int) -> None:
        """`repeats` of the row's uses are orders sent again, in addition to the number's use by that order."""
        seen = row.seen & 0xFFFF_FFFF_FFFF_FFFF
        self.seen[row.word] = seen
        if row.excluded:
            self.excluded[row.word] = row.excluded & 0xFFFF_FFFF_FFFF_FFFF
        if row.uses - repeats != seen.bit_count():
            self.torn.append(row.word)

    def ranges(self) -> Ranges:
        return ranges_of_words(sorted(self.seen.items()))


async def account_numbers(connection: Connection, day: date, reach: Reach, most_ranges: int = MOST_RANGES) -> bool:
    """Write the ranges of a day's acceptances and of late ones; once a day, False for another attempt."""
    if await IS_ACCOUNTED.fetch_one(connection, day=day):
        return False
    words = await _read_words(connection, day, reach)
    seen = {key: of_series.ranges() for key, of_series in words.items()}
    repeated = await _repeated(connection, day, reach, words, seen)
    await ACCOUNT.execute(connection, day=day)
    rows = [
        NumberRange(*key, first, last, "seen", accepted_on, day, bitmap(words[accepted_on, key].excluded, first, last))
        for (accepted_on, key), ranges in seen.items()
        for first, last in ranges
        if len(ranges) <= most_ranges
    ]
    rows += _rows("scattered", day, _scattered(seen, most_ranges))
    rows += _rows("repeated", day, repeated)
    for state in KEPT:
        rows += _rows(state, day, await _kept(connection, state, reach))
    await connection.copy_records_to_table(
        "number_range",
        schema_name="charging",
        columns=NumberRange.__struct_fields__,
        records=[astuple(row) for row in rows],
    )
    return True


def _scattered(seen: dict[tuple[date, Key], Ranges], most_ranges: int) -> dict[Key, Ranges]:
    """First and last number of each series with more ranges than `most_ranges`."""
    scattered: dict[Key, list[Range]] = defaultdict(list)
    for (_, key), ranges in seen.items():
        scattered[key] += ranges if len(ranges) > most_ranges else []
    return {key: [(min(ranges)[0], max(ranges)[1])] for key, ranges in scattered.items() if ranges}


def _rows(state: str, day: date, numbers: dict[Key, Ranges]) -> list[NumberRange]:
    return [
        NumberRange(*key, first, last, state, None, day, None)
        for key, ranges in numbers.items()
        for first, last in ranges
    ]


async def _read_words(connection: Connection, day: date, reach: Reach) -> dict[tuple[date, Key], _Words]:
    begin, end = day_bounds(day)
    words: dict[tuple[date, Key], _Words] = defaultdict(_Words)
    rows = await WORDS.fetch(connection, cut=reach.cut.lasts, begin=begin, end=end, day=day)
    if reach.late.batches:
        async with reading_few(connection):
            rows += await LATE_WORDS.fetch(
                connection, batches=reach.late.batches, first_begin=reach.late.begin, begin=begin
            )
    sent_twice = await SENT_TWICE.fetch(connection, cut=reach.cut.lasts, begin=begin, end=end)
    repeats = {(row.enterprise, row.series, row.word): row.uses for row in sent_twice}
    for row in rows:
        of_order = repeats.get((row.enterprise, row.series, row.word), 0) if row.insured_on == day else 0
        words[row.insured_on, (row.enterprise, row.series)].take(row, of_order)
    return words


async def _repeated(
    connection: Connection,
    day: date,
    reach: Reach,
    words: dict[tuple[date, Key], _Words],
    seen: dict[tuple[date, Key], Ranges],
) -> dict[Key, Ranges]:
    """Numbers that another order has, too: within these rows, or in rows that an earlier close found."""
    repeated: dict[Key, list[Range]] = defaultdict(list)
    torn = [Torn(*key, word) for (_, key), of_series in words.items() for word in of_series.torn]
    if torn:
        begin = min(accepted_on for (accepted_on, _), of_series in words.items() if of_series.torn)
        twice = await TWICE.fetch(
            connection, **TORN.parameters(torn), cut=reach.cut.lasts, first_begin=day_bounds(begin)[0],
            end=day_bounds(day)[1],
        )  # fmt: skip
        for row in twice:
            repeated[row.enterprise, row.series].append((row.sequence, row.sequence))
    seen_again = _seen_again(seen, await _earlier(connection, seen))
    if seen_again:
        sent_again = await _sent_again(connection, day)
        for key, ranges in seen_again.items():
            repeated[key] += without(ranges, sent_again.get(key, []))
    return {key: united(ranges) for key, ranges in repeated.items()}


async def _earlier(connection: Connection, seen: dict[tuple[date, Key], Ranges]) -> dict[Key, Ranges]:
    """Ranges that earlier closes saw between the first and last of these numbers."""
    boxes = [SeriesSpan(*key, ranges[0][0], ranges[-1][1]) for (_, key), ranges in seen.items()]
    return by_series(await EARLIER.fetch(connection, **BOXES.parameters(boxes))) if boxes else {}


def _seen_again(seen: dict[tuple[date, Key], Ranges], earlier: dict[Key, Ranges]) -> dict[Key, Ranges]:
    """Numbers of one insured day that were seen before, or on another insured day of the same close."""
    again: dict[Key, list[Range]] = defaultdict(list)
    known = dict(earlier)
    for (_, key), ranges in sorted(seen.items()):
        before = known.get(key, [])
        again[key] += common(ranges, before)
        known[key] = united([*before, *ranges])
    return {key: united(ranges) for key, ranges in again.items() if ranges}


async def _sent_again(connection: Connection, day: date) -> dict[Key, Ranges]:
    numbers = await SENT_AGAIN.fetch(connection, since=day - RESENT_WITHIN)
    return by_series(SeriesSpan(row.enterprise, row.series, row.sequence, row.sequence) for row in numbers)


async def read_new_batches(connection: Connection, reach: Reach) -> list[int]:
    """Batches of events that no earlier close reached."""
    return await NEW_BATCHES.fetch(connection, cut=reach.cut.lasts, previous=reach.previous.lasts)


async def _kept(connection: Connection, table: str, reach: Reach) -> dict[Key, Ranges]:
    """Numbers in parked events or conflicts, of batches that no earlier close reached."""
    batches = await read_new_batches(connection, reach)
    ids = {row.uscc: row.id for row in await ENTERPRISES.fetch(connection)}
    numbers: list[SeriesSpan] = []
    async for block in KEPT[table].blocks(connection, KEPT_ROWS, batches=batches):
        for row in block:
            enterprise_id = ids.get(enterprise_of(row.topic) or "")
            if enterprise_id is not None:
                numbers.append(SeriesSpan(enterprise_id, row.series, row.sequence, row.sequence))
    return by_series(numbers)
