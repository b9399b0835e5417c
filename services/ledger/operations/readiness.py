"""Ready means progress: nothing has waited for too long on its way in or out."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.ledger.books.clocks import CONSEQUENCE, Clocks
from services.ledger.books.missing_manifests import read_gap_seconds

_UNPUBLISHED = text("select extract(epoch from now() - min(written_at)) from ledger.outbox where refusal is null")


async def check_clocks(engine: AsyncEngine, clocks: Clocks) -> str | None:
    """None when ready, else which clocks differ, so that nothing is closed, billed or assessed."""
    async with engine.connect() as connection:
        disagreement = await clocks.disagree(connection)
    return disagreement and f"{disagreement}: {CONSEQUENCE}"


async def check_progress(engine: AsyncEngine, age_seconds: float) -> str | None:
    """None when ready, else what waits; settlements that wait for a close are no reason, the close is an alarm."""
    async with engine.connect() as connection:
        gap = await read_gap_seconds(connection)
        unpublished = float(await connection.scalar(_UNPUBLISHED) or 0)
    if gap > age_seconds:
        return f"a missing manifest has been waited for for {gap:.0f} s"
    if unpublished > age_seconds:
        return f"a message has not been published for {unpublished:.0f} s"
    return None
