"""Finds what a day's close shows about single orders: conflicts, re-sends, ends without acceptance, late ones, strays.

Computed after the count, over exactly its rows, so that the same question always gets the same answer. Set-wise: each
kind is one statement over the day's part or less; a finding is one enterprise, province and insured day.
"""

import math
from collections.abc import Iterable
from datetime import date, timedelta
from itertools import groupby
from operator import itemgetter
from typing import Any, Final, NamedTuple

import structlog
from msgspec.structs import replace

from services.charging.numbers.number_findings import series_findings
from services.charging.numbers.outside_findings import outside_findings
from services.charging.rows.row_kinds import EXCLUSION_REASONS
from services.charging.store.archived_days import refuse_archived
from services.charging.store.cut import (
    COUNTED,
    NEW_IN_CUT,
    Batches,
    Late,
    find_late,
    reached_sql,
    read_counted_cut,
    read_previous_cut,
)
from shared.adapters.postgres.pool import Connection, Pool
from shared.contracts.findings import MOST_ORDERS, DayFindings, Delays, Finding, FindingKind, OrderRef
from shared.domain.books.delays import BOUNDS_SECONDS, BUCKETS
from shared.domain.calendar import day_bounds, insured_day
from shared.domain.privacy.identity_share import COUNTS_SQL, HAS_DIGITS_SQL, expected_by_chance, is_beyond_chance
from shared.domain.scheme.industry import Industry

log = structlog.get_logger(__name__)
_ON: Final = "(accepted_at at time zone interval '8 hours')::date as insured_on"
_ORDER: Final = "accepted_at, order_id, worker_key, worker_rest"
_ACCEPTED: Final = f"""(select enterprise, region / 10000 as province, {_ON}, {_ORDER}, recorded_at, industry, reason
    from charging.entry where kind = 1 and {COUNTED}) a"""
_CONFLICTS: Final = f"""
    select enterprise, region / 10000 as province, {_ON}, 0 as what, {_ORDER}
    from (select accepted_at, enterprise, order_id, worker_key, kind, batch as told_in from charging.conflict
        where accepted_at is not null and {NEW_IN_CUT}) c
    join charging.entry using (accepted_at, enterprise, order_id, worker_key, kind)"""
_RESENDS: Final = f"""
    select enterprise, region / 10000 as province, {_ON}, 0 as what, {_ORDER}
    from charging.resend join charging.entry using (accepted_at, enterprise, order_id, worker_key)
    where kind = 1 and found_on = $1"""
_UNACCEPTED: Final = f"""
    select enterprise, province, insured_on, kind as what, {_ORDER}
    from (select enterprise, region / 10000 as province, {_ON}, kind, {_ORDER}
        from charging.entry where kind in (2, 3) and {COUNTED}) e
    where not exists (select from charging.entry a
        where (a.accepted_at, a.enterprise, a.order_id, a.worker_key, a.worker_rest, a.kind)
            = (e.accepted_at, e.enterprise, e.order_id, e.worker_key, e.worker_rest, 1)
        and a.accepted_at >= $5 and a.accepted_at < $3
        and {reached_sql("a.batch")})"""
_LATE: Final = f"""
    select enterprise, province, insured_on, 0 as what, {_ORDER}
    from {_ACCEPTED} where recorded_at - accepted_at > $6 * interval '1 second'"""
_NOT_ENROLLED: Final = f"""
    select enterprise, province, insured_on, industry as what, {_ORDER} from {_ACCEPTED} where reason = $6"""
_GROUPED: Final = f"""
    with found as materialized (%s),
    ranked as (
        select *, count(*) over g as orders, row_number() over (g order by {_ORDER}) as place
        from found window g as (partition by enterprise, province, insured_on, what))
    select uscc, province, insured_on, what, orders, accepted_at, order_id,
        encode(int8send(worker_key) || worker_rest, 'hex') as worker_id
    from ranked join charging.enterprise e on e.id = enterprise where place <= {MOST_ORDERS}
    order by uscc, province, insured_on, what, place"""
_DELAYS: Final = f"""
    select uscc, province, insured_on,
        width_bucket(coalesce(recorded_at - accepted_at, '0'), $7::interval[]) as bucket, count(*) as orders
    from {_ACCEPTED}
    join charging.enterprise e on e.id = enterprise
    where not exists (select from charging.resend s where (s.enterprise, s.order_id, s.worker_key, s.accepted_at)
        = (a.enterprise, a.order_id, a.worker_key, a.accepted_at) and s.found_on <= $6)
    group by 1, 2, 3, 4 order by 1, 2, 3, 4"""

_ALIKE: Final = f"""
    select uscc, c.* from (select enterprise, {COUNTS_SQL}
        from (select enterprise, order_id, {HAS_DIGITS_SQL} from charging.entry where kind = 1 and {COUNTED}) a
        group by enterprise) c
    join charging.enterprise e on e.id = enterprise where alike > 0 order by uscc"""


