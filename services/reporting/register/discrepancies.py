"""Register discrepancies (差异): each is named once and stays; sightings, and states as a history, are added.

Found again with the same identity it is seen again. One that was corrected and is found again is opened again; what
somebody has explained or confirmed stays so.
"""

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date, datetime
from typing import Final

from sqlalchemy import ColumnElement, insert, select
from sqlalchemy.dialects.postgresql import insert as insert_once
from sqlalchemy.ext.asyncio import AsyncConnection

from services.reporting.tables import (
    DISCREPANCY,
    DISCREPANCY_NOW,
    DISCREPANCY_ORDER,
    DISCREPANCY_SIGHTING,
    DISCREPANCY_STATE,
)
from shared.adapters.postgres.queries.storable_text import storable
from shared.contracts.findings import Finding, FindingKind, OrderRef

SYSTEM: Final = "danbao"
"""Actor that opens and resolves the program's own findings."""
OF_RECONCILIATION: Final = (
    FindingKind.ORDERS,
    FindingKind.EXACT_YUAN,
    FindingKind.DECLARATION_MISSING,
    FindingKind.REPORTS_MISSING,
    FindingKind.NOT_HELD,
    FindingKind.HELD_UNKNOWN,
    FindingKind.HELD_DIFFERENTLY,
)
"""Those that a later reconciliation of the month may find gone."""
EvidenceValue = str | int | list[str]
_OUTSIDE_IDENTITY: Final = ("key", "count", "evidence", "orders")
"""Fields that are no part of the identity of a discrepancy without a key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Discrepancy:
    """One named difference. Kind and key are its identity; without a key, all that is said of it."""

    kind: FindingKind
    detail: str
    key: str | None = None
    report_id: str | None = None
    period: str | None = None
    day: date | None = None
    province: str | None = None
    enterprise: str | None = None
    declared: str | None = None
    reported: str | None = None
    count: int | None = None
    evidence: Mapping[str, EvidenceValue] = field(default_factory=dict)
    orders: Sequence[OrderRef] = ()

    @classmethod
    def of(cls, finding: Finding) -> "Discrepancy":
        """A finding of charging in the register's form."""
        return cls(
            kind=finding.kind,
            key=finding.key,
            detail=finding.detail,
            day=finding.insured_on,
            province=finding.province,
            enterprise=finding.enterprise,
            count=finding.count,
            evidence=finding.evidence,
            orders=finding.orders,
        )

    @property
    def identity(self) -> str:
        """SHA-256 of the identifying fields, in hex."""
        if self.key is not None:
            return identity_of(self.kind, self.key)
        facts = {name: value for name, value in asdict(self).items() if name not in _OUTSIDE_IDENTITY}
        return _sha256(json.dumps(facts, default=str, sort_keys=True))

    @property
    def row(self) -> dict[str, str | int | date | dict[str, EvidenceValue] | None]:
        """Its columns, each text as PostgreSQL can hold it."""
        values = {name: getattr(self, name) for name in self.__slots__ if name != "orders"}
        plain = {name: storable(value) if isinstance(value, str) else value for name, value in values.items()}
        return plain | {"evidence": {storable(name): _plain(value) for name, value in self.evidence.items()}}


def _plain(value: EvidenceValue) -> EvidenceValue:
    if isinstance(value, list):
        return [storable(part) for part in value]
    return storable(value) if isinstance(value, str) else value


def identity_of(kind: FindingKind, key: str) -> str:
    """The identity of a discrepancy with a key."""
    return _sha256(json.dumps([kind, key]))


async def record(connection: AsyncConnection, discrepancy: Discrepancy) -> bool:
    """Keep a discrepancy and open it; True when it is new, else it is seen again."""
    values = discrepancy.row | {"identity_sha256": discrepancy.identity}
    new = await connection.scalar(
        insert_once(DISCREPANCY).values(values).on_conflict_do_nothing().returning(DISCREPANCY.c.id)
    )
    if new is None:
        await _see_again(connection, discrepancy)
        return False
    orders = [
        {"discrepancy_id": new, "number": number, **_order(order)} for number, order in enumerate(discrepancy.orders, 1)
    ]
    if orders:
        await connection.execute(insert(DISCREPANCY_ORDER), orders)
    await note_state(connection, [new], "open", "found")
    return True


async def _see_again(connection: AsyncConnection, discrepancy: Discrepancy) -> None:
    query = select(DISCREPANCY_NOW.c.id, DISCREPANCY_NOW.c.state).join(
        DISCREPANCY, DISCREPANCY.c.id == DISCREPANCY_NOW.c.id
    )
    known = (await connection.execute(query.where(DISCREPANCY.c.identity_sha256 == discrepancy.identity))).one()
    seen = {name: discrepancy.row[name] for name in ("count", "detail", "evidence")}
    await connection.execute(insert(DISCREPANCY_SIGHTING).values(discrepancy_id=known.id, **seen))
    if known.state == "corrected":
        await note_state(connection, [known.id], "open", "found again")


async def resolve(connection: AsyncConnection, kind: FindingKind, key: str, note: str) -> None:
    """Correct what is open under this identity."""
    own = select(DISCREPANCY.c.id).where(DISCREPANCY.c.identity_sha256 == identity_of(kind, key))
    await _resolve(connection, note, DISCREPANCY_NOW.c.id.in_(own))


async def resolve_report(
    connection: AsyncConnection, report_id: str, kinds: Collection[FindingKind], note: str
) -> None:
    """Correct what is open on these grounds against one report."""
    await _resolve(connection, note, DISCREPANCY_NOW.c.report_id == report_id, DISCREPANCY_NOW.c.kind.in_(kinds))


async def resolve_absent(connection: AsyncConnection, period: str, present: Collection[Discrepancy], note: str) -> None:
    """Correct the open differences of a month's reconciliation that are not among those found now."""
    known = select(DISCREPANCY.c.id).where(
        DISCREPANCY.c.identity_sha256.in_([discrepancy.identity for discrepancy in present])
    )
    await _resolve(
        connection,
        note,
        DISCREPANCY_NOW.c.period == period,
        DISCREPANCY_NOW.c.kind.in_(OF_RECONCILIATION),
        DISCREPANCY_NOW.c.id.not_in(known),
    )


async def note_state(
    connection: AsyncConnection, ids: Iterable[int], state: str, note: str, actor: str = SYSTEM
) -> None:
    """Add a state to the history of each."""
    rows = [{"discrepancy_id": discrepancy_id, "state": state, "actor": actor, "note": note} for discrepancy_id in ids]
    if rows:
        await connection.execute(insert(DISCREPANCY_STATE), rows)


async def _resolve(connection: AsyncConnection, note: str, *conditions: ColumnElement[bool]) -> None:
    query = select(DISCREPANCY_NOW.c.id).where(DISCREPANCY_NOW.c.state == "open", *conditions)
    await note_state(connection, (await connection.execute(query)).scalars(), "corrected", note)


def _order(order: OrderRef) -> dict[str, str | datetime | None]:
    return {"order_id": order.order_id, "accepted_at": order.accepted_at, "worker_id": order.worker_id}


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
