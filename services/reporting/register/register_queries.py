"""Query the register (差异登记): lists with a cursor, one finding with its history; and change a finding's state."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Final, Literal

from sqlalchemy import ARRAY, BigInteger, Select, Table, bindparam, func, select, text
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


MOST_COUNTED: Final = 10_000
"""Findings of a filter that are counted, so that a page costs the same with any number of them."""


@dataclass(frozen=True, slots=True)
class FindingCount:
    """How many findings fit, and how many of them were seen before: None where there are more than were counted."""

    count: int
    before: int | None


async def list_findings(connection: AsyncConnection, wanted: FindingFilter) -> list[FindingRow]:
    """Findings that the connection's viewer sees, by id, in their current state."""
    ids_query = _ids(wanted).where(DISCREPANCY.c.id > wanted.after)
    # First which, by indexes; then all about these: history and sightings are not worked out for others.
    ids = list((await connection.execute(ids_query.order_by(DISCREPANCY.c.id).limit(wanted.limit))).scalars())
    chosen = func.any(bindparam("ids", ids, ARRAY(BigInteger)))
    query = select(DISCREPANCY_NOW).where(DISCREPANCY_NOW.c.id == chosen).order_by(DISCREPANCY_NOW.c.id)
    return [dict(row) for row in (await connection.execute(query)).mappings()] if ids else []


async def count_findings(connection: AsyncConnection, wanted: FindingFilter) -> FindingCount:
    """Count the findings of a filter, up to MOST_COUNTED of them."""
    ids_query = _ids(wanted).limit(MOST_COUNTED + 1)
    # By id where all states count, or the table would be read whole; those in one state are found by their state.
    ids = (ids_query.order_by(DISCREPANCY.c.id) if wanted.state is None else ids_query).subquery()
    query = select(func.count(), func.count().filter(ids.c.id <= wanted.after)).select_from(ids)
    count, before = (await connection.execute(query)).one()
    return FindingCount(min(count, MOST_COUNTED), before if count <= MOST_COUNTED else None)


def _ids(wanted: FindingFilter) -> Select[tuple[int]]:
    query = select(DISCREPANCY.c.id)
    for name in ("kind", "enterprise", "province", "day", "period"):
        value = getattr(wanted, name)
        if value is not None:
            query = query.where(DISCREPANCY.c[name] == value)
    if wanted.state is not None:
        now = DISCREPANCY_STANDING.c
        query = query.join(DISCREPANCY_STANDING, now.discrepancy_id == DISCREPANCY.c.id).where(
            now.state == wanted.state
        )
    return query


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
