"""Number accounting (单号核对): at the count of a day, the numbers of every series that came, as ranges.

In the transaction of the count, once a day, set-wise: the database folds acceptances into words of 64 numbers, so what
reaches this process is a sixty-fourth of the rows, and no row is sorted.

A number counts as *seen* where a row has its acceptance; *repeated* where two orders have it (an order that
was sent again under another acceptance time is one order); in *conflict* or *parked* where the bytes could be read. A
repeat leaves no row: one that was given another number leaves that number missing.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any, Final, NamedTuple

from services.charging.store.cut import IN_CUT, NEW_IN_CUT, Batches, Late, reached_sql, reading_few
from shared.adapters.postgres.pool import Connection
from shared.contracts.topics import enterprise_of
from shared.domain.books.number_ranges import Range, Ranges, bitmap, common, ranges_of_words, united, without
from shared.domain.calendar import day_bounds

# $1 cut, then the day's bounds.
_BITS: Final = """enterprise, series, sequence >> 6 as word, count(*) as uses,
        bit_or(1::bigint << (sequence & 63)::int) as seen,
        bit_or(case when reason = 0 then 0 else 1::bigint << (sequence & 63)::int end) as excluded
    from charging.entry where kind = 1"""
_WORDS: Final = f"""
    select $4::date as insured_on, {_BITS} and accepted_at >= $2 and accepted_at < $3 and {IN_CUT}
    group by enterprise, series, sequence >> 6"""
_LATE_WORDS: Final = f"""
    select (accepted_at at time zone interval '8 hours')::date as insured_on, {_BITS}
        and accepted_at >= $3 and accepted_at < $2 and batch = any($1::bigint[])
    group by 1, enterprise, series, sequence >> 6"""
# Numbers that an order sent again within the day has once more: that is one order, and no row of it needs comparing.
_SENT_TWICE: Final = f"""
    select n.enterprise, n.series, n.sequence >> 6 as word, count(*) as uses from charging.resend s
    join charging.entry n on (n.accepted_at, n.enterprise, n.order_id, n.worker_key, n.kind)
        = (s.accepted_at, s.enterprise, s.order_id, s.worker_key, 1)
    join charging.entry k on (k.accepted_at, k.enterprise, k.order_id, k.worker_key, k.kind, k.worker_rest)
        = (s.kept_accepted_at, s.enterprise, s.order_id, s.worker_key, 1, n.worker_rest)
    where (n.series, n.sequence) = (k.series, k.sequence) and s.accepted_at >= $2 and s.accepted_at < $3
        and n.accepted_at >= $2 and n.accepted_at < $3 and {reached_sql("n.batch")}
        and k.accepted_at >= $2 and k.accepted_at < $3 and {reached_sql("k.batch")}
    group by 1, 2, 3"""
# Numbers of the words in $3 to $5 that two orders have, or one order with two workers, accepted from $6 up to $2.
_TWICE: Final = f"""
    select enterprise, series, sequence from charging.entry
    join unnest($3::smallint[], $4::text[], $5::bigint[]) as w (enterprise, series, word) using (enterprise, series)
    where kind = 1 and sequence >> 6 = word and accepted_at >= $6 and accepted_at < $2 and {IN_CUT}
    group by 1, 2, 3 having count(distinct (order_id, worker_key, worker_rest)) > 1"""
_EARLIER: Final = """
    select r.enterprise, r.series, r.first, r.last
    from unnest($1::smallint[], $2::text[], $3::bigint[], $4::bigint[]) as box (enterprise, series, first, last)
    join charging.number_range r on r.enterprise = box.enterprise and r.series = box.series
        and r.last >= box.first and r.first <= box.last
    where r.state = 'seen'"""
_SENT_AGAIN: Final = """
    select n.enterprise, n.series, n.sequence from charging.resend s
    join charging.entry n on (n.accepted_at, n.enterprise, n.order_id, n.worker_key, n.kind)
        = (s.accepted_at, s.enterprise, s.order_id, s.worker_key, 1)
    where s.found_on >= $1"""
_NEW_BATCHES: Final = f"select array_agg(batch) from charging.manifest where events > 0 and {NEW_IN_CUT}"
_KEPT: Final = "select topic, series, sequence from charging.{} where batch = any($1::bigint[]) and series is not null"
RESENT_WITHIN: Final = timedelta(days=62)
"""How far back re-sends are searched: they are found within a month of each other."""
MOST_RANGES: Final = 100_000
"""Of a series and day. More are a fault of numbering: such a day of a series is a finding, and its numbers are neither
seen nor missing, or random numbers would make a row an order, and gaps without end."""
COLUMNS: Final = ("enterprise", "series", "first", "last", "state", "insured_on", "found_on", "excluded")

Key = tuple[int, str]
"""Enterprise (this database's number) and series."""


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

    def take(self, row: Any, repeats: int) -> None:
        """`repeats` of the row's uses are orders sent again, in addition to the number's use by that order."""
        word, seen = row["word"], row["seen"] & 0xFFFF_FFFF_FFFF_FFFF
        self.seen[word] = seen
        if row["excluded"]:
            self.excluded[word] = row["excluded"] & 0xFFFF_FFFF_FFFF_FFFF
        if row["uses"] - repeats != seen.bit_count():
            self.torn.append(word)

    def ranges(self) -> Ranges:
        return ranges_of_words(sorted(self.seen.items()))


async def account_numbers(connection: Connection, day: date, reach: Reach, most_ranges: int = MOST_RANGES) -> bool:
    """Write the ranges of a day's acceptances and of late ones; once a day, False for another attempt."""
    if await connection.fetchval("select exists (select 1 from charging.accounted_day where day = $1)", day):
        return False
    words = await _read_words(connection, day, reach)
    seen = {key: of_series.ranges() for key, of_series in words.items()}
    repeated = await _repeated(connection, day, reach, words, seen)
    await connection.execute("insert into charging.accounted_day values ($1)", day)
    rows: list[tuple[Any, ...]] = [
        (*key, first, last, "seen", insured_on, day, bitmap(words[insured_on, key].excluded, first, last))
        for (insured_on, key), ranges in seen.items()
        for first, last in ranges
        if len(ranges) <= most_ranges
    ]
    rows += _rows("scattered", day, _scattered(seen, most_ranges))
    rows += _rows("repeated", day, repeated)
    for state in ("conflict", "parked"):
        rows += _rows(state, day, await _kept(connection, state, reach))
    await connection.copy_records_to_table("number_range", schema_name="charging", columns=COLUMNS, records=rows)
    return True


def _scattered(seen: dict[tuple[date, Key], Ranges], most_ranges: int) -> dict[Key, Ranges]:
    """First and last number of each series with more ranges than `most_ranges`."""
    scattered: dict[Key, list[Range]] = defaultdict(list)
    for (_, key), ranges in seen.items():
        scattered[key] += ranges if len(ranges) > most_ranges else []
    return {key: [(min(ranges)[0], max(ranges)[1])] for key, ranges in scattered.items() if ranges}


def _rows(state: str, day: date, numbers: dict[Key, Ranges]) -> list[tuple[Any, ...]]:
    return [(*key, first, last, state, None, day, None) for key, ranges in numbers.items() for first, last in ranges]


async def _read_words(connection: Connection, day: date, reach: Reach) -> dict[tuple[date, Key], _Words]:
    begin, end = day_bounds(day)
    words: dict[tuple[date, Key], _Words] = defaultdict(_Words)
    rows = await connection.fetch(_WORDS, reach.cut.lasts, begin, end, day)
    if reach.late.batches:
        async with reading_few(connection):
            rows += await connection.fetch(_LATE_WORDS, reach.late.batches, begin, reach.late.begin)
    repeats = {tuple(row[:3]): row["uses"] for row in await connection.fetch(_SENT_TWICE, reach.cut.lasts, begin, end)}
    for row in rows:
        insured_on, enterprise, series, word = row[:4]
        of_order = repeats.get((enterprise, series, word), 0) if insured_on == day else 0
        words[insured_on, (enterprise, series)].take(row, of_order)
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
    torn = [(*key, word) for (_, key), of_series in words.items() for word in of_series.torn]
    if torn:
        begin = min(insured_on for (insured_on, _), of_series in words.items() if of_series.torn)
        bounds = (day_bounds(day)[1], *map(list, zip(*torn, strict=True)), day_bounds(begin)[0])
        for row in await connection.fetch(_TWICE, reach.cut.lasts, *bounds):
            repeated[row[0], row[1]].append((row[2], row[2]))
    overlaps = _overlaps(seen, await _earlier(connection, seen))
    if overlaps:
        sent_again = await _sent_again(connection, day)
        for key, ranges in overlaps.items():
            repeated[key] += without(ranges, sent_again.get(key, []))
    return {key: united(ranges) for key, ranges in repeated.items()}


async def _earlier(connection: Connection, seen: dict[tuple[date, Key], Ranges]) -> dict[Key, Ranges]:
    """Ranges that earlier closes saw between the first and last of these numbers."""
    boxes = [(*key, ranges[0][0], ranges[-1][1]) for (_, key), ranges in seen.items()]
    if not boxes:
        return {}
    earlier: dict[Key, list[Range]] = defaultdict(list)
    for row in await connection.fetch(_EARLIER, *map(list, zip(*boxes, strict=True))):
        earlier[row[0], row[1]].append((row[2], row[3]))
    return {key: united(ranges) for key, ranges in earlier.items()}


def _overlaps(seen: dict[tuple[date, Key], Ranges], earlier: dict[Key, Ranges]) -> dict[Key, Ranges]:
    """Numbers of one insured day that were seen before, or on another insured day of the same close."""
    overlaps: dict[Key, list[Range]] = defaultdict(list)
    known = dict(earlier)
    for (_, key), ranges in sorted(seen.items()):
        before = known.get(key, [])
        overlaps[key] += common(ranges, before)
        known[key] = united([*before, *ranges])
    return {key: united(ranges) for key, ranges in overlaps.items() if ranges}


async def _sent_again(connection: Connection, day: date) -> dict[Key, Ranges]:
    rows = await connection.fetch(_SENT_AGAIN, day - RESENT_WITHIN)
    return _by_series((row[0], row[1], row[2]) for row in rows)


async def _kept(connection: Connection, table: str, reach: Reach) -> dict[Key, Ranges]:
    """Numbers in parked events or conflicts, of batches that no earlier close reached."""
    batches = await connection.fetchval(_NEW_BATCHES, reach.cut.lasts, reach.previous.lasts)
    ids = {row["uscc"]: row["id"] for row in await connection.fetch("select uscc, id from charging.enterprise")}
    numbers: list[tuple[int, str, int]] = []
    async for row in connection.cursor(_KEPT.format(table), batches or [], prefetch=1_000):
        uscc = enterprise_of(row["topic"]) or ""
        if uscc in ids:
            numbers.append((ids[uscc], row["series"], row["sequence"]))
    return _by_series(numbers)


def _by_series(numbers: Iterable[Sequence[Any]]) -> dict[Key, Ranges]:
    by_series: dict[Key, list[Range]] = defaultdict(list)
    for enterprise, series, number in numbers:
        by_series[enterprise, series].append((number, number))
    return {key: united(ranges) for key, ranges in by_series.items()}
