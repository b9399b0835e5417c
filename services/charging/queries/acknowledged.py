"""What was received from an enterprise for a counted day: the facts of its acknowledgement (接收确认)."""

from collections import Counter
from datetime import date
from typing import Any, Final

import msgspec

from services.charging.numbers.day_declarations import read_declared
from services.charging.store.cut import NEW_IN_CUT, read_counted_cut, read_previous_cut
from shared.adapters.postgres.pool import Connection, Pool
from shared.contracts.manifests import Outcome, PremiumsCharged
from shared.domain.books.number_ranges import Range, united
from shared.domain.evidence.acknowledgement import write_ranges

_MANIFESTS: Final = f"select payload from charging.manifest where events > 0 and {NEW_IN_CUT}"
_SEEN: Final = """
    select r.series, r.first, r.last from charging.number_range r join charging.enterprise e on e.id = r.enterprise
    where e.uscc = $1 and r.insured_on = $2 and r.found_on = $2 order by r.series, r.first"""


async def received_of(pool: Pool, uscc: str, day: date) -> dict[str, Any] | None:
    """Events by outcome since the close before, numbers of the day, manifests; None for a day that is not counted.

    Asked again it is the same: everything is within the cut that the day was counted over.
    """
    async with pool.acquire() as connection:
        cut = await read_counted_cut(connection, day)
        if cut is None:
            return None
        previous = await read_previous_cut(connection, day)
        declared = await read_declared(connection, cut, previous, [day], uscc)
        events = await _events(connection, uscc, cut.lasts, previous.lasts)
        return {
            "received": {outcome.value: events[outcome] for outcome in Outcome if events[outcome]},
            "series": {name: write_ranges(ranges) for name, ranges in await _seen(connection, uscc, day)},
            "manifests": [[each.told.declaration_id, each.received.hex()] for each in declared],
        }


async def _events(connection: Connection, uscc: str, cut: list[int], previous: list[int]) -> Counter[Outcome]:
    found: Counter[Outcome] = Counter()
    for row in await connection.fetch(_MANIFESTS, cut, previous):
        for total in msgspec.json.decode(row["payload"], type=PremiumsCharged).totals:
            if total.enterprise == uscc:
                found[total.outcome] += total.orders
    return found


async def _seen(connection: Connection, uscc: str, day: date) -> list[tuple[str, list[Range]]]:
    found: dict[str, list[Range]] = {}
    for row in await connection.fetch(_SEEN, uscc, day):
        found.setdefault(row["series"], []).append((row["first"], row["last"]))
    return [(name, united(ranges)) for name, ranges in found.items()]
