"""Recompute orders outside signed declarations, and the decisions that reverse them, from rows and manifests.

Nothing is shared with charging's own count: orders are read one by one, and each is held against the manifests that the
cut of each close reached. What lies in the surplus of a place is a number of orders here, not which ones.
"""

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from hashlib import sha256
from typing import Final, TypeVar

import msgspec
from msgspec import UNSET, Struct

from services.audit.charging.deployments import Charging
from services.audit.charging.row_contents import FETCH_ROWS
from services.audit.facts import Facts
from services.audit.verdict import Check, Verdict
from shared.adapters.postgres.pool import Connection
from shared.adapters.postgres.typed_rows import fetch_structs, stream_structs
from shared.contracts.events import Declaration
from shared.contracts.manifests import DayCounted
from shared.domain.books.number_ranges import Ranges, united
from shared.domain.calendar import day_bounds
from shared.domain.evidence.leaf import is_charge, is_reversal
from shared.domain.scheme.industry import Industry

_DECLARATIONS: Final = """
    select enterprise, declared_day, body, revision, batch from charging.declaration
    where revision is not null order by recorded_at, declaration_id"""
_BATCHES: Final = """
    select distinct batch from charging.entry
    where enterprise = $1 and accepted_at >= $2 and accepted_at < $3 and (kind = 1 or kind >= 4)"""
_ORDERS: Final = """
    select o.order_id, o.accepted_at, o.worker_key, o.series, o.sequence, o.region / 10000 as province, o.industry,
        n.kind, n.reason, n.batch
    from charging.entry o join charging.entry n using (accepted_at, enterprise, order_id, worker_key)
    where o.kind = 1 and (n.kind = 1 or n.kind >= 4)
        and o.enterprise = $1 and o.accepted_at >= $2 and o.accepted_at < $3
        and n.enterprise = $1 and n.accepted_at >= $2 and n.accepted_at < $3
    order by o.accepted_at, o.order_id, o.worker_key, n.kind"""
_STORED: Final = "select * from ledger.outside_declaration"
_ANSWERS: Final = "select day, attempt, payload from charging.day_count order by answered_at"
_DECIDED: Final = """
    select p.id, p.orders, p.premium, p.orders_sha256, p.insured_on, p.enterprise, p.proposed_by, c.consented_by,
        c.batches
    from charging.adjustment_consent c join charging.adjustment_proposal p using (id) order by p.id"""
_REVERSED: Final = """
    select batch, (extract(epoch from accepted_at) * 1000000)::bigint as accepted, enterprise, order_id, worker_key,
        kind, premium
    from charging.entry where (kind = 4 or kind >= 9 and kind % 2 = 1) and reason = 4
    order by accepted_at, enterprise, order_id collate "C", worker_key"""
_CANCELLED: Final = 1
Place = tuple[str, str]
"""Province and industry."""
PlaceKey = tuple[date, date, str, str, str]
"""Posting day, insured day, enterprise, province and industry."""
LineKey = tuple[date, date, str, str, str, int, int]
"""A `PlaceKey` with tariff line and base amount."""
Declared = dict[str, Ranges]
"""Numbers that are declared, by series."""
Key = TypeVar("Key", PlaceKey, LineKey)


class _StoredRow(Struct, frozen=True):
    """A row of `ledger.outside_declaration`."""

    posting_day: date
    insured_on: date
    enterprise: str
    province: str
    industry: str
    tariff_line: int
    base_amount: int
    orders: int


class _AnswerRow(Struct, frozen=True):
    """A stored answer to a close."""

    day: date
    attempt: int
    payload: bytes


class _DeclarationRow(Struct, frozen=True):
    """A signed day declaration as charging keeps it."""

    enterprise: int
    declared_day: date
    body: bytes
    revision: int
    batch: int


class _OrderRow(Struct, frozen=True):
    """A row of an order with the names of its acceptance."""

    order_id: str
    accepted_at: datetime
    worker_key: int
    series: str | None
    sequence: int | None
    province: int
    industry: int
    kind: int
    reason: int
    batch: int


class _ReversedRow(Struct, frozen=True):
    """A reversal by decision."""

    batch: int
    accepted: int
    enterprise: int
    order_id: str
    worker_key: int
    kind: int
    premium: int


class _DecisionRow(Struct, frozen=True):
    """A decision that two persons took."""

    id: int
    orders: int
    premium: int
    orders_sha256: bytes
    insured_on: date
    proposed_by: str
    consented_by: str
    batches: list[int]


@dataclass(slots=True)
class _Said:
    """A signed manifest; `reached` is the index of the first closed day whose cut has it, None for none yet."""

    enterprise: int
    day: date
    revision: int
    message: Declaration
    reached: int | None


