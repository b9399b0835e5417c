"""Find orders that were sent again under another acceptance time: the first received holds, the others are reversed.

The rule is `shared.domain.scheme.assignment.find_resends`, here for all orders at once. A cancellation that comes later
may show that an acceptance was none: it is charged again then.
"""

from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from typing import Final

from msgspec import Struct
from sqlalchemy import (
    BigInteger,
    Boolean,
    ColumnElement,
    Date,
    FromClause,
    SmallInteger,
    Text,
    and_,
    any_,
    bindparam,
    case,
    cast,
    extract,
    func,
    insert,
    literal,
    not_,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import ARRAY, array

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
from services.charging.rerate.differing import CHARGED, UNSETTLE, NewlyCharged
from services.charging.rows.batch import Batch
from services.charging.rows.row_kinds import KIND, RESENT, REVERSAL_REASONS
from services.charging.store.derived_rows import ChargeRow, DerivedRow, add_derived_rows, reversal_row
from services.charging.store.manifests import Run
from services.charging.tables import INSTANT, enterprise, entry, manifest, reinstated, resend
from shared.adapters.postgres.pool import Connection
from shared.adapters.postgres.queries.statements import ArrayTable, Command, Selected, query, values
from shared.domain.calendar import instant_of, since_epoch_us
from shared.domain.evidence.leaf import RowKind, next_charge
from shared.domain.scheme.assignment import RESEND_SPAN, searched_between

_SPAN_US: Final = RESEND_SPAN // timedelta(microseconds=1)
_ORDER: Final = ("enterprise", "order_id", "worker_key", "worker_rest")


class _Changed(Struct, frozen=True):
    """An acceptance that is a re-send and was not known as one (`is_resend`), or the other way round."""

    accepted_at: datetime
    enterprise: int
    order_id: str
    worker_key: int
    kept_us: int
    is_resend: bool


class _Key(Struct, frozen=True):
    accepted_at: datetime
    enterprise: int
    order_id: str
    worker_key: int


class _LastCharge(ChargeRow, frozen=True):
    """The last charge of an order; `reversal` is why it was reversed, 0 where it was not."""

    reversal: int


class _Resend(Struct, frozen=True):
    enterprise: int
    order_id: str
    worker_key: int
    accepted_at: datetime
    kept_accepted_at: datetime
    was_charged: bool
    found_on: date


class _Reinstated(Struct, frozen=True):
    enterprise: int
    order_id: str
    worker_key: int
    accepted_at: datetime
    found_on: date


_KEYS: Final = ArrayTable("wanted", _Key, INSTANT, SmallInteger(), Text(), BigInteger())
_RESENDS: Final = ArrayTable(
    "resent", _Resend, SmallInteger(), Text(), BigInteger(), INSTANT, INSTANT, Boolean(), Date()
)
_REINSTATED: Final = ArrayTable("again", _Reinstated, SmallInteger(), Text(), BigInteger(), INSTANT, Date())


def _order_hash(row: FromClause) -> ColumnElement[int]:
    """64 bits of an order's key but its time: what is compared first. That two differ says that the orders do."""
    of_order = func.hashtextextended(row.c.order_id, row.c.enterprise, type_=BigInteger)
    return func.hashint8extended(row.c.worker_key, of_order, type_=BigInteger)


def _select_hashes() -> Selected:
    acceptance = entry.alias("e")
    accepted = (
        select(_order_hash(acceptance).label("hash"))
        .where(acceptance.c.kind == RowKind.ACCEPTANCE, between(acceptance))
        .subquery("accepted")
    )
    return select(accepted.c.hash).group_by(accepted.c.hash).having(func.count() > 1)


def _select_changed() -> Selected:
    """Select acceptances that became re-sends since earlier closes searched, or turned out to be none.

    That one is none can be said only where all is there that it may repeat: from `judged_from` on.

    The acceptances and cancellations of an order lie on a line of time: of each acceptance it shows how often the order
    was given back before. A cancellation at the instant of the acceptance that it names comes behind it.
    """
    row = entry.alias("e")
    is_acceptance = row.c.kind == RowKind.ACCEPTANCE
    alike = (
        select(*(row.c[name] for name in (*_ORDER, "accepted_at", "ended_at", "kind", "leaf_index")), manifest.c.turn)
        .join_from(row, manifest, manifest.c.batch == row.c.batch)
        .where(
            row.c.kind.in_((RowKind.ACCEPTANCE, RowKind.CANCELLATION)),
            between(row),
            _order_hash(row) == any_(bindparam("hashes", type_=ARRAY(BigInteger))),
            reached(row),
        )
    )
    at = case((is_acceptance, row.c.accepted_at), else_=row.c.ended_at)
    place = case((is_acceptance, 1), (row.c.ended_at > row.c.accepted_at, 0), else_=2)
    given_back = func.count(case((row.c.kind == RowKind.CANCELLATION, 1))).over(
        partition_by=[row.c[name] for name in _ORDER], order_by=(at, place), rows=(None, 0)
    )
    timeline = alike.add_columns(given_back.label("given_back")).subquery("timeline")
    accepted_us = cast(extract("epoch", timeline.c.accepted_at) * literal(1_000_000), BigInteger)
    parts: list[ColumnElement[int]] = [timeline.c.turn, cast(timeline.c.leaf_index, BigInteger), accepted_us]
    received = array(parts)
    first = func.min(received, type_=ARRAY(BigInteger)).over(
        partition_by=[timeline.c[name] for name in (*_ORDER, "given_back")],
        order_by=accepted_us,
        range_=(-_SPAN_US, _SPAN_US),
    )
    assigned = materialized(
        select(*(timeline.c[name] for name in KEY), received.label("received"), first.label("first")).where(
            timeline.c.kind == RowKind.ACCEPTANCE
        ),
        "assigned",
    )
    is_resend = assigned.c.first != assigned.c.received
    is_new = and_(is_resend, resend.c.order_id.is_(None))
    is_none_any_more = and_(
        not_(is_resend),
        resend.c.order_id.is_not(None),
        reinstated.c.order_id.is_(None),
        assigned.c.accepted_at >= bindparam("judged_from", type_=INSTANT),
    )
    return (
        select(*(assigned.c[name] for name in KEY), assigned.c.first[3].label("kept_us"), is_resend.label("is_resend"))
        .outerjoin_from(assigned, resend, same_order(resend, assigned))
        .outerjoin(reinstated, same_order(reinstated, assigned))
        .where(or_(is_new, is_none_any_more))
        .order_by(*first_columns(4))
    )


def _select_charges() -> Selected:
    charge, reversal = entry.alias("a"), entry.alias("r")
    return (
        select(*charge_columns(charge, charge), func.coalesce(reversal.c.reason, 0).label("reversal"))
        .select_from(_KEYS.rows)
        .join(charge, same_order(charge, _KEYS.rows))
        .join(enterprise, enterprise.c.id == charge.c.enterprise)
        .outerjoin(reversal, and_(is_reversal_of(reversal, charge), between(reversal)))
        .where(between(charge), is_last_charge(charge, between(LATER)))
        .order_by(*first_columns(4))
    )


_HASHES: Final = values(_select_hashes(), int)
_CHANGED: Final = query(_select_changed(), _Changed)
_CHARGES: Final = query(_select_charges(), _LastCharge)
_KEEP_RESENDS: Final = Command(insert(resend).from_select(_Resend.__struct_fields__, select(_RESENDS.rows)))
_KEEP_REINSTATED: Final = Command(
    insert(reinstated).from_select(_Reinstated.__struct_fields__, select(_REINSTATED.rows))
)


async def settle_resends(connection: Connection, run: Run, batch: Batch, day: date, cut: Batches) -> None:
    """Keep what was sent again, for the findings, and reverse what of it was charged; charge again what was not."""
    begin, end = searched_between(day)
    changed = await _find_changed(connection, cut, begin, end)
    kept = {_key(row): instant_of(row.kept_us) for row in changed if row.is_resend}
    charges = await _read_charges(connection, kept, begin, end)
    already = {row[:KIND] for row in batch.rows}
    add_derived_rows(batch, run, [reversal_row(charge, RESENT) for charge in charges if _is_due(charge, already)])
    resends = [
        _Resend(
            charge.enterprise, charge.order_id, charge.worker_key, charge.accepted_at, kept[_key(charge)],
            charge.premium > 0, day,
        )
        for charge in charges
    ]  # fmt: skip
    await _KEEP_RESENDS.execute(connection, **_RESENDS.parameters(resends))
    await _reinstate(connection, run, batch, day, [_key(row) for row in changed if not row.is_resend], (begin, end))


async def _reinstate(
    connection: Connection, run: Run, batch: Batch, day: date, keys: Sequence[_Key], bounds: tuple[datetime, datetime]
) -> None:
    """Charge acceptances again that were reversed as re-sends; a cancellation of one waits to be settled again."""
    charges = [
        charge
        for charge in await _read_charges(connection, keys, *bounds)
        if charge.reversal == REVERSAL_REASONS.index(RESENT)
    ]
    again = [DerivedRow(row, next_charge(row.kind), row.premium, row.tariff_line, 0) for row in charges]
    add_derived_rows(batch, run, again)
    newly = [
        NewlyCharged(row.accepted_at, row.enterprise, row.order_id, row.worker_key, row.worker_rest) for row in charges
    ]
    await UNSETTLE.execute(connection, begin=bounds[0], end=bounds[1], **CHARGED.parameters(newly))
    noted = [_Reinstated(key.enterprise, key.order_id, key.worker_key, key.accepted_at, day) for key in keys]
    await _KEEP_REINSTATED.execute(connection, **_REINSTATED.parameters(noted))


def _key(row: _Changed | ChargeRow) -> _Key:
    return _Key(row.accepted_at, row.enterprise, row.order_id, row.worker_key)


def _is_due(charge: _LastCharge, already: Iterable[tuple[object, ...]]) -> bool:
    key = (since_epoch_us(charge.accepted_at), charge.enterprise, charge.order_id, charge.worker_key)
    return charge.premium > 0 and not charge.reversal and key not in already


async def _find_changed(connection: Connection, cut: Batches, begin: datetime, end: datetime) -> list[_Changed]:
    """Read all rows between twice, by their key alone: for hashes that come twice, and for the orders behind them.

    The hashes are sorted, which takes half the time of a table of them.
    """
    async with planning_without(connection, "hashagg"):
        hashes = await _HASHES.fetch(connection, begin=begin, end=end)
    if not hashes:
        return []
    async with planning_without(connection, "mergejoin"):
        return await _CHANGED.fetch(
            connection, begin=begin, end=end, judged_from=begin + RESEND_SPAN, hashes=hashes, cut=cut.lasts
        )


async def _read_charges(
    connection: Connection, keys: Iterable[_Key], begin: datetime, end: datetime
) -> list[_LastCharge]:
    """Read the last charges of these orders; the planner expects more of them than there are."""
    wanted = _KEYS.parameters(list(keys))
    async with planning_without(connection, "hashjoin", "mergejoin"):
        return await _CHARGES.fetch(connection, begin=begin, end=end, **wanted)
