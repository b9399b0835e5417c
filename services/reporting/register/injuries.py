"""Check injury notices (一键报案) against orders: was there one, and was it sent before the notice?

A notice is checked when the day of the injury is examined, or at once when it is already, and again after each
further day while an order may still come. What an order's acceptance is known by is the earliest time at which it can
have been sent: one that was sent after the notice was so for certain.
"""

from collections.abc import Callable
from datetime import date, timedelta
from functools import partial
from typing import Final, NamedTuple

import msgspec
from msgspec import Struct
from sqlalchemy import select, text
from sqlalchemy.dialects.postgresql import insert as insert_once
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.reporting.register.discrepancies import Discrepancy, EvidenceValue, resolve
from services.reporting.register.independent_totals import Record
from services.reporting.register.set_aside import Step
from services.reporting.service_clients import Cover, Sources
from services.reporting.tables import INJURY_CHECK
from shared.adapters.postgres.quarantine import Item, Quarantine
from shared.contracts.findings import FindingKind, OrderRef
from shared.contracts.notices import InjuryNoticed
from shared.domain.calendar import insured_day
from shared.domain.errors import Retry
from shared.domain.times import exact_time, shown_time

_DUE: Final = text("""
with last as (select max(day) as day from reporting.day_examined)
select n.notice_id, n.injured_on, n.body, last.day as checked_on from last cross join reporting.injury_notice n
where exists (select from reporting.day_examined e where e.day = n.injured_on)
    and not exists (select from reporting.injury_check c
        where c.notice_id = n.notice_id and (c.is_final or c.checked_on = last.day))
    and not exists (select from reporting.set_aside a where a.step = 'check_notice' and a.resolved_at is null
        and a.item = n.notice_id and a.next_at > clock_timestamp())
order by n.injured_on, n.notice_id limit :most
""")
MOST_A_STEP: Final = 200
"""Notices that one step checks: each is a question to charging, and closed days must not wait for all of them."""
MOST_UNANSWERED: Final = 3
"""Notices in a row that may wait for charging before the rest waits for the next step."""


class _DueNotice(Struct, frozen=True):
    """A notice to check, and the newest examined day."""

    notice_id: str
    injured_on: date
    body: bytes
    checked_on: date


class _Judged(NamedTuple):
    outcome: str
    is_final: bool
    orders: list[Cover]


async def check_injuries(
    engine: AsyncEngine,
    quarantine: Quarantine,
    sources: Sources,
    wait_days: int,
    record_all: Record,
    progressed: Callable[[], None] = lambda: None,
) -> int:
    """Check what is due, each notice in its own transaction; returns how many. Raises `Retry` for one that waits.

    A notice that cannot be checked is set aside; one that charging does not answer for does not hold up the others.
    """
    async with engine.connect() as connection:
        due = [_DueNotice(*row) for row in await connection.execute(_DUE, {"most": MOST_A_STEP})]

    async def check(row: _DueNotice) -> int:
        notice = msgspec.json.decode(row.body, type=InjuryNoticed)
        covers = await sources.covers(notice.worker_id, notice.injured_at)
        judged = judge_notice(notice, covers, row.checked_on, wait_days)
        async with engine.begin() as connection:
            await _note(connection, notice, judged, row.checked_on, record_all)
            await quarantine.resolve(connection, Step.CHECK_NOTICE, [row.notice_id])
        return 1

    unanswered: list[Retry] = []
    for row in due:
        try:
            await quarantine.do(
                Item(Step.CHECK_NOTICE, row.notice_id, row, {"day": row.injured_on}), partial(check, row)
            )
        except Retry as error:
            unanswered.append(error)
            if len(unanswered) == MOST_UNANSWERED:
                break
        else:
            progressed()
    if unanswered:
        raise unanswered[0]
    return len(due)


def judge_notice(notice: InjuryNoticed, covers: list[Cover], checked_on: date, wait_days: int) -> _Judged:
    """`covered` and `covered_later` are final; `no_order` is, once so many days after the injury are examined."""
    named = [cover for cover in covers if _is_named(notice, cover)]
    if not named:
        return _Judged("no_order", checked_on >= insured_day(notice.injured_at) + timedelta(days=wait_days), [])
    before = [cover for cover in named if cover.recorded_at <= notice.noticed_at]
    return _Judged("covered" if before else "covered_later", True, before or named)


def _is_named(notice: InjuryNoticed, cover: Cover) -> bool:
    return notice.enterprise in (None, cover.enterprise) and notice.order_id in (None, cover.order_id)


async def _note(
    connection: AsyncConnection, notice: InjuryNoticed, judged: _Judged, checked_on: date, record_all: Record
) -> None:
    row = {"notice_id": notice.notice_id, "checked_on": checked_on}
    row |= {"outcome": judged.outcome, "is_final": judged.is_final}
    known = INJURY_CHECK.c
    query = select(known.outcome).where(known.notice_id == notice.notice_id).order_by(known.checked_on.desc()).limit(1)
    before = await connection.scalar(query)
    mark = insert_once(INJURY_CHECK).values(row).on_conflict_do_nothing().returning(known.notice_id)
    if await connection.scalar(mark) is None:  # another process was quicker
        return
    if judged.outcome == "no_order":
        if before != judged.outcome or judged.is_final:  # a sighting a day would be a flood that says nothing new
            await record_all(connection, [_without_order(notice)])
    else:
        note = f"by the close of {checked_on} an order was there"
        await resolve(connection, FindingKind.INJURY_WITHOUT_ORDER, notice.notice_id, note)
    if judged.outcome == "covered_later":
        await record_all(connection, [order_after_finding(notice, judged.orders)])


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


def order_after_finding(notice: InjuryNoticed, covers: list[Cover]) -> Discrepancy:
    """The finding of a notice whose order was sent after it."""
    first = min(cover.recorded_at for cover in covers)
    return Discrepancy(
        kind=FindingKind.ORDER_AFTER_INJURY,
        key=notice.notice_id,
        day=insured_day(notice.injured_at),
        enterprise=covers[0].enterprise,
        province=covers[0].province,
        count=len(covers),
        detail=f"injury notice {notice.notice_id}: the acceptance was sent after it, at {shown_time(first)}",
        evidence=_evidence(notice) | {"recorded_at": exact_time(first)},
        orders=[
            OrderRef(order_id=cover.order_id, accepted_at=cover.accepted_at, worker_id=notice.worker_id)
            for cover in covers
        ],
    )


def _evidence(notice: InjuryNoticed) -> dict[str, EvidenceValue]:
    facts = {
        "notice_id": notice.notice_id,
        "worker_id": notice.worker_id,
        "injured_at": exact_time(notice.injured_at),
        "noticed_at": exact_time(notice.noticed_at),
        "order_id": notice.order_id,
    }
    return {name: value for name, value in facts.items() if value is not None}
