"""Reads what was received from an enterprise for a counted day: the facts of its acknowledgement (接收确认)."""

from collections import Counter
from datetime import date
from typing import Final

from msgspec import Struct
from sqlalchemy import Text, bindparam, select

from services.charging.cut import read_counted_cut, read_previous_cut
from services.charging.numbers.day_declarations import read_declared
from services.charging.parking.received_events import parked_by_reason, read_received
from services.charging.predicates import DAY
from services.charging.tables import enterprise, number_range
from shared.adapters.postgres.pool import Connection, Pool
from shared.adapters.postgres.queries.statements import query
from shared.contracts.manifests import Outcome
from shared.domain.books.number_ranges import Range, united
from shared.domain.evidence.acknowledgement import write_ranges


class Acknowledged(Struct, frozen=True):
    """Events by outcome since the close before, and parked ones by reason; numbers by series; declarations, hashed."""

    received: dict[str, int]
    parked: dict[str, int]
    series: dict[str, str]
    manifests: list[tuple[str, str]]


class _SeenRange(Struct, frozen=True):
    series: str
    first: int
    last: int


_SEEN: Final = query(
    select(number_range.c.series, number_range.c.first, number_range.c.last)
    .join_from(number_range, enterprise, enterprise.c.id == number_range.c.enterprise)
    .where(
        enterprise.c.uscc == bindparam("uscc", type_=Text),
        number_range.c.insured_on == DAY,
        number_range.c.found_on == DAY,
    )
    .order_by(number_range.c.series, number_range.c.first),
    _SeenRange,
)


async def read_acknowledged(pool: Pool, uscc: str, day: date) -> Acknowledged | None:
    """Read what was received; None for a day that is not counted.

    The answer is the same whenever it is read: everything is within the cut that the day was counted over.
    """
    async with pool.acquire() as connection:
        cut = await read_counted_cut(connection, day)
        if cut is None:
            return None
        previous = await read_previous_cut(connection, day)
        declared = await read_declared(connection, cut, previous, [day], uscc)
        endings = await read_received(connection, cut, previous, uscc)
        events: Counter[Outcome] = Counter()
        for ending, count in endings.items():
            events[ending.outcome] += count
        return Acknowledged(
            received={outcome.value: events[outcome] for outcome in Outcome if events[outcome]},
            parked=parked_by_reason(endings),
            series={name: write_ranges(ranges) for name, ranges in await _read_seen(connection, uscc, day)},
            manifests=[(declaration.reported.declaration_id, declaration.received.hex()) for declaration in declared],
        )


async def _read_seen(connection: Connection, uscc: str, day: date) -> list[tuple[str, list[Range]]]:
    ranges: dict[str, list[Range]] = {}
    for row in await _SEEN.fetch(connection, uscc=uscc, day=day):
        ranges.setdefault(row.series, []).append((row.first, row.last))
    return [(name, united(of_series)) for name, of_series in ranges.items()]
