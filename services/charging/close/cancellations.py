"""Settle cancellations: reverse what the dated rule reverses, set-wise and in any order of arrival."""

from datetime import datetime
from typing import Final

from msgspec import Struct
from sqlalchemy import BigInteger, SmallInteger, Text, and_, delete, or_, select

from services.charging.cut import Batches
from services.charging.predicates import (
    CUT,
    charge_columns,
    first_columns,
    is_last_charge,
    is_reversal_of,
    reached,
    same_order,
)
from services.charging.rows.batch import Batch
from services.charging.rows.row_kinds import CANCELLED
from services.charging.store.derived_rows import ChargeRow, add_derived_rows, reversal_row
from services.charging.store.manifests import Run
from services.charging.tables import INSTANT, enterprise, entry, unsettled
from shared.adapters.postgres.pool import Connection
from shared.adapters.postgres.queries.statements import ArrayTable, Command, Selected, query
from shared.domain.evidence.leaf import RowKind
from shared.domain.scheme.cancellation import reverses
from shared.domain.scheme.rating import Scheme

STEP_ROWS: Final = 20_000
"""Cancellations settled in one step; more wait for the next."""


class _WaitingCharge(ChargeRow, frozen=True):
    is_reversed: bool


class _Settled(Struct, frozen=True):
    accepted_at: datetime
    enterprise: int
    order_id: str
    worker_key: int


_SETTLED: Final = ArrayTable("settled", _Settled, INSTANT, SmallInteger(), Text(), BigInteger())


def _select_waiting() -> Selected:
    """Select last charges whose cancellation waits, with the cancellation's end; within a cut, or (null) all."""
    charge, cancellation, reversal = (entry.alias(name) for name in "acr")
    waits = (
        select(*(unsettled.c[name] for name in _Settled.__struct_fields__))
        .where(or_(CUT.is_(None), reached(unsettled)))
        .subquery("u")
    )
    return (
        select(*charge_columns(charge, cancellation), reversal.c.kind.is_not(None).label("is_reversed"))
        .select_from(waits)
        .join(charge, same_order(charge, waits))
        .join(cancellation, same_order(cancellation, waits))
        .join(enterprise, enterprise.c.id == charge.c.enterprise)
        .outerjoin(reversal, is_reversal_of(reversal, charge))
        .where(
            is_last_charge(charge),
            cancellation.c.kind == RowKind.CANCELLATION,
            charge.c.worker_rest == cancellation.c.worker_rest,
            or_(CUT.is_(None), reached(charge)),
        )
        .order_by(*first_columns(4))
        .limit(STEP_ROWS)
    )


_WAITING: Final = query(_select_waiting(), _WaitingCharge)
_FORGET: Final = Command(delete(unsettled).where(and_(same_order(unsettled, _SETTLED.rows))))


async def settle_cancellations(
    connection: Connection, scheme: Scheme, run: Run, batch: Batch, cut: Batches | None
) -> int:
    """Reverse what the dated rule reverses; returns how many cancellations were settled, STEP_ROWS if more may wait."""
    waiting = await _WAITING.fetch(connection, cut=None if cut is None else cut.lasts)
    due = [reversal_row(charge, CANCELLED) for charge in waiting if _is_due(scheme, charge)]
    add_derived_rows(batch, run, due)
    settled = [_Settled(row.accepted_at, row.enterprise, row.order_id, row.worker_key) for row in waiting]
    await _FORGET.execute(connection, **_SETTLED.parameters(settled))
    return len(waiting)


def _is_due(scheme: Scheme, charge: _WaitingCharge) -> bool:
    if charge.premium == 0 or charge.is_reversed or charge.ended_at is None:
        return False
    rule = scheme.cancellation_rule(charge.accepted_at)
    return reverses(rule, charge.accepted_at, charge.ended_at, bool(charge.departed))