@dataclass(slots=True)
class _Versions:
    """What holds for one enterprise and day at the close of each index: numbers by series, orders by place."""

    said: list[_Said]
    day: date
    _cache: dict[int, tuple[Declared, Counter[Place]] | None] = field(default_factory=dict)

    def at(self, index: int) -> tuple[Declared, Counter[Place]] | None:
        """None where the day has no signed manifest yet."""
        if index not in self._cache:
            self._cache[index] = self._work_out(index)
        return self._cache[index]

    def _work_out(self, index: int) -> tuple[Declared, Counter[Place]] | None:
        held: dict[date, _Said] = {}
        for said in self.said:
            known = held.get(said.day)
            if said.reached is not None and said.reached <= index and (known is None or said.revision > known.revision):
                held[said.day] = said
        if self.day not in held:
            return None
        used: Declared = defaultdict(list)
        for said in held.values():
            for series in said.message.series:
                used[series.series] += [(one.first, one.last) for one in series.used if one.first <= one.last]
        totals = Counter[Place]()
        for total in held[self.day].message.totals:
            totals[total.province, total.industry] += total.orders
        return {name: united(ranges) for name, ranges in used.items()}, totals


async def check_outside(books: Connection, charging: Sequence[Charging], facts: Facts, verdict: Verdict) -> None:
    """Check the ledger's orders outside declarations against rows, manifests and charging's answers."""
    check = verdict.check("I10", "orders outside signed declarations, recomputed from the rows and the manifests")
    stored, by_key = Counter[PlaceKey](), Counter[LineKey]()
    archived: set[date] = {day for part in charging for day in part.facts.archived}
    for row in await fetch_structs(books, _StoredRow, _STORED):
        place = (row.posting_day, row.insured_on, row.enterprise, row.province, row.industry)
        by_key[*place, row.tariff_line, row.base_amount] += row.orders
        if row.insured_on not in archived:
            stored[place] += row.orders
    worked_out, answered = Counter[PlaceKey](), Counter[LineKey]()
    for part in charging:
        async for key, orders in _worked_out(part):
            worked_out[key] += orders
        answered.update(await _answered(part, facts))
    name = "ledger.outside_declaration posted, insured, enterprise, province, industry"
    check.compare_all(name, _some(stored), _some(worked_out))
    check.compare_all(f"{name}, line, amount: charging.day_count", _some(by_key), _some(answered))


def _some(counts: Counter[Key]) -> dict[Key, int]:
    return {key: count for key, count in counts.items() if count}


async def _answered(part: Charging, facts: Facts) -> Counter[LineKey]:
    """Sum the answers that days were closed on."""
    attempts = {closed.day: closed.attempt for closed in facts.closed}
    answers: dict[date, DayCounted] = {}
    for row in await fetch_structs(part.connection, _AnswerRow, _ANSWERS):
        if attempts.get(row.day) == row.attempt:
            answers[row.day] = msgspec.json.decode(row.payload, type=DayCounted)
    counts = Counter[LineKey]()
    for day, counted in answers.items():
        for one in [] if counted.outside is UNSET else counted.outside:
            place = (day, one.insured_on, one.enterprise, one.province, one.industry)
            counts[*place, one.tariff_line, one.base_amount] += one.orders
    return counts


async def _worked_out(part: Charging) -> AsyncIterator[tuple[PlaceKey, int]]:
    """Posting day with place, and orders, for each signed enterprise and day; without archived days."""
    connection, facts = part.connection, part.facts
    said = [_said(facts, row) for row in await fetch_structs(connection, _DeclarationRow, _DECLARATIONS)]
    for enterprise, day in sorted({(declared.enterprise, declared.day) for declared in said}):
        if not facts.closed or day > facts.closed[-1].day or day in facts.archived:
            continue
        mine = [declared for declared in said if declared.enterprise == enterprise]
        near = [declared for declared in mine if abs(declared.day - day) <= timedelta(days=1)]
        counts = await _counts(connection, facts, enterprise, _Versions(near, day))
        before = Counter[Place]()
        for index, now in counts:
            for place in now.keys() | before.keys():
                key = (facts.closed[index].day, day, facts.enterprises.get(enterprise, "?"), *place)
                yield key, now[place] - before[place]
            before = now


def _said(facts: Facts, row: _DeclarationRow) -> _Said:
    message = msgspec.json.decode(row.body, type=Declaration)
    return _Said(row.enterprise, row.declared_day, row.revision, message, facts.closing_of(row.batch))


