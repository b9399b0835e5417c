"""Missing manifests: which numbers the inbox waits for, and asking charging's API for them."""

from typing import Final

import httpx
import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.ledger.booking import book_all_waiting, take_manifest
from shared.domain.authors import Authors

log = structlog.get_logger(__name__)
ASK_SECONDS: Final = 3.0
"""Pause between two looks at the inbox."""
MOST_ASKED: Final = 500
"""Numbers asked for in one look; a longer gap is filled in several."""

_MISSING = text("""
with waiting as (select run, min(number) as first, min(received_at) as since from ledger.manifest_inbox group by run),
     next as (select w.*, coalesce((select max(number) from ledger.manifest_booked b where b.run = w.run), 0) + 1
                          as number
              from waiting w)
select run, generate_series(number, first - 1) as number, since from next where first > number
order by since, run, number limit :most
""")
_OLDEST = text("""
select extract(epoch from now() - min(w.since)) from (
    select run, min(number) as first, min(received_at) as since from ledger.manifest_inbox group by run) w
where w.first > coalesce((select max(number) from ledger.manifest_booked b where b.run = w.run), 0) + 1
""")


async def read_missing(connection: AsyncConnection) -> list[tuple[str, int]]:
    """Run and number of every manifest that a later one of its run waits for, longest waited for first."""
    rows = await connection.execute(_MISSING, {"most": MOST_ASKED})
    return [(row.run, row.number) for row in rows]


async def read_gap_seconds(connection: AsyncConnection) -> float:
    """How long the oldest gap has been open; 0 without one."""
    return float(await connection.scalar(_OLDEST) or 0)


async def fill_gaps(engine: AsyncEngine, authors: Authors, *charging: httpx.AsyncClient) -> int:
    """Ask charging's deployments once for everything that is missing; returns how many came."""
    async with engine.connect() as connection:
        missing = await read_missing(connection)
    count, answering = 0, list(charging)
    for run, number in missing:
        found = await _ask(answering, f"/v1/manifests/{run}/{number}")
        if found is None:
            log.warning("manifest missing", run=run, number=number)
            continue
        received = await take_manifest(engine, found, authors)
        log.info("manifest asked for", run=run, number=number, state=received.state)
        count += 1
    await book_all_waiting(engine)
    return count


async def _ask(answering: list[httpx.AsyncClient], path: str) -> bytes | None:
    """What the deployment that knows the run has, None where none does; one that does not answer is struck out."""
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
