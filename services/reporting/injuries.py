"""Injury notices (一键报案) against orders: was there one, and was it sent before the notice?

A notice is looked at when the day of the injury is examined, or at once when it is already, and again after each
further day while an order may still come. What an order's acceptance is known by is the earliest time at which it can
have been sent: one that was sent after the notice was so for certain.
"""

from datetime import date, timedelta
from typing import Any, Final, NamedTuple

import msgspec
from sqlalchemy import insert, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.reporting.discrepancies import Discrepancy, settle
from services.reporting.sources import Cover, Sources
from services.reporting.tables import INJURY_CHECK
from services.reporting.totals import Record
from shared.contracts.findings import FindingKind, OrderRef
from shared.contracts.notices import InjuryNoticed
from shared.domain.calendar import insured_day

_DUE: Final = text("""
with last as (select max(day) as day from reporting.day_examined)
select n.body, last.day as checked_on from last cross join reporting.injury_notice n
where exists (select from reporting.day_examined e where e.day = n.injured_on)
    and not exists (select from reporting.injury_check c
        where c.notice_id = n.notice_id and (c.is_final or c.checked_on = last.day))
order by n.injured_on, n.notice_id limit 1000
""")


class _Judged(NamedTuple):
    outcome: str
    is_final: bool
    orders: list[Cover]


async def check_injuries(engine: AsyncEngine, sources: Sources, wait_days: int, record_all: Record) -> int:
    """Check what is due, each notice in a transaction of its own; returns how many."""
    async with engine.connect() as connection:
        due = (await connection.execute(_DUE)).all()
    for row in due:
        notice = msgspec.json.decode(row.body, type=InjuryNoticed)
        covers = await sources.covers(notice.worker_id, notice.injured_at)
        judged = judge_notice(notice, covers, row.checked_on, wait_days)
        async with engine.begin() as connection:
            await _note(connection, notice, judged, row.checked_on, record_all)
    return len(due)


def judge_notice(notice: InjuryNoticed, covers: list[Cover], checked_on: date, wait_days: int) -> _Judged:
    """`covered` and `covered_later` are final; `no_order` is, once so many days after the injury are examined."""
    named = [each for each in covers if _is_named(notice, each)]
    if not named:
        return _Judged("no_order", checked_on >= insured_day(notice.injured_at) + timedelta(days=wait_days), [])
    before = [each for each in named if each.recorded_at <= notice.noticed_at]
    return _Judged("covered" if before else "covered_later", True, before or named)


def _is_named(notice: InjuryNoticed, cover: Cover) -> bool:
    return notice.enterprise in (None, cover.enterprise) and notice.order_id in (None, cover.order_id)


async def _note(
    connection: AsyncConnection, notice: InjuryNoticed, judged: _Judged, checked_on: date, record_all: Record
) -> None:
    if judged.outcome == "no_order":
        await record_all(connection, [_without_order(notice)])
    else:
        note = f"by the close of {checked_on} an order was there"
        await settle(connection, FindingKind.INJURY_WITHOUT_ORDER, notice.notice_id, note)
    if judged.outcome == "covered_later":
        await record_all(connection, [_order_after(notice, judged.orders)])
    row = {"notice_id": notice.notice_id, "checked_on": checked_on}
    row |= {"outcome": judged.outcome, "is_final": judged.is_final}
    await connection.execute(insert(INJURY_CHECK).values(row))


def _without_order(notice: InjuryNoticed) -> Discrepancy:
    named = f"order {notice.order_id}" if notice.order_id else "any order"
    return Discrepancy(
        kind=FindingKind.INJURY_WITHOUT_ORDER,
        key=notice.notice_id,
        day=insured_day(notice.injured_at),
        enterprise=notice.enterprise,
        count=1,
        detail=f"injury notice {notice.notice_id}: {named} that covers the worker at that instant was not received",
        evidence=_evidence(notice),
    )


def _order_after(notice: InjuryNoticed, covers: list[Cover]) -> Discrepancy:
    first = min(each.recorded_at for each in covers)
    return Discrepancy(
        kind=FindingKind.ORDER_AFTER_INJURY,
        key=notice.notice_id,
        day=insured_day(notice.injured_at),
        enterprise=covers[0].enterprise,
        province=covers[0].province,
        count=len(covers),
        detail=f"injury notice {notice.notice_id}: the acceptance was sent after it, at {first.isoformat()}",
        evidence=_evidence(notice) | {"recorded_at": first.isoformat()},
        orders=[
            OrderRef(order_id=each.order_id, accepted_at=each.accepted_at, worker_id=notice.worker_id)
            for each in covers
        ],
    )


def _evidence(notice: InjuryNoticed) -> dict[str, Any]:
    told = {
        "notice_id": notice.notice_id,
        "worker_id": notice.worker_id,
        "injured_at": notice.injured_at.isoformat(),
        "noticed_at": notice.noticed_at.isoformat(),
        "order_id": notice.order_id,
    }
    return {name: value for name, value in told.items() if value is not None}
