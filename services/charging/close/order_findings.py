"""Finds what a day's close shows about single orders: conflicts, re-sends, ends without acceptance, late ones, strays.

Computed after the count, over exactly its rows, so that the same question always gets the same answer. Set-wise: each
kind is one statement over the day's part or less; a finding is one enterprise, province and insured day.
"""

import math
from collections.abc import Iterable
from datetime import date, timedelta
from itertools import groupby
from operator import attrgetter

import structlog
from msgspec.structs import replace

from services.charging.close.finding_queries import (
    CONFLICTS,
    DELAYS,
    IDENTITY_LIKE,
    LATE,
    NOT_ENROLLED,
    RESENDS,
    UNACCEPTED,
    DelayCount,
    FoundOrder,
)
from services.charging.close.own_outages import name_outages
from services.charging.cut import Batches, find_late, read_counted_cut, read_previous_cut, scope_of_day
from services.charging.numbers.number_findings import series_findings
from services.charging.numbers.outside_findings import outside_findings
from services.charging.parking.parked_findings import parked_findings
from services.charging.rows.row_kinds import EXCLUSION_REASONS
from services.charging.store.archived_days import refuse_archived
from shared.adapters.postgres.pool import Connection, Pool
from shared.contracts.findings import DayFindings, Delays, Finding, FindingKind, OrderRef
from shared.domain.books.delays import BOUNDS_SECONDS, BUCKETS
from shared.domain.calendar import insured_day
from shared.domain.privacy.identity_share import expected_by_chance, is_beyond_chance
from shared.domain.scheme.industry import Industry

log = structlog.get_logger(__name__)
Scope = dict[str, object]
"""The parameters of `predicates.counted` for one day of a cut."""


class DayFinder:
    """Answers for counted days."""

    def __init__(self, pool: Pool, late_seconds: int, wait_days: int) -> None:
        self._pool, self._late_seconds, self._wait = pool, late_seconds, timedelta(days=wait_days)

    async def find(self, day: date) -> DayFindings | None:
        """Everything that the close of a day shows; None while the day is not counted."""
        async with self._pool.acquire() as connection:
            cut = await read_counted_cut(connection, day)
            if cut is None:
                return None
            previous = await read_previous_cut(connection, day)
            scope = await _scope(connection, cut, previous, day)
            delays = await self._delays(connection, day, scope)
            findings = [
                *await self._of_orders(connection, day, cut, previous),
                *await self._unaccepted(connection, day, cut, previous),
                *await self._late(connection, day, scope, delays),
                *await self._not_enrolled(connection, day, scope),
                *await self._identity_like(connection, day, scope),
                *await series_findings(connection, day),
                *await outside_findings(connection, day, cut),
                *await parked_findings(connection, day),
            ]
        return DayFindings(findings=findings, delays=delays)

    async def _of_orders(self, connection: Connection, day: date, cut: Batches, previous: Batches) -> list[Finding]:
        conflicts = await CONFLICTS.fetch(connection, cut=cut.lasts, previous=previous.lasts)
        resends = await RESENDS.fetch(connection, day=day)
        contents = "events repeat an order of this day with other content; the first one holds"
        times = "acceptances repeat an order under another acceptance time; the first received holds"
        return [
            *_findings(FindingKind.OTHER_CONTENT, day, conflicts, contents),
            *_findings(FindingKind.SEVERAL_ACCEPTANCE_TIMES, day, resends, times),
        ]

    async def _unaccepted(self, connection: Connection, day: date, cut: Batches, previous: Batches) -> list[Finding]:
        """Judged so many days later, when the acceptance is not waited for any more."""
        scope = await _scope(connection, cut, previous, day - self._wait)
        rows = await UNACCEPTED.fetch(connection, **scope)
        ends = {
            2: (FindingKind.COMPLETION_WITHOUT_ACCEPTANCE, "completions"),
            3: (FindingKind.CANCELLATION_WITHOUT_ACCEPTANCE, "cancellations"),
        }
        findings: list[Finding] = []
        for code, (kind, word) in ends.items():
            detail = f"{word} name an order whose acceptance had not come by the close of {day}"
            findings += _findings(kind, day, [row for row in rows if row.what == code], detail)
        return findings

    async def _late(self, connection: Connection, day: date, scope: Scope, delays: Iterable[Delays]) -> list[Finding]:
        rows = await LATE.fetch(connection, delay=timedelta(seconds=self._late_seconds), **scope)
        detail = f"acceptances were sent over {self._late_seconds} s after the order was accepted"
        known = {(delay.enterprise, delay.province, delay.insured_on): delay.orders for delay in delays}
        findings = [
            _with_delays(
                finding, known.get((finding.enterprise or "", finding.province or "", finding.insured_on or day), [])
            )
            for finding in _findings(FindingKind.LATE_ACCEPTANCES, day, rows, detail)
        ]
        return await name_outages(connection, day, findings)

    async def _not_enrolled(self, connection: Connection, day: date, scope: Scope) -> list[Finding]:
        reason = EXCLUSION_REASONS.index("enterprise_not_enrolled")
        rows = await NOT_ENROLLED.fetch(connection, reason=reason, **scope)
        detail = "orders in an industry for which the enterprise is not enrolled in this province"
        return [
            finding
            for code, name in sorted((industry.code, industry.value) for industry in Industry)
            for finding in _findings(
                FindingKind.NOT_ENROLLED, day, [row for row in rows if row.what == code], detail, name
            )
        ]

    async def _identity_like(self, connection: Connection, day: date, scope: Scope) -> list[Finding]:
        """The ids themselves are not named: if they are identities, they must not be copied around."""
        findings = []
        for row in await IDENTITY_LIKE.fetch(connection, **scope):
            expected = expected_by_chance(row.mobile_runs, row.citizen_runs)
            if is_beyond_chance(row.alike, expected):
                log.error("order ids read as identities", enterprise=row.uscc, day=str(day), orders=row.alike)
                detail = (
                    f"{row.alike} of {row.orders} order ids counted at the close of {day} read as a citizen's"
                    f" or a mobile number; {math.ceil(expected)} are to be expected by chance"
                )
                evidence: dict[str, str | int | list[str]] = {
                    "close": str(day), "received": row.orders, "expected": math.ceil(expected),
                }  # fmt: skip
                findings.append(
                    Finding(
                        kind=FindingKind.IDENTITY_LIKE_ORDER_IDS, key=f"{row.uscc}.{day}", enterprise=row.uscc,
                        insured_on=day, count=row.alike, detail=detail, evidence=evidence, orders=[],
                    )
                )  # fmt: skip
        return findings

    async def _delays(self, connection: Connection, day: date, scope: Scope) -> list[Delays]:
        bounds = [timedelta(seconds=second) for second in BOUNDS_SECONDS]
        rows = await DELAYS.fetch(connection, day=day, bounds=bounds, **scope)
        return [_delays(place, group) for place, group in groupby(rows, attrgetter("uscc", "province", "insured_on"))]


