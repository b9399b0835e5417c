"""Read what became of the events that a close was the first to reach, from their manifests."""

from collections import Counter
from typing import Final, NamedTuple

import msgspec
from sqlalchemy import select

from services.charging.cut import Batches
from services.charging.predicates import new_in_cut
from services.charging.tables import manifest
from shared.adapters.postgres.pool import Connection
from shared.adapters.postgres.queries.statements import values
from shared.contracts.manifests import Outcome, PremiumsCharged

_MANIFESTS: Final = values(select(manifest.c.payload).where(manifest.c.events > 0, new_in_cut(manifest)), bytes)


class Ending(NamedTuple):
    """The enterprise of an event, what became of it, and why, if there is a reason."""

    enterprise: str
    outcome: Outcome
    reason: str | None


async def read_received(
    connection: Connection, cut: Batches, previous: Batches, uscc: str | None = None
) -> Counter[Ending]:
    """How many events ended so, of one enterprise or of all: those that the cut reaches and the one before did not."""
    events: Counter[Ending] = Counter()
    for payload in await _MANIFESTS.fetch(connection, cut=cut.lasts, previous=previous.lasts):
        for total in msgspec.json.decode(payload, type=PremiumsCharged).totals:
            if uscc in (None, total.enterprise):
                events[Ending(total.enterprise, total.outcome, total.reason)] += total.orders
    return events


def parked_by_reason(endings: Counter[Ending]) -> dict[str, int]:
    """Parked events by their reason, in the order of the reasons."""
    parked: Counter[str] = Counter()
    for ending, count in endings.items():
        if ending.outcome is Outcome.PARKED and ending.reason is not None:
            parked[ending.reason] += count
    return dict(sorted(parked.items()))
