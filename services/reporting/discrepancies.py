"""Discrepancies (差异): what does not agree is named, once, and stays; only its state moves on, as a history."""

import hashlib
import json
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass
from datetime import date
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import insert, select
from sqlalchemy.dialects.postgresql import insert as insert_once
from sqlalchemy.ext.asyncio import AsyncConnection

from services.reporting.tables import DISCREPANCY, DISCREPANCY_NOW, DISCREPANCY_STATE


class Kind(StrEnum):
    """All there are; the table's CHECK lists the same."""

    REFUSED = "refused"
    UNDELIVERABLE = "undeliverable"
    RECEIPT_MISMATCH = "receipt_mismatch"
    UNCONFIRMED_EXCLUSION = "unconfirmed_exclusion"
    REGISTRATION_COUNT = "registration_count"
    UNBUILDABLE = "unbuildable"
    ORDERS = "orders"
    EXACT_YUAN = "exact_yuan"
    DECLARATION_MISSING = "declaration_missing"
    REPORTS_MISSING = "reports_missing"
    NOT_HELD = "not_held"
    HELD_UNKNOWN = "held_unknown"
    HELD_DIFFERENTLY = "held_differently"
    DIFFERENT_CONTENT = "different_content"
    UNREADABLE_MESSAGE = "unreadable_message"


OF_RECONCILIATION: Final = (
    Kind.ORDERS,
    Kind.EXACT_YUAN,
    Kind.DECLARATION_MISSING,
    Kind.REPORTS_MISSING,
    Kind.NOT_HELD,
    Kind.HELD_UNKNOWN,
    Kind.HELD_DIFFERENTLY,
)
"""Those that a later reconciliation of the month may find gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Discrepancy:
    """One named difference. All its fields together are its identity: found twice, it is the same one."""

    kind: Kind
    detail: str
    report_id: str | None = None
    period: str | None = None
    day: date | None = None
    province: str | None = None
    enterprise: str | None = None
    declared: str | None = None
    reported: str | None = None

    @property
    def identity(self) -> str:
        """SHA-256 of the fields, in hex."""
        return hashlib.sha256(json.dumps(asdict(self), default=str, sort_keys=True).encode()).hexdigest()


async def record(connection: AsyncConnection, found: Discrepancy) -> bool:
    """Keep a discrepancy and open it; True when it is new. One that was settled and is found again is opened again."""
    values: dict[str, Any] = asdict(found) | {
        "identity_sha256": found.identity,
        "detail": found.detail.replace("\0", ""),  # PostgreSQL's text holds no NUL
    }
    statement = insert_once(DISCREPANCY).values(values).on_conflict_do_nothing().returning(DISCREPANCY.c.id)
    new = await connection.scalar(statement)
    if new is not None:
        await _note(connection, [new], "open", "found")
        return True
    query = (
        select(DISCREPANCY.c.id)
        .join(DISCREPANCY_NOW, DISCREPANCY_NOW.c.id == DISCREPANCY.c.id)
        .where(DISCREPANCY.c.identity_sha256 == found.identity, DISCREPANCY_NOW.c.state == "settled")
    )
    await _note(connection, (await connection.execute(query)).scalars(), "open", "found again")
    return False


async def settle_report(connection: AsyncConnection, report_id: str, kinds: Collection[Kind], note: str) -> None:
    """Settle what is open on these grounds against one report."""
    await _settle(connection, note, DISCREPANCY_NOW.c.report_id == report_id, DISCREPANCY_NOW.c.kind.in_(kinds))


async def settle_absent(connection: AsyncConnection, period: str, found: Collection[Discrepancy], note: str) -> None:
    """Settle the open differences of a month's reconciliation that are not among those found now."""
    known = select(DISCREPANCY.c.id).where(DISCREPANCY.c.identity_sha256.in_([each.identity for each in found]))
    await _settle(
        connection,
        note,
        DISCREPANCY_NOW.c.period == period,
        DISCREPANCY_NOW.c.kind.in_(OF_RECONCILIATION),
        DISCREPANCY_NOW.c.id.not_in(known),
    )


async def _settle(connection: AsyncConnection, note: str, *conditions: Any) -> None:
    query = select(DISCREPANCY_NOW.c.id).where(DISCREPANCY_NOW.c.state == "open", *conditions)
    await _note(connection, (await connection.execute(query)).scalars(), "settled", note)


async def _note(connection: AsyncConnection, ids: Iterable[int], state: str, note: str) -> None:
    rows = [{"discrepancy_id": each, "state": state, "note": note} for each in ids]
    if rows:
        await connection.execute(insert(DISCREPANCY_STATE), rows)