async def _scope(connection: Connection, cut: Batches, previous: Batches, day: date) -> Scope:
    late = await find_late(connection, cut, previous, day)
    await refuse_archived(connection, insured_day(late.begin), day)
    return scope_of_day(cut, day) | {"late_batches": late.batches, "late_begin": late.begin}


def _findings(
    kind: FindingKind, day: date, rows: Iterable[FoundOrder], detail: str, what: str = ""
) -> Iterable[Finding]:
    """One for each enterprise, province and insured day; rows are sorted by them, the orders within."""
    for (uscc, code, insured_on), group in groupby(rows, attrgetter("uscc", "province", "insured_on")):
        orders = list(group)
        count, province = orders[0].orders, f"{code:02}"
        evidence: dict[str, str | int | list[str]] = {"close": str(day)}
        if what:
            evidence["industry"] = what
        parts = [uscc, province, *([what] if what else []), str(insured_on), str(day)]
        yield Finding(
            kind=kind,
            key=".".join(parts),
            enterprise=uscc,
            insured_on=insured_on,
            province=province,
            count=count,
            detail=f"{count} {detail}" + (f": {what}" if what else ""),
            evidence=evidence,
            orders=[_order(row) for row in orders],
        )


def _order(row: FoundOrder) -> OrderRef:
    return OrderRef(order_id=row.order_id, accepted_at=row.accepted_at, worker_id=row.worker_id)


def _with_delays(finding: Finding, orders: list[int]) -> Finding:
    """The finding with the distribution that it is part of, bucket by bucket."""
    bounds = [f"under {bound} s" for bound in BOUNDS_SECONDS] + [f"{BOUNDS_SECONDS[-1]} s and more"]
    reported = [f"{bound}: {count}" for bound, count in zip(bounds, orders, strict=False)]
    return replace(finding, evidence=finding.evidence | {"delays": reported})


def _delays(place: tuple[str, int, date], rows: Iterable[DelayCount]) -> Delays:
    orders = [0] * BUCKETS
    for row in rows:
        orders[row.bucket] = row.orders
    return Delays(enterprise=place[0], province=f"{place[1]:02}", insured_on=place[2], orders=orders)
