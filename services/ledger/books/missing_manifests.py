"""Missing manifests: which numbers the inbox waits for, and fetching them from charging's API.

A manifest that waits for a number which no deployment knows is quarantined after `message_wait_seconds`: a made-up one
would be waited for without end. Sent or replayed again it waits again.
"""

from math import inf
from typing import Final

import httpx
import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.ledger.books.booking import book_all_waiting, take_manifest
from services.ledger.books.open_days import ledger_lock
from services.ledger.books.refused_messages import keep_refused
from shared.contracts.quarantine import QuarantineReason
from shared.contracts.topics import MANIFESTS
from shared.domain.evidence.authors import Authors

log = structlog.get_logger(__name__)
QUERY_SECONDS: Final = 3.0
"""Pause between two checks of the inbox."""
MOST_QUERIED: Final = 500
"""Numbers requested in one check; a longer gap is filled in several."""

_MISSING = text("""
with waiting as (select run, min(number) as first, min(received_at) as since from ledger.manifest_inbox group by run),
     next as (select w.*, coalesce((select max(number) from ledger.manifest_booked b where b.run = w.run), 0) + 1
                          as number
              from waiting w)
select run, generate_series(number, first - 1) as number, since from next where first > number
order by since, run, number limit :most
""")
_OVERDUE = text("""
select run, number, payload from ledger.manifest_inbox
where run = :run and number > :number and received_at < now() - make_interval(secs => :seconds)
order by number
""")
_TAKE_OUT = text("delete from ledger.manifest_inbox where run = :run and number = :number")
_OLDEST = text("""
select extract(epoch from now() - min(w.since)) from (
    select run, min(number) as first, min(received_at) as since from ledger.manifest_inbox group by run) w
where w.first > coalesce((select max(number) from ledger.manifest_booked b where b.run = w.run), 0) + 1
""")


async def read_missing(connection: AsyncConnection) -> list[tuple[str, int]]:
    """Run and number of every manifest that a later one of its run waits for, longest waited for first."""
    rows = await connection.execute(_MISSING, {"most": MOST_QUERIED})
    return [(row.run, row.number) for row in rows]


async def read_gap_seconds(connection: AsyncConnection) -> float:
    """Read how long the oldest gap has been open; 0 without one."""
    return float(await connection.scalar(_OLDEST) or 0)


async def fill_gaps(
    engine: AsyncEngine, authors: Authors, *charging: httpx.AsyncClient, wait_seconds: float = inf
) -> int:
    """Request from charging's deployments once everything that is missing; returns how many came."""
    async with engine.connect() as connection:
        missing = await read_missing(connection)
    count, answering = 0, list(charging)
    unknown: dict[str, int] = {}
    for run, number in missing:
        if run in unknown:
            continue
        payload = await _fetch(answering, f"/v1/manifests/{run}/{number}")
        if payload is None:
            log.warning("manifest missing", run=run, number=number)
            if len(answering) == len(charging):
                unknown[run] = number
            continue
        received = await take_manifest(engine, payload, authors)
        log.info("manifest fetched", run=run, number=number, state=received.state)
        count += 1
    for run, number in unknown.items():
        await _expire(engine, run, number, wait_seconds)
    await book_all_waiting(engine)
    return count


async def _expire(engine: AsyncEngine, run: str, number: int, wait_seconds: float) -> None:
    """Quarantine what has waited too long for a number that every deployment answered it does not know."""
    if wait_seconds == inf:
        return
    async with ledger_lock(engine) as connection:
        overdue = await connection.execute(_OVERDUE, {"run": run, "number": number, "seconds": wait_seconds})
        for row in overdue.all():
            detail = f"manifest {run}/{row.number} waits for {run}/{number}, which no deployment knows"
            await keep_refused(connection, MANIFESTS, QuarantineReason.EXPIRED, detail, row.payload)
            await connection.execute(_TAKE_OUT, {"run": run, "number": row.number})


async def _fetch(answering: list[httpx.AsyncClient], path: str) -> bytes | None:
    """The manifest from the deployment that knows the run, None where none does; one without an answer is skipped."""
    for client in list(answering):
        try:
            answer = await client.get(path)
        except httpx.HTTPError as error:
            log.warning("charging does not answer", url=str(client.base_url), error=repr(error))
            answering.remove(client)
            continue
        if answer.status_code == httpx.codes.OK:
            return answer.content
    return None
