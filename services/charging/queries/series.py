"""The numbers of an enterprise's series as ranges: what became of each (GET /v1/enterprises/{uscc}/series)."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import date
from typing import Final

from msgspec import Struct
from sqlalchemy import BigInteger, Date, SmallInteger, Text, bindparam, func, or_, select, union_all

from services.charging.cut import Batches, read_counted_cut, read_previous_cut
from services.charging.numbers.day_declarations import Declared, holding, read_declared
from services.charging.parking.received_events import Ending, parked_by_reason, read_received
from services.charging.tables import accounted_day, enterprise, number_gap, number_range
from shared.adapters.postgres.pool import Connection, Pool
from shared.adapters.postgres.queries.statements import query, values
from shared.domain.books.number_ranges import (
    Range,
    Ranges,
    clipped,
    count_of,
    described,
    ranges_of_bitmap,
    united,
    without,
)

STATES: Final = ("seen", "excluded", "repeated", "conflict", "parked", "scattered", "declared_unused")
MISSING: Final = "missing"


class _Span(Struct, frozen=True):
    series: str
    first: int
    last: int


class _StateRange(Struct, frozen=True):
    first: int
    last: int
    state: str
    excluded: bytes | None


class _LastDay(Struct, frozen=True):
    day: date | None


_ENTERPRISE: Final = bindparam("enterprise", type_=SmallInteger)
_DAY: Final = bindparam("day", type_=Date)
_SERIES: Final = bindparam("series", type_=Text)
_ID: Final = values(select(enterprise.c.id).where(enterprise.c.uscc == bindparam("uscc", type_=Text)), int)
_ACCOUNTED: Final = query(select(func.max(accounted_day.c.day).label("day")), _LastDay)
_KNOWN: Final = union_all(
    *(
        select(table.c.series, table.c.first, table.c.last).where(
            table.c.enterprise == _ENTERPRISE,
            or_(_SERIES.is_(None), table.c.series == _SERIES),
            or_(_DAY.is_(None), table.c.insured_on == _DAY),
        )
        for table in (number_range, number_gap)
    )
).subquery("x")
_SPANS: Final = query(
    select(_KNOWN.c.series, func.min(_KNOWN.c.first).label("first"), func.max(_KNOWN.c.last).label("last"))
    .group_by(_KNOWN.c.series)
    .order_by(_KNOWN.c.series),
    _Span,
)
_RANGES: Final = query(
    select(number_range.c.first, number_range.c.last, number_range.c.state, number_range.c.excluded).where(
        number_range.c.enterprise == _ENTERPRISE,
        number_range.c.series == _SERIES,
        number_range.c.last >= bindparam("first", type_=BigInteger),
        number_range.c.first <= bindparam("last", type_=BigInteger),
    ),
    _StateRange,
)


@dataclass(frozen=True, slots=True)
class SeriesRequest:
    """The series of an insured day, or one series; numbers from `after` on, so many ranges of each."""

    uscc: str
    day: date | None
    series: str | None
    after: int
    limit: int


class DeclarationName(Struct, frozen=True):
    """A day's declaration that was received, with SHA-256 of its bytes; `revision` is None where it is not signed."""

    declaration_id: str
    day: date
    revision: int | None
    received_sha256: str


class RangeStates(Struct, frozen=True):
    """Every state that holds from the first to the last number."""

    first: int
    last: int
    states: list[str]


class SeriesNumbers(Struct, frozen=True):
    """One series: numbers by state over its span, the first ranges, and where the next one begins, if there is one."""

    series: str
    first: int
    last: int
    counts: dict[str, int]
    ranges: list[RangeStates]
    next: int | None


class EnterpriseSeries(Struct, frozen=True):
    """What closes found of an enterprise's numbers, up to the last day whose numbers are accounted for.

    Of a day, `events` are those that its close was the first to reach, and `parked` those of them that were parked.
    """

    enterprise: str
    accounted_through: date | None
    events: int
    parked: dict[str, int]
    declarations: list[DeclarationName]
    series: list[SeriesNumbers]


@dataclass(slots=True)
class _DeclaredRanges:
    """What the declarations that hold say of one series."""

    numbers: list[Range] = field(default_factory=list)
    unused: list[Range] = field(default_factory=list)


