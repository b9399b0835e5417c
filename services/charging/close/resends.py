"""Find orders that were sent again under another acceptance time: the first received holds, the others are reversed."""

from collections.abc import Iterable
from datetime import date, datetime, timedelta
from typing import Any, Final

from msgspec import Struct
from sqlalchemy import (
    BigInteger,
    Boolean,
    ColumnElement,
    Date,
    FromClause,
    Select,
    SmallInteger,
    Text,
    and_,
    any_,
    bindparam,
    func,
    insert,
    select,
)
from sqlalchemy.dialects.postgresql import ARRAY

from services.charging.cut import Batches, planning_without
from services.charging.predicates import (
    KEY,
    LATER,
    between,
    charge_columns,
    first_columns,
    is_last_charge,
    is_reversal_of,
    materialized,
    reached,
    same_order,
)
from services.charging.rows.batch import Batch
from services.charging.rows.row_kinds import KIND, RESENT
from services.charging.store.derived_rows import ChargeRow, add_derived_rows, reversal_row
from services.charging.store.manifests import Run
from services.charging.tables import INSTANT, enterprise, entry, manifest, resend
from shared.adapters.postgres.pool import Connection
from shared.adapters.postgres.queries.statements import ArrayTable, Command, query, values
from shared.domain.calendar import day_bounds, since_epoch_us
from shared.domain.evidence.leaf import RowKind


class _ResentCharge(ChargeRow, frozen=True):
    kept_accepted_at: datetime
    is_reversed: bool


class _Resend(Struct, frozen=True):
    enterprise: int
    order_id: str
    worker_key: int
    accepted_at: datetime
    kept_accepted_at: datetime
    was_charged: bool
    found_on: date


_FOUND: Final = ArrayTable("resent", _Resend, SmallInteger(), Text(), BigInteger(), INSTANT, INSTANT, Boolean(), Date())


def _order_hash(row: FromClause) -> ColumnElement[int]:
    """64 bits of an order's key but its time: what is compared first. That two differ says that the orders do."""
    of_order = func.hashtextextended(row.c.order_id, row.c.enterprise, type_=BigInteger)
    return func.hashint8extended(row.c.worker_key, of_order, type_=BigInteger)


def _select_hashes() -> Select[Any]:
    acceptance = entry.alias("e")
    accepted = (
        select(_order_hash(acceptance).label("hash"))
        .where(acceptance.c.kind == RowKind.ACCEPTANCE, between(acceptance))
        .subquery("accepted")
    )
    return select(accepted.c.hash).group_by(accepted.c.hash).having(func.count() > 1)


def _select_resent() -> Select[Any]:
    """Select last charges that are not the first received of their order and worker, and were not found before."""
    acceptance, charge, reversal = (entry.alias(name) for name in "ear")
    alike = materialized(
        select(*(acceptance.c[name] for name in KEY)).where(
            acceptance.c.kind == RowKind.ACCEPTANCE,
            between(acceptance),
            _order_hash(acceptance) == any_(bindparam("hashes", type_=ARRAY(BigInteger))),
        ),
        "alike",
    )
    of_order = (charge.c.enterprise, charge.c.order_id, charge.c.worker_key, charge.c.worker_rest)
    kept = func.first_value(charge.c.accepted_at, type_=INSTANT).over(
        partition_by=of_order, order_by=(manifest.c.turn, charge.c.leaf_index)
    )
    received = (
        select(*(charge.c[name] for name in KEY), kept.label("kept_accepted_at"))
        .select_from(alike)
        .join(charge, same_order(charge, alike))
        .join(manifest, manifest.c.batch == charge.c.batch)
        .where(charge.c.kind == RowKind.ACCEPTANCE, between(charge), reached(charge))
        .cte("received")
    )
    return (
        select(
            *charge_columns(charge, charge),
            received.c.kept_accepted_at,
            reversal.c.kind.is_not(None).label("is_reversed"),
        )
        .select_from(received)
        .join(charge, same_order(charge, received))
        .join(enterprise, enterprise.c.id == charge.c.enterprise)
        .outerjoin(resend, same_order(resend, charge))
        .outerjoin(reversal, and_(is_reversal_of(reversal, charge), between(reversal)))
        .where(
            charge.c.accepted_at != received.c.kept_accepted_at,
            between(charge),
            resend.c.order_id.is_(None),
            is_last_charge(charge, between(LATER)),
        )
        .order_by(*first_columns(4))
    )


_HASHES: Final = values(_select_hashes(), int)
_RESENT: Final = query(_select_resent(), _ResentCharge)
_KEEP: Final = Command(insert(resend).from_select(_Resend.__struct_fields__, select(_FOUND.rows)))


async def reverse_resends(connection: Connection, run: Run, batch: Batch, day: date, cut: Batches) -> None:
    """Keep what was sent again, for the findings, and reverse what of it was charged.

    Searches the day before, the day and the day after, and on the last day of a month all of it.
    """
    is_month_end = (day + timedelta(days=1)).month != day.month
    first = day.replace(day=1) if is_month_end else day - timedelta(days=1)
    rows = await _find_resends(connection, cut, day_bounds(first)[0], day_bounds(day + timedelta(days=1))[1])
    already = {row[:KIND] for row in batch.rows}
    add_derived_rows(batch, run, [reversal_row(charge, RESENT) for charge in rows if _is_due(charge, already)])
    resends = [
        _Resend(
            charge.enterprise, charge.order_id, charge.worker_key, charge.accepted_at, charge.kept_accepted_at,
            charge.premium > 0, day,
        )
        for charge in rows
    ]  # fmt: skip
    await _KEEP.execute(connection, **_FOUND.parameters(resends))


def _is_due(charge: _ResentCharge, already: Iterable[tuple[object, ...]]) -> bool:
    key = (since_epoch_us(charge.accepted_at), charge.enterprise, charge.order_id, charge.worker_key)
    return charge.premium > 0 and not charge.is_reversed and key not in already


async def _find_resends(connection: Connection, cut: Batches, begin: datetime, end: datetime) -> list[_ResentCharge]:
    """Read all rows between twice, by their key alone: for hashes that come twice, and for the orders behind them.

    The hashes are sorted, which takes half the time of a table of them. Of the orders, which are few, the planner
    expects as many as there are rows, and would read all of these twice more.
    """
    async with planning_without(connection, "hashagg"):
        hashes = await _HASHES.fetch(connection, begin=begin, end=end)
    if not hashes:
        return []
    async with planning_without(connection, "hashjoin", "mergejoin"):
        return await _RESENT.fetch(connection, begin=begin, end=end, hashes=hashes, cut=cut.lasts)
