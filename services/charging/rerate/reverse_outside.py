"""Reverse orders outside the signed declaration by the decision of two persons (docs/decisions/0022).

One person proposes it with a reason, another one consents; then exactly the orders that were named are reversed, in
the transaction that keeps the consent. If the process dies here: the consent exists with all its reversals, or neither.
"""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

from services.charging.numbers.outside_declaration import OutsideOrdersOfDay, find_outside
from services.charging.numbers.outside_queries import Names
from services.charging.rows.batch import Batch
from services.charging.store.archived_days import refuse_archived
from services.charging.store.derived_rows import (
    SETTLE_LOCK,
    ChargeRow,
    add_derived_rows,
    reversal_row,
    write_derived_rows,
)
from services.charging.store.manifests import Run, read_last_number, start_run
from shared.adapters.crypto.signing import AuthorSigner
from shared.adapters.postgres.decisions import Decision
from shared.adapters.postgres.pool import Connection, Pool
from shared.contracts.topics import MANIFESTS
from shared.domain.books.billing import OUTSIDE_DECLARATION
from shared.domain.errors import Refused

CHUNK_ROWS: Final = 20_000
"""Orders reversed by one manifest."""
_PROPOSALS: Final = """
    select p.*, e.uscc, c.consented_by, c.consented_at, cardinality(c.batches) as manifests
    from charging.adjustment_proposal p join charging.enterprise e on e.id = p.enterprise
    left join charging.adjustment_consent c on c.id = p.id
    where ($1::bigint is null or p.id = $1) and ($2::text is null or e.uscc = $2) order by p.id"""
_PROPOSE: Final = """
    insert into charging.adjustment_proposal
        (enterprise, insured_on, orders, premium, orders_sha256, proposed_by, reason, decision_id)
    select id, $2, $3, $4, $5, $6, $7, $8 from charging.enterprise where uscc = $1 on conflict do nothing"""
_PROPOSED: Final = """
    select p.id from charging.adjustment_proposal p join charging.enterprise e on e.id = p.enterprise
    where (e.uscc, p.insured_on, p.orders_sha256) = ($1, $2, $3)"""
_CONSENT: Final = """
    insert into charging.adjustment_consent (id, proposed_by, consented_by, batches, decision_id)
    values ($1, $2, $3, $4, $5)"""
_IS_COUNTED: Final = "select exists (select from charging.day_count where day = $1)"


class UnknownProposal(Refused):
    """Nobody has proposed it."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A proposal with what became of it; `consented_by` None: nobody has consented, and nothing was reversed."""

    id: int
    enterprise: str
    insured_on: date
    orders: int
    premium: int
    orders_sha256: bytes
    proposed_by: str
    reason: str
    proposed_at: datetime
    consented_by: str | None
    consented_at: datetime | None
    manifests: int


class Adjustments:
    """Stores proposals and consents in one database, and reverses what was decided."""

    def __init__(self, pool: Pool, author: AuthorSigner, chunk_rows: int = CHUNK_ROWS) -> None:
        self._pool, self._author, self._chunk_rows = pool, author, chunk_rows

    async def find(self, uscc: str | None = None) -> list[Proposal]:
        """All of them, or those of an enterprise, the oldest first."""
        return [_proposal(row) for row in await self._pool.fetch(_PROPOSALS, None, uscc)]

    async def propose(self, uscc: str, day: date, reason: str, decision: Decision) -> Proposal:
        """Propose to reverse what lies outside now; the same orders proposed again are the first proposal."""
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute("select pg_advisory_xact_lock($1)", SETTLE_LOCK)
            await refuse_archived(connection, day)
            if not await connection.fetchval(_IS_COUNTED, day):
                raise Refused(f"{day} is not counted yet: its close says first what lies outside")
            names = await _names(connection, await find_outside(connection, day, None, uscc))
            if not names.orders:
                raise Refused(f"no charged order of {uscc} on {day} lies outside its signed declaration")
            named = (names.orders, names.premium, names.sha256)
            values = (uscc, day, *named, decision.person, reason, decision.decision_id)
            await connection.execute(_PROPOSE, *values)
            return await _read(connection, await connection.fetchval(_PROPOSED, uscc, day, names.sha256))

    async def consent(self, proposal_id: int, decision: Decision) -> tuple[Proposal, int]:
        """Reverse what was proposed, and how many orders that was; 0 where somebody has consented before.

        Raises Refused for the person who proposed it, and where other orders lie outside than were named.
        """
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute("select pg_advisory_xact_lock($1)", SETTLE_LOCK)
            proposal = await _read(connection, proposal_id)
            person = decision.person
            if person == proposal.proposed_by:
                raise Refused(f"{person} has proposed adjustment {proposal_id}: another person has to consent")
            if proposal.consented_by is not None:
                return proposal, 0
            await refuse_archived(connection, proposal.insured_on)
            batches = await self._reverse(connection, proposal, decision)
            await connection.execute(_CONSENT, proposal_id, proposal.proposed_by, person, batches, decision.decision_id)
            return await _read(connection, proposal_id), proposal.orders

    async def _reverse(self, connection: Connection, proposal: Proposal, decision: Decision) -> list[int]:
        """Write the reversals, a manifest for each chunk; returns the batches."""
        day, left, batches = proposal.insured_on, proposal.orders, list[int]()
        outside = await find_outside(connection, day, None, proposal.enterprise)
        names = await _names(connection, outside)
        if (names.orders, names.premium, names.sha256) != (proposal.orders, proposal.premium, proposal.orders_sha256):
            raise Refused(
                f"{names.orders} orders lie outside now, and they are not the {proposal.orders} that were proposed:"
                " propose it again"
            )
        run = await start_run(connection, "correction", self._author, decision=decision)
        while left and outside is not None:
            await read_last_number(connection, run)
            charges = await outside.charges(connection, min(left, self._chunk_rows))
            batches.append(await _write(connection, run, charges))
            left -= len(charges)
            # Reversed orders lie outside no more: the surplus of a place is smaller by it.
            outside = await find_outside(connection, day, None, proposal.enterprise) if left else None
        return batches


async def _write(connection: Connection, run: Run, charges: list[ChargeRow]) -> int:
    batch, number = Batch(), run.next_batch()
    add_derived_rows(batch, run, [reversal_row(charge, OUTSIDE_DECLARATION) for charge in charges])
    await write_derived_rows(connection, run, batch, "correction", MANIFESTS)
    return number


async def _names(connection: Connection, outside: OutsideOrdersOfDay | None) -> Names:
    if outside is None:
        return Names(0, 0, b"")
    return await outside.names(connection)


async def _read(connection: Connection, proposal_id: int) -> Proposal:
    row = await connection.fetchrow(_PROPOSALS, proposal_id, None)
    if row is None:
        raise UnknownProposal(f"there is no proposal {proposal_id}")
    return _proposal(row)


def _proposal(row: Any) -> Proposal:
    return Proposal(
        id=row["id"],
        enterprise=row["uscc"],
        insured_on=row["insured_on"],
        orders=row["orders"],
        premium=row["premium"],
        orders_sha256=row["orders_sha256"],
        proposed_by=row["proposed_by"],
        reason=row["reason"],
        proposed_at=row["proposed_at"],
        consented_by=row["consented_by"],
        consented_at=row["consented_at"],
        manifests=row["manifests"] or 0,
    )