class _Scope(NamedTuple):
    """Parameters of COUNTED for one day of a cut."""

    cut: list[int]
    begin: Any
    end: Any
    late: Late

    @property
    def values(self) -> tuple[Any, ...]:
        return (self.cut, self.begin, self.end, *self.late)


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
            ]
        return DayFindings(findings=findings, delays=delays)

    async def _of_orders(self, connection: Connection, day: date, cut: Batches, previous: Batches) -> list[Finding]:
        conflicts = await connection.fetch(_GROUPED % _CONFLICTS, cut.lasts, previous.lasts)
        resends = await connection.fetch(_GROUPED % _RESENDS, day)
        contents = "events repeat an order of this day with other content; the first one holds"
        times = "acceptances repeat an order under another acceptance time; the first received holds"
        return [
            *_findings(FindingKind.OTHER_CONTENT, day, conflicts, contents),
            *_findings(FindingKind.SEVERAL_ACCEPTANCE_TIMES, day, resends, times),
        ]

    async def _unaccepted(self, connection: Connection, day: date, cut: Batches, previous: Batches) -> list[Finding]:
        """Judged so many days later, when the acceptance is not waited for any more."""
        scope = await _scope(connection, cut, previous, day - self._wait)
        rows = await connection.fetch(_GROUPED % _UNACCEPTED, *scope.values)
        ends = {
            2: (FindingKind.COMPLETION_WITHOUT_ACCEPTANCE, "completions"),
            3: (FindingKind.CANCELLATION_WITHOUT_ACCEPTANCE, "cancellations"),
        }
        findings: list[Finding] = []
        for code, (kind, word) in ends.items():
            detail = f"{word} name an order whose acceptance had not come by the close of {day}"
            findings += _findings(kind, day, [row for row in rows if row["what"] == code], detail)
        return findings

    async def _late(self, connection: Connection, day: date, scope: _Scope, delays: Iterable[Delays]) -> list[Finding]:
        rows = await connection.fetch(_GROUPED % _LATE, *scope.values, self._late_seconds)
        detail = f"acceptances were sent over {self._late_seconds} s after the order was accepted"
        known = {(delay.enterprise, delay.province, delay.insured_on): delay.orders for delay in delays}
        return [
            _with_delays(
                finding, known.get((finding.enterprise or "", finding.province or "", finding.insured_on or day), [])
            )
            for finding in _findings(FindingKind.LATE_ACCEPTANCES, day, rows, detail)
        ]

    async def _not_enrolled(self, connection: Connection, day: date, scope: _Scope) -> list[Finding]:
        reason = EXCLUSION_REASONS.index("enterprise_not_enrolled")
        rows = await connection.fetch(_GROUPED % _NOT_ENROLLED, *scope.values, reason)
        detail = "orders in an industry for which the enterprise is not enrolled in this province"
        return [
            finding
            for code, name in sorted((industry.code, industry.value) for industry in Industry)
            for finding in _findings(
                FindingKind.NOT_ENROLLED, day, [row for row in rows if row["what"] == code], detail, name
            )
        ]

    async def _identity_like(self, connection: Connection, day: date, scope: _Scope) -> list[Finding]:
        """The ids themselves are not named: if they are identities, they must not be copied around."""
        findings = []
        for row in await connection.fetch(_ALIKE, *scope.values):
            expected = expected_by_chance(row["mobile_runs"], row["citizen_runs"])
            if is_beyond_chance(row["alike"], expected):
                log.error("order ids read as identities", enterprise=row["uscc"], day=str(day), orders=row["alike"])
                detail = (
                    f"{row['alike']} of {row['orders']} order ids counted at the close of {day} read as a citizen's"
                    f" or a mobile number; {math.ceil(expected)} are to be expected by chance"
                )
                evidence: dict[str, str | int | list[str]] = {
                    "close": str(day), "received": row["orders"], "expected": math.ceil(expected),
                }  # fmt: skip
                findings.append(
                    Finding(
                        kind=FindingKind.IDENTITY_LIKE_ORDER_IDS, key=f"{row['uscc']}.{day}", enterprise=row["uscc"],
                        insured_on=day, count=row["alike"], detail=detail, evidence=evidence, orders=[],
                    )
                )  # fmt: skip
        return findings

    async def _delays(self, connection: Connection, day: date, scope: _Scope) -> list[Delays]:
        bounds = [timedelta(seconds=second) for second in BOUNDS_SECONDS]
        rows = await connection.fetch(_DELAYS, *scope.values, day, bounds)
        return [_delays(place, list(group)) for place, group in groupby(rows, itemgetter(0, 1, 2))]


async def _scope(connection: Connection, cut: Batches, previous: Batches, day: date) -> _Scope:
    late = await find_late(connection, cut, previous, day)
    await refuse_archived(connection, insured_day(late.begin), day)
    return _Scope(cut.lasts, *day_bounds(day), late)


def _findings(kind: FindingKind, day: date, rows: Iterable[Any], detail: str, what: str = "") -> Iterable[Finding]:
    """One for each enterprise, province and insured day; rows are sorted by them, the orders within."""
    for (uscc, code, insured_on), group in groupby(rows, itemgetter("uscc", "province", "insured_on")):
        orders = list(group)
        count, province = orders[0]["orders"], f"{code:02}"
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


def _order(row: Any) -> OrderRef:
    return OrderRef(order_id=row["order_id"], accepted_at=row["accepted_at"], worker_id=row["worker_id"])


def _with_delays(finding: Finding, orders: list[int]) -> Finding:
    """The finding with the distribution that it is part of, bucket by bucket."""
    bounds = [f"under {bound} s" for bound in BOUNDS_SECONDS] + [f"{BOUNDS_SECONDS[-1]} s and more"]
    reported = [f"{bound}: {count}" for bound, count in zip(bounds, orders, strict=False)]
    return replace(finding, evidence=finding.evidence | {"delays": reported})


def _delays(place: tuple[str, int, date], rows: list[Any]) -> Delays:
    orders = [0] * BUCKETS
    for row in rows:
        orders[row["bucket"]] = row["orders"]
    return Delays(enterprise=place[0], province=f"{place[1]:02}", insured_on=place[2], orders=orders)