class SeriesQueries:
    """Answers over a pool; numbers of days that are not counted yet are not there."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def read(self, request: SeriesRequest) -> EnterpriseSeries | None:
        """Read the ranges that are requested; None for an enterprise that is not registered."""
        async with self._pool.acquire() as connection, connection.transaction(isolation="repeatable_read"):
            enterprise_id = await _ID.fetch_first(connection, uscc=request.uscc)
            if enterprise_id is None:
                return None
            declared = await read_declared(connection, None, Batches([]), uscc=request.uscc)
            held = list(holding(declared).values())
            spans = await _read_spans(connection, enterprise_id, request, _declared_ranges(held, request.day))
            by_series = _declared_ranges(held, None)
            endings = await _read_endings(connection, request)
            return EnterpriseSeries(
                enterprise=request.uscc,
                accounted_through=(await _ACCOUNTED.fetch_one(connection)).day,
                events=endings.total(),
                parked=parked_by_reason(endings),
                declarations=[_name(one) for one in declared if request.day in (None, one.day)],
                series=[
                    await _read_series(connection, enterprise_id, request, name, span, by_series[name])
                    for name, span in spans.items()
                ],
            )


async def _read_endings(connection: Connection, request: SeriesRequest) -> Counter[Ending]:
    cut = None if request.day is None else await read_counted_cut(connection, request.day)
    if cut is None or request.day is None:
        return Counter()
    return await read_received(connection, cut, await read_previous_cut(connection, request.day), request.uscc)


async def _read_spans(
    connection: Connection, enterprise_id: int, request: SeriesRequest, declared: dict[str, _DeclaredRanges]
) -> dict[str, Range]:
    """First and last number that was seen, found missing or declared, by series."""
    rows = await _SPANS.fetch(connection, enterprise=enterprise_id, day=request.day, series=request.series)
    ranges: dict[str, list[Range]] = {row.series: [(row.first, row.last)] for row in rows}
    for name, of_series in declared.items():
        if request.series in (None, name) and of_series.numbers:
            ranges.setdefault(name, []).extend(of_series.numbers)
    return {name: (min(map(min, known)), max(map(max, known))) for name, known in sorted(ranges.items())}


def _declared_ranges(held: list[Declared], day: date | None) -> dict[str, _DeclaredRanges]:
    by_series: dict[str, _DeclaredRanges] = defaultdict(_DeclaredRanges)
    for declared in held:
        if day in (None, declared.day):
            for series in declared.reported.series:
                used, unused = ([(n.first, n.last) for n in numbers if n.first <= n.last]
                                for numbers in (series.used, series.unused))  # fmt: skip
                by_series[series.series].numbers += used + unused
                by_series[series.series].unused += unused
    return by_series


async def _read_series(
    connection: Connection,
    enterprise_id: int,
    request: SeriesRequest,
    name: str,
    span: Range,
    declared: _DeclaredRanges,
) -> SeriesNumbers:
    first, last = max(span[0], request.after), max(span[1], request.after - 1)
    states: dict[str, list[Range]] = {state: [] for state in STATES}
    for row in await _RANGES.fetch(connection, enterprise=enterprise_id, series=name, first=first, last=last):
        states[row.state].append((row.first, row.last))
        states["excluded"] += ranges_of_bitmap(row.first, row.excluded)
    states["declared_unused"] += declared.unused
    inside: dict[str, Ranges] = {state: clipped(united(ranges), first, last) for state, ranges in states.items()}
    # Parked is neither seen nor missing; a number that came since is seen.
    inside["parked"] = without(inside["parked"], inside["seen"])
    ranges = described((first, last), inside, MISSING) if first <= last else []
    counts = {state: count_of(of_state) for state, of_state in inside.items()}
    counts[MISSING] = count_of((begin, end) for begin, end, names in ranges if names == [MISSING])
    return SeriesNumbers(
        series=name,
        first=first,
        last=last,
        counts=counts,
        ranges=[RangeStates(begin, end, names) for begin, end, names in ranges[: request.limit]],
        next=ranges[request.limit][0] if len(ranges) > request.limit else None,
    )


def _name(declared: Declared) -> DeclarationName:
    return DeclarationName(declared.reported.declaration_id, declared.day, declared.revision, declared.received.hex())
