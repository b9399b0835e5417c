"""Settling: what turns into a reversal (冲销), set-wise and in any order of arrival (docs/decisions/0004).

A cancellation that met its acceptance is settled by the rule in force when the order was accepted; an order sent again
under another acceptance time is reversed at the close. Either takes back the last charge of the order, which is a
re-rated one where `rerate.py` wrote one. Settling twice changes nothing: a reversal has a key, and a settled
cancellation leaves the queue in the same transaction.
"""

from datetime import date

from services.charging.close.cancellations import STEP_ROWS, settle_cancellations
from services.charging.close.resends import settle_resends
from services.charging.cut import Batches
from services.charging.rows.batch import Batch
from services.charging.store.derived_rows import try_lock_settling, write_derived_rows
from services.charging.store.manifests import Run, limit_transaction, read_last_number, start_run
from shared.adapters.crypto.signing import AuthorSigner
from shared.adapters.postgres.pool import Connection, Pool
from shared.contracts.manifests import PremiumsCharged
from shared.contracts.topics import MANIFESTS
from shared.domain.scheme.rating import Scheme


async def settle(pool: Pool, scheme: Scheme, run: Run) -> int | None:
    """One settling step over everything that waits; returns how many orders were reversed.

    None when another settles or counts a day, or a correction is booked: nothing was read.
    """
    async with pool.acquire() as connection, connection.transaction():
        if not await try_lock_settling(connection):
            return None
        await limit_transaction(connection, run)
        await read_last_number(connection, run)
        batch = Batch()
        await settle_cancellations(connection, scheme, run, batch, None)
        if batch.rows:
            await write_derived_rows(connection, run, batch, "settlement", MANIFESTS)
    return len(batch.rows)


async def settle_within(
    connection: Connection, scheme: Scheme, day: date, cut: Batches, author: AuthorSigner
) -> tuple[int, PremiumsCharged] | None:
    """The settlement that belongs to a close, in the caller's transaction: its batch and manifest, None if empty."""
    run = await start_run(connection, "close", author)
    batch = Batch()
    while await settle_cancellations(connection, scheme, run, batch, cut) == STEP_ROWS:
        continue
    await settle_resends(connection, run, batch, day, cut)
    if not batch.rows:
        return None
    number = run.next_batch()
    return number, await write_derived_rows(connection, run, batch, "settlement", None)