async def _counts(
    connection: Connection, facts: Facts, enterprise: int, versions: _Versions
) -> list[tuple[int, Counter[Place]]]:
    """Orders outside by place at each close that may have changed them, in the order of the closes."""
    first = max(0, (versions.day - facts.closed[0].day).days)
    bounds = day_bounds(versions.day)
    closings = [facts.closing_of(row["batch"]) for row in await connection.fetch(_BATCHES, enterprise, *bounds)]
    closings += [said.reached for said in versions.said]
    indexes = sorted({max(first, index) for index in closings if index is not None} | {first})
    undeclared, within, charged = (defaultdict[int, Counter[Place]](Counter) for _ in range(3))
    rows = stream_structs(connection, _OrderRow, _ORDERS, enterprise, *bounds, prefetch=FETCH_ROWS)
    async for order in _by_order(rows):
        place = (f"{order[0].province:02}", Industry.of_code(order[0].industry).value)
        for index in indexes:
            version, last = versions.at(index), _last(facts, order, index)
            if version is None or last is None:
                continue
            is_charged = is_charge(last.kind) and last.reason == 0
            is_cancelled = is_reversal(last.kind) and last.reason == _CANCELLED
            if _is_declared(version[0], order[0]):
                within[index][place] += is_charged or is_cancelled
                charged[index][place] += is_charged
            else:
                undeclared[index][place] += is_charged
    counts: list[tuple[int, Counter[Place]]] = []
    for index in indexes:
        version, outside = versions.at(index), Counter[Place](undeclared[index])
        for place, orders in within[index].items():
            surplus = orders - version[1][place] if version else 0
            outside[place] += min(max(surplus, 0), charged[index][place])
        counts.append((index, outside))
    return counts


def _is_declared(used: Declared, order: _OrderRow) -> bool:
    """Whether the number of an order is among those that a declaration names."""
    if order.series is None or order.sequence is None:
        return False
    ranges = used.get(order.series, [])
    place = bisect_right(ranges, (order.sequence, 2**53))
    return place > 0 and ranges[place - 1][1] >= order.sequence


async def _by_order(rows: AsyncIterator[_OrderRow]) -> AsyncIterator[list[_OrderRow]]:
    """Rows of one order at a time."""
    order: list[_OrderRow] = []
    async for row in rows:
        if order and _order_of(row) != _order_of(order[0]):
            yield order
            order = []
        order.append(row)
    if order:
        yield order


def _order_of(row: _OrderRow) -> tuple[str, datetime, int]:
    return row.order_id, row.accepted_at, row.worker_key


def _last(facts: Facts, order: list[_OrderRow], index: int) -> _OrderRow | None:
    """The last row of an order that a close had; None where it had none."""
    there = [row for row in order if (at := facts.closing_of(row.batch)) is not None and at <= index]
    return there[-1] if there else None


async def check_decisions(connection: Connection, facts: Facts, verdict: Verdict) -> None:
    """Check that every reversal by decision was decided by two persons, order by order."""
    check = verdict.check(
        "I10", "orders outside are reversed by decisions of two persons, and exactly those that they name"
    )
    by_batch: dict[int, list[_ReversedRow]] = defaultdict(list)
    for reversal in await fetch_structs(connection, _ReversedRow, _REVERSED):
        by_batch[reversal.batch].append(reversal)
    for row in await fetch_structs(connection, _DecisionRow, _DECIDED):
        name = f"charging.adjustment_consent {row.id}"
        if row.proposed_by == row.consented_by:
            check.find(f"{name}: {row.consented_by} has proposed it, too")
        if row.insured_on in facts.archived:
            for batch in row.batches:
                by_batch.pop(batch, None)
            continue
        mine = [reversal for batch in row.batches for reversal in by_batch.pop(batch, [])]
        orders = sorted(mine, key=lambda reversal: (reversal.accepted, reversal.order_id, reversal.worker_key))
        stored = (row.orders, row.premium, row.orders_sha256.hex())
        check.compare(name, stored, (len(mine), -sum(reversal.premium for reversal in mine), _named(orders)))
    _check_undecided(check, facts, by_batch)


def _check_undecided(check: Check, facts: Facts, by_batch: dict[int, list[_ReversedRow]]) -> None:
    for batch, rows in by_batch.items():
        name = facts.manifests[batch].name if batch in facts.manifests else f"batch {batch}"
        check.find(f"{name}: reverses {len(rows)} orders by a decision that nobody took")


def _named(rows: list[_ReversedRow]) -> str:
    return sha256(b"".join(_parts(rows))).hexdigest()


def _parts(rows: list[_ReversedRow]) -> Iterator[bytes]:
    for row in rows:
        kind = 1 if row.kind == 4 else row.kind - 1
        yield row.accepted.to_bytes(8, signed=True) + row.enterprise.to_bytes(2, signed=True)
        yield row.worker_key.to_bytes(8, signed=True) + kind.to_bytes(2, signed=True)
        yield (-row.premium).to_bytes(4, signed=True) + row.order_id.encode() + b"\0"
