"""Reconcile (对账) what the national platform holds with what was sent, and take over what it finds itself (I6)."""

from collections.abc import Iterator, Sequence

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.reporting.delivery.report_counts import count_unfinished, sent_reports
from services.reporting.register.discrepancies import Discrepancy, record, resolve_absent
from services.reporting.register.set_aside import Step, open_quarantine
from shared.adapters.http.national_platform import NationalPlatform
from shared.adapters.postgres.quarantine import Item
from shared.contracts.findings import FindingKind
from shared.contracts.reports import Reconciliation
from shared.domain.errors import Refused


async def reconcile(engine: AsyncEngine, platform: NationalPlatform, period: str) -> int:
    """Name every difference of a month; returns how many there are now. Can be run again: one that is gone is resolved.

    A difference that cannot be registered is set aside, the others are registered.

    Raises `Refused` while a report of the month has no answer, `Retry` when the platform does not answer.
    """
    async with engine.connect() as connection:
        if unfinished := await count_unfinished(connection, period):
            raise Refused(f"{unfinished} reports of {period} have no answer yet")
        sent = await sent_reports(connection, period)
    answer = await platform.reconcile(period)
    held = await platform.holdings(period)
    discrepancies = [*_differences(answer), *_holdings(period, sent, held)]
    await open_quarantine(engine).do_all([_item(period, discrepancy) for discrepancy in discrepancies], _record)
    async with engine.begin() as connection:
        await resolve_absent(connection, period, discrepancies, "no longer found by reconciliation")
    return len(discrepancies)


async def _record(connection: AsyncConnection, items: Sequence[Item[Discrepancy]]) -> int:
    for item in items:
        await record(connection, item.content)
    return len(items)


def _item(period: str, discrepancy: Discrepancy) -> Item[Discrepancy]:
    return Item(
        Step.RECONCILE, f"{period}.{discrepancy.kind}.{discrepancy.identity[:16]}", discrepancy, {"period": period}
    )


def _differences(answer: Reconciliation) -> Iterator[Discrepancy]:
    for difference in answer.differences:
        yield Discrepancy(
            kind=FindingKind(difference.what),
            detail="the declaration against the month's daily coverage reports, as the national platform holds them",
            period=difference.period,
            province=difference.province,
            enterprise=difference.enterprise,
            declared=difference.declared,
            reported=difference.reported,
        )


def _holdings(period: str, sent: dict[str, tuple[str, str]], held: dict[str, str]) -> Iterator[Discrepancy]:
    """Reports that the platform does not hold as they were sent. A refused one has its own discrepancy already."""
    for report_id, (digest, state) in sorted(sent.items()):
        if state == "received" and report_id not in held:
            yield _holding(FindingKind.NOT_HELD, period, report_id, "has a receipt, and the platform does not list it")
        elif report_id in held and held[report_id] != digest:
            detail = f"sent as {digest}, held as {held[report_id]}"
            yield _holding(FindingKind.HELD_DIFFERENTLY, period, report_id, detail)
    for report_id in sorted(held.keys() - sent.keys()):
        yield _holding(FindingKind.HELD_UNKNOWN, period, report_id, "held by the platform, never sent from here")


def _holding(kind: FindingKind, period: str, report_id: str, detail: str) -> Discrepancy:
    return Discrepancy(kind=kind, period=period, report_id=report_id, detail=detail)
