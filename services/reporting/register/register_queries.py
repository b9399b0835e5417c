"""Query the register (差异登记): lists with a cursor, one finding with its history; and change a finding's state."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Final, Literal

from sqlalchemy import ARRAY, BigInteger, Table, bindparam, func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.reporting.access.viewers import Viewer, act
from services.reporting.register.discrepancies import EvidenceValue
from services.reporting.tables import (
    DISCREPANCY,
    DISCREPANCY_NOW,
    DISCREPANCY_ORDER,
    DISCREPANCY_SIGHTING,
    DISCREPANCY_STANDING,
)
from services.reporting.tables import DISCREPANCY_STATE as STATE
from shared.contracts.findings import FindingKind

Entry = dict[str, str | int | datetime | None]
"""A change of state, a sighting or an order of a finding."""
FindingValue = str | int | date | dict[str, EvidenceValue] | list[Entry] | None
FindingRow = dict[str, FindingValue]
State = Literal["open", "explained", "corrected", "confirmed"]
_CHANGE: Final = text("select reporting.change_finding(:credential, :finding, :state, :comment)")


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingFilter:
    """Which findings: those that fit all that is given, after the id of the last one seen."""

    kind: FindingKind | None = None
    state: State | None = None
    enterprise: str | None = None
    province: str | None = None
    day: date | None = None
    period: str | None = None
    after: int = 0
    limit: int = 1_000


async def list_findings(connection: AsyncConnection, wanted: FindingFilter) -> list[FindingRow]:
    """Findings that the connection's viewer sees, by id, in their current state."""
    ids_query = select(DISCREPANCY.c.id).where(DISCREPANCY.c.id > wanted.after)
    for name in ("kind", "enterprise", "province", "day", "period"):
        value = getattr(wanted, name)
        if value is not None:
            ids_query = ids_query.where(DISCREPANCY.c[name] == value)
    if wanted.state is not None:
        now = DISCREPANCY_STANDING.c
        ids_query = ids_query.join(DISCREPANCY_STANDING, now.discrepancy_id == DISCREPANCY.c.id).where(
            now.state == wanted.state
        )
    # First which, by indexes; then all about these: history and sightings are not worked out for others.
    ids = list((await connection.execute(ids_query.order_by(DISCREPANCY.c.id).limit(wanted.limit))).scalars())
    chosen = func.any(bindparam("ids", ids, ARRAY(BigInteger)))
    query = select(DISCREPANCY_NOW).where(DISCREPANCY_NOW.c.id == chosen).order_by(DISCREPANCY_NOW.c.id)
    return [dict(row) for row in (await connection.execute(query)).mappings()] if ids else []


async def find_one(connection: AsyncConnection, discrepancy_id: int) -> FindingRow | None:
    """A finding with its `history`, `sightings` and `orders`; None where the connection's viewer sees none."""
    query = select(DISCREPANCY_NOW).where(DISCREPANCY_NOW.c.id == discrepancy_id)
    row = (await connection.execute(query)).mappings().one_or_none()
    if row is None:
        return None
    return dict(row) | {
        "history": await _beside(connection, STATE, discrepancy_id, "state", "actor", "note", "noted_at"),
        "sightings": await _beside(connection, DISCREPANCY_SIGHTING, discrepancy_id, "count", "detail", "seen_at"),
        "orders": await _beside(connection, DISCREPANCY_ORDER, discrepancy_id, "order_id", "accepted_at", "worker_id"),
    }


def names_orders(finding: FindingRow) -> bool:
    """Whether a finding, as it is shown, names single orders or workers."""
    evidence = finding["evidence"]
    names = evidence if isinstance(evidence, dict) else {}
    return bool(finding.get("orders")) or not {"order_id", "worker_id"}.isdisjoint(names)


async def change_state(
    connection: AsyncConnection, discrepancy_id: int, state: State, comment: str, viewer: Viewer
) -> bool:
    """Add a state to the history, in the viewer's name; False where it is in that state already."""
    changed = await act(connection, viewer, _CHANGE, finding=discrepancy_id, state=state, comment=comment)
    return changed.scalar_one() is True


async def _beside(connection: AsyncConnection, table: Table, discrepancy_id: int, *names: str) -> list[Entry]:
    order = table.c.number if "number" in table.c else table.c.id
    query = select(*[table.c[name] for name in names]).where(table.c.discrepancy_id == discrepancy_id).order_by(order)
    return [dict(row) for row in (await connection.execute(query)).mappings()]
