"""The numbers of an enterprise's series, told as ranges: what became of each (GET /v1/enterprises/{uscc}/series)."""

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Final

from services.charging.numbers.day_declarations import Declared, holding, read_declared
from services.charging.store.cut import Batches
from shared.adapters.postgres.pool import Connection, Pool
from shared.domain.books.number_ranges import Range, Ranges, clipped, count_of, described, ranges_of_bitmap, united

STATES: Final = ("seen", "excluded", "repeated", "conflict", "parked", "scattered", "declared_unused")
MISSING: Final = "missing"
_ACCOUNTED: Final = "select max(day) from charging.accounted_day"
_SPANS: Final = """
    select series, min(first), max(last) from (
        select series, first, last from charging.number_range r
        where enterprise = $1 and ($3::text is null or series = $3) and ($2::date is null or insured_on = $2)
        union all
        select series, first, last from charging.number_gap
        where enterprise = $1 and ($3::text is null or series = $3) and ($2::date is null or insured_on = $2)) x
    group by series order by series"""
_RANGES: Final = """
    select first, last, state, excluded from charging.number_range
    where enterprise = $1 and series = $2 and last >= $3 and first <= $4"""


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked for: the series of an insured day, or one series; numbers from `after` on, so many ranges each."""

    uscc: str
    day: date | None
    series: str | None
    after: int
    limit: int


@dataclass(slots=True)
class _Said:
    """What the manifests that hold say of one series."""

    numbers: list[Range] = field(default_factory=list)
    unused: list[Range] = field(default_factory=list)


class SeriesLookup:
    """Reads what the closes found; numbers of days that are not counted yet are not there."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def told(self, asked: Asked) -> dict[str, Any] | None:
        """The answer in JSON's types; None for an enterprise that is not registered."""
        async with self._pool.acquire() as connection, connection.transaction(isolation="repeatable_read"):
            enterprise = await connection.fetchval("select id from charging.enterprise where uscc = $1", asked.uscc)
            if enterprise is None:
                return None
            declared = await read_declared(connection, None, Batches([]), uscc=asked.uscc)
            held = list(holding(declared).values())
            spans = await _spans(connection, enterprise, asked, _said(held, asked.day))
            said = _said(held, None)
            return {
                "enterprise": asked.uscc,
                "accounted_through": await connection.fetchval(_ACCOUNTED),
                "declarations": [_declaration(each) for each in declared if asked.day in (None, each.day)],
                "series": [
                    await _told(connection, enterprise, asked, name, span, said[name]) for name, span in spans.items()
                ],
            }


async def _spans(connection: Connection, enterprise: int, asked: Asked, said: dict[str, _Said]) -> dict[str, Range]:
    """First and last number that was seen, found missing or declared, by series."""
    found: dict[str, list[Range]] = {
        row[0]: [(row[1], row[2])] for row in await connection.fetch(_SPANS, enterprise, asked.day, asked.series)
    }
    for name, each in said.items():
        if asked.series in (None, name) and each.numbers:
            found.setdefault(name, []).extend(each.numbers)
    return {name: (min(map(min, each)), max(map(max, each))) for name, each in sorted(found.items())}


def _said(held: list[Declared], day: date | None) -> dict[str, _Said]:
    found: dict[str, _Said] = defaultdict(_Said)
    for each in held:
        if day in (None, each.day):
            for series in each.told.series:
                used, unused = ([(n.first, n.last) for n in some if n.first <= n.last]
                                for some in (series.used, series.unused))  # fmt: skip
                found[series.series].numbers += used + unused
                found[series.series].unused += unused
    return found


async def _told(
    connection: Connection, enterprise: int, asked: Asked, series: str, span: Range, said: _Said
) -> dict[str, Any]:
    span = (max(span[0], asked.after), max(span[1], asked.after - 1))
    states: dict[str, list[Range]] = {state: [] for state in STATES}
    for row in await connection.fetch(_RANGES, enterprise, series, *span):
        states[row["state"]].append((row["first"], row["last"]))
        states["excluded"] += ranges_of_bitmap(row["first"], row["excluded"])
    states["declared_unused"] += said.unused
    inside: dict[str, Ranges] = {name: clipped(united(each), *span) for name, each in states.items()}
    ranges = described(span, inside, MISSING) if span[0] <= span[1] else []
    shown = ranges[: asked.limit]
    counts = {name: count_of(each) for name, each in inside.items()}
    counts[MISSING] = count_of((first, last) for first, last, names in ranges if names == [MISSING])
    return {
        "series": series,
        "first": span[0],
        "last": span[1],
        "counts": counts,
        "ranges": [{"first": first, "last": last, "states": names} for first, last, names in shown],
        "next": ranges[asked.limit][0] if len(ranges) > asked.limit else None,
    }


def _declaration(each: Declared) -> dict[str, Any]:
    """`revision` is None for one that is not signed."""
    return {
        "declaration_id": each.told.declaration_id,
        "day": each.day,
        "revision": each.revision,
        "received_sha256": each.received.hex(),
    }
