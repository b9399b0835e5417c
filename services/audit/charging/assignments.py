"""Check that every assignment is charged once: what was sent again is reversed, what was taken again is charged.

By `find_resends`, over all acceptances and cancellations that the close of the newest closed month reached: that close
searched everything that had come since the month before.
"""

from collections.abc import AsyncIterator
from datetime import date, datetime
from typing import Final

from msgspec import Struct

from services.audit.charging.order_rows import REVERSALS
from services.audit.charging.row_contents import FETCH_ROWS
from services.audit.charging.settlements import join_last_charge, join_reversal, order_name, order_of
from services.audit.facts import Facts
from services.audit.verdict import Check, Verdict
from shared.adapters.postgres.pool import Connection
from shared.adapters.postgres.typed_rows import fetch_structs, stream_structs
from shared.domain.calendar import insured_day
from shared.domain.evidence.leaf import RowKind
from shared.domain.scheme.assignment import RESEND_SPAN, Acceptance, Cancellation, find_resends, is_month_end

# 64 bits of the order's key are compared first: orders that differ in them are not the same.
_HASH: Final = "hashint8extended(a.worker_key, hashtextextended(a.order_id, a.enterprise))"
_ROWS: Final = f"""
    with alike as materialized (
        select hash from (select {_HASH} as hash from charging.entry a where a.kind = 1) accepted
        group by hash having count(*) > 1),
    a as materialized (
        select a.* from alike join charging.entry a on {_HASH} = alike.hash where a.kind in (1, 3))
    select a.enterprise, a.order_id, a.worker_key, a.worker_rest, a.accepted_at, a.ended_at, a.kind, a.batch,
        a.leaf_index, m.turn, coalesce(c.premium, 0) as premium, r.reason as reversal,
        s.found_on as resent_on, x.found_on as reinstated_on
    from a join charging.manifest m on m.batch = a.batch
    {join_last_charge("c", "a")}
    {join_reversal("r", "c")}
    left join charging.resend s on {order_of("s")} = {order_of("a")}
    left join charging.reinstated x on {order_of("x")} = {order_of("a")}
    order by a.enterprise, a.order_id, a.worker_key, a.worker_rest"""
_RESENDS: Final = f"""
    select s.enterprise, s.order_id, s.accepted_at, s.kept_accepted_at, s.was_charged,
        a.kind is not null as has_row, k.kind is not null as has_kept, coalesce(a.premium > 0, false) as is_charged
    from charging.resend s
    {join_last_charge("a", "s")}
    left join lateral (
        select e.kind from charging.entry e where (e.accepted_at, e.enterprise, e.order_id, e.worker_key, e.kind)
            = (s.kept_accepted_at, s.enterprise, s.order_id, s.worker_key, 1) limit 1) k on true"""


class _Row(Struct, frozen=True):
    """An acceptance or cancellation of an order that was accepted more than once, and what became of its charge."""

    enterprise: int
    order_id: str
    worker_key: int
    worker_rest: bytes
    accepted_at: datetime
    ended_at: datetime | None
    kind: int
    batch: int
    leaf_index: int
    turn: int
    premium: int
    reversal: int | None
    resent_on: date | None
    reinstated_on: date | None


class _Resend(Struct, frozen=True):
    enterprise: int
    order_id: str
    accepted_at: datetime
    kept_accepted_at: datetime
    was_charged: bool
    has_row: bool
    has_kept: bool
    is_charged: bool


async def check_assignments(connection: Connection, facts: Facts, verdict: Verdict) -> None:
    """Run all checks of assignments, in one transaction."""
    check = verdict.check("I1", "every assignment of a closed month is charged once, under one acceptance time")
    for resend in await fetch_structs(connection, _Resend, _RESENDS):
        if {insured_day(resend.accepted_at), insured_day(resend.kept_accepted_at)} & facts.archived.keys():
            continue  # what was checked before its rows left: they are not in the table to be joined
        if not (resend.has_row and resend.has_kept) or resend.is_charged != resend.was_charged:
            name = order_name(facts, resend.enterprise, resend.order_id, resend.accepted_at)
            check.find(f"charging.resend order {name}: not what the acceptances say")
    month_end = max((index for index, closed in enumerate(facts.closed) if is_month_end(closed.day)), default=None)
    if month_end is not None:
        async for rows in _orders(connection, facts, month_end):
            _check_order(facts, facts.closed[month_end].day, rows, check)


async def _orders(connection: Connection, facts: Facts, month_end: int) -> AsyncIterator[list[_Row]]:
    """Rows of one order and worker at a time, of those that the close of a month reached; none near archived days."""
    complete_from = max(facts.archived, default=date.min)
    key, rows = None, list[_Row]()
    async for row in stream_structs(connection, _Row, _ROWS, prefetch=FETCH_ROWS):
        reached = facts.closing_of(row.batch)
        if reached is None or reached > month_end or insured_day(row.accepted_at) - RESEND_SPAN <= complete_from:
            continue
        if key != (key := (row.enterprise, row.order_id, row.worker_key, row.worker_rest)):
            if rows:
                yield rows
            rows = []
        rows.append(row)
    if rows:
        yield rows


def _check_order(facts: Facts, closed_on: date, rows: list[_Row], check: Check) -> None:
    acceptances = [row for row in rows if row.kind == RowKind.ACCEPTANCE]
    resends = find_resends(
        [Acceptance(row.accepted_at, (row.turn, row.leaf_index)) for row in acceptances],
        [Cancellation(row.accepted_at, row.ended_at) for row in rows if row.ended_at and row not in acceptances],
    )
    for row in acceptances:
        if fault := _fault(row, closed_on, is_resend=row.accepted_at in resends):
            name = order_name(facts, row.enterprise, row.order_id, row.accepted_at)
            check.find(f"charging.entry order {name}: {fault}")


def _fault(row: _Row, closed_on: date, *, is_resend: bool) -> str | None:
    if any(found_on is not None and found_on > closed_on for found_on in (row.resent_on, row.reinstated_on)):
        return None  # a later close reached more of the order
    is_held = row.resent_on is not None and row.reinstated_on is None
    if is_resend and row.premium and row.reversal is None:
        return "charged 2 times: it was sent again under another acceptance time"
    if is_resend and not is_held:
        return "sent again under another acceptance time, and that was not found"
    if not is_resend and (is_held or (row.reversal is not None and REVERSALS[row.reversal] == "resent")):
        return "reversed as sent again, and the worker had given the order back before"
    return None
