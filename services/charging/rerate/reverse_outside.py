"""Reverse orders outside the signed declaration by the decision of two persons (docs/decisions/0022).

One person proposes it with a reason, another one consents; then exactly the orders that were named are reversed, in
the transaction that keeps the consent. If the process dies here: the consent exists with all its reversals, or neither.
"""

from datetime import date, datetime
from typing import Final

from msgspec import Struct
from sqlalchemy import BigInteger, LargeBinary, Text, bindparam, exists, func, or_, select
from sqlalchemy.dialects.postgresql import Insert, insert

from services.charging.numbers.outside_declaration import OutsideOrdersOfDay, find_outside
from services.charging.numbers.outside_queries import Names
from services.charging.predicates import DAY
from services.charging.rows.batch import Batch
from services.charging.store.archived_days import refuse_archived
from services.charging.store.derived_rows import (
    ChargeRow,
    add_derived_rows,
    lock_settling,
    reversal_row,
    write_derived_rows,
)
from services.charging.store.manifests import Run, read_last_number, start_run
from services.charging.tables import adjustment_consent, adjustment_proposal, day_count, enterprise
from shared.adapters.crypto.signing import AuthorSigner
from shared.adapters.postgres.decisions import Decision
from shared.adapters.postgres.pool import Connection, Pool
from shared.adapters.postgres.queries.statements import Command, Expression, Selected, insert_into, query, values
from shared.contracts.topics import MANIFESTS
from shared.domain.books.billing import OUTSIDE_DECLARATION
from shared.domain.errors import Refused

CHUNK_ROWS: Final = 20_000
"""Orders reversed by one manifest."""


class UnknownProposal(Refused):
    """Nobody has proposed it."""


class Proposal(Struct, frozen=True):
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


_ENTERPRISE: Final = bindparam("uscc", type_=Text)
_SHA256: Final = bindparam("orders_sha256", type_=LargeBinary)


def _select_proposals() -> Selected:
    wanted = bindparam("proposal_id", type_=BigInteger)
    columns: dict[str, Expression] = {
        **{name: adjustment_proposal.c[name] for name in Proposal.__struct_fields__ if name in adjustment_proposal.c},
        "enterprise": enterprise.c.uscc.label("enterprise"),
        "consented_by": adjustment_consent.c.consented_by,
        "consented_at": adjustment_consent.c.consented_at,
        "manifests": func.coalesce(func.cardinality(adjustment_consent.c.batches), 0).label("manifests"),
    }
    return (
        select(*(columns[name] for name in Proposal.__struct_fields__))
        .join_from(adjustment_proposal, enterprise, enterprise.c.id == adjustment_proposal.c.enterprise)
        .outerjoin(adjustment_consent, adjustment_consent.c.id == adjustment_proposal.c.id)
        .where(or_(wanted.is_(None), adjustment_proposal.c.id == wanted))
        .where(or_(_ENTERPRISE.is_(None), enterprise.c.uscc == _ENTERPRISE))
        .order_by(adjustment_proposal.c.id)
    )


def _insert_proposal() -> Insert:
    names = ("insured_on", "orders", "premium", "orders_sha256", "proposed_by", "reason", "decision_id")
    of_proposal = [bindparam(name, type_=adjustment_proposal.c[name].type) for name in names]
    proposal = select(enterprise.c.id, *of_proposal).where(enterprise.c.uscc == _ENTERPRISE)
    return insert(adjustment_proposal).from_select(("enterprise", *names), proposal).on_conflict_do_nothing()


_PROPOSALS: Final = query(_select_proposals(), Proposal)
_PROPOSE: Final = Command(_insert_proposal())
_PROPOSED: Final = values(
    select(adjustment_proposal.c.id)
    .join_from(adjustment_proposal, enterprise, enterprise.c.id == adjustment_proposal.c.enterprise)
    .where(
        enterprise.c.uscc == _ENTERPRISE,
        adjustment_proposal.c.insured_on == DAY,
        adjustment_proposal.c.orders_sha256 == _SHA256,
    ),
    int,
)
_CONSENT: Final = insert_into(adjustment_consent, "id", "proposed_by", "consented_by", "batches", "decision_id")
_IS_COUNTED: Final = values(select(exists().where(day_count.c.day == DAY)), bool)


class Adjustments:
    """Stores proposals and consents in one database, and reverses what was decided."""

    def __init__(self, pool: Pool, author: AuthorSigner, chunk_rows: int = CHUNK_ROWS) -> None:
        self._pool, self._author, self._chunk_rows = pool, author, chunk_rows

    async def find(self, uscc: str | None = None) -> list[Proposal]:
        """All of them, or those of an enterprise, the oldest first."""
        return await _PROPOSALS.fetch(self._pool, proposal_id=None, uscc=uscc)

    async def propose(self, uscc: str, day: date, reason: str, decision: Decision) -> Proposal:
        """Propose to reverse what lies outside now; the same orders proposed again are the first proposal."""
        async with self._pool.acquire() as connection, connection.transaction():
            await lock_settling(connection)
            await refuse_archived(connection, day)
            if not await _IS_COUNTED.fetch_one(connection, day=day):
                raise Refused(f"{day} is not counted yet: its close says first what lies outside")
            names = await _names(connection, await find_outside(connection, day, None, uscc))
            if not names.orders:
                raise Refused(f"no charged order of {uscc} on {day} lies outside its signed declaration")
            await _PROPOSE.execute(
                connection, uscc=uscc, insured_on=day, orders=names.orders, premium=names.premium,
                orders_sha256=names.sha256, proposed_by=decision.person, reason=reason,
                decision_id=decision.decision_id,
            )  # fmt: skip
            proposed = await _PROPOSED.fetch_one(connection, uscc=uscc, day=day, orders_sha256=names.sha256)
            return await _read(connection, proposed)

    async def consent(self, proposal_id: int, decision: Decision) -> tuple[Proposal, int]:
        """Reverse what was proposed, and how many orders that was; 0 where somebody has consented before.

        Raises Refused for the person who proposed it, and where other orders lie outside than were named.
        """
        async with self._pool.acquire() as connection, connection.transaction():
            await lock_settling(connection)
            proposal = await _read(connection, proposal_id)
            person = decision.person
            if person == proposal.proposed_by:
                raise Refused(f"{person} has proposed adjustment {proposal_id}: another person has to consent")
            if proposal.consented_by is not None:
                return proposal, 0
            await refuse_archived(connection, proposal.insured_on)
            batches = await self._reverse(connection, proposal, decision)
            await _CONSENT.execute(
                connection, id=proposal_id, proposed_by=proposal.proposed_by, consented_by=person, batches=batches,
                decision_id=decision.decision_id,
            )  # fmt: skip
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
    proposal = await _PROPOSALS.fetch_first(connection, proposal_id=proposal_id, uscc=None)
    if proposal is None:
        raise UnknownProposal(f"there is no proposal {proposal_id}")
    return proposal
