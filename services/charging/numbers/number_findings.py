"""Finds faults in an enterprise's numbers and manifests at a close, for the regulator's register.

The day's own close checks whether it has a manifest; the next close compares the manifest with what arrived: numbers
given around midnight may be counted to either day.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, timedelta
from functools import partial
from typing import Final

import msgspec

from services.charging.cut import Batches, read_counted_cut, read_previous_cut
from services.charging.numbers.day_declarations import (
    Declared,
    around,
    declared_numbers,
    holding,
    read_declared,
    replaces,
)
from services.charging.numbers.gaps import read_boxes, read_stretches
from services.charging.numbers.number_queries import (
    ANSWERS,
    CHANGED_IDS,
    FIRST_DAY,
    GAPS,
    NEW_DAYS,
    PARKED,
    REPEATED,
    REPEATED_DAYS,
    REPEATED_ORDERS,
    SCATTERED,
    UNDECLARED,
    NamedSpan,
)
from services.charging.numbers.seen_queries import IS_ACCOUNTED
from services.charging.numbers.seen_ranges import MOST_RANGES as MOST_STRETCHES
from services.charging.numbers.series_spans import BOXES, Key, SeriesSpan
from services.charging.numbers.settled_gaps import GapLeft, read_gaps_left
from shared.adapters.postgres.pool import Connection
from shared.contracts.findings import MOST_ORDERS, Finding, FindingKind, OrderRef
from shared.contracts.manifests import DayCounted, Outcome
from shared.contracts.parking import Fault, fault_of_parked
from shared.domain.books.number_ranges import Ranges, clipped, common, count_of, united, without
from shared.domain.calendar import day_bounds
from shared.domain.money import Amount, parse_yuan, yuan

MOST_RANGES: Final = 100
"""Ranges of numbers that a finding names; its `count` is over all of them."""
_UNTOLD: Final = frozenset({"cancelled"})
"""Reversals that a manifest does not subtract: it counts what was accepted and charged, cancelled later or not."""
Place = tuple[str, str]
"""Province and industry."""
Sum = tuple[int, int]
"""Orders, 0.0001 yuan."""


async def series_findings(connection: Connection, day: date) -> list[Finding]:
    """Findings of the close of a counted day; repeatable. Empty for a day that was not counted."""
    cut = await read_counted_cut(connection, day)
    if cut is None:
        return []
    cuts = cut, await read_previous_cut(connection, day)
    new_days = await NEW_DAYS.fetch(connection, cut=cuts[0].lasts, previous=cuts[1].lasts)
    days = {*around(day - timedelta(days=1)), *new_days}
    declared = await read_declared(connection, *cuts, sorted(days))
    return [
        *await _used_twice(connection, day),
        *await _gaps(connection, day),
        *map(partial(_gap_left, day), await read_gaps_left(connection, day, cuts, new_days)),
        *map(partial(_scattered, day), await SCATTERED.fetch(connection, day=day)),
        *await _manifests(connection, day, cuts, declared),
        *await _differences(connection, day - timedelta(days=1), day, declared),
    ]


async def _used_twice(connection: Connection, day: date) -> list[Finding]:
    spans = await REPEATED.fetch(connection, day=day)
    if not spans:
        return []
    orders = await _orders_behind(connection, spans)
    repeated: dict[tuple[str, Key], Ranges] = defaultdict(list)
    for span in spans:
        repeated[span.uscc, span.key].append(span.numbers)
    return [
        Finding(
            kind=FindingKind.NUMBER_USED_TWICE,
            key=f"{uscc}.{series}.{day}",
            enterprise=uscc,
            insured_on=day,
            count=count_of(ranges),
            detail=f"{count_of(ranges)} numbers of series {series} are on more than one order",
            evidence={"series": series, "numbers": reported(ranges)},
            orders=orders.get((enterprise_id, series), []),
        )
        for (uscc, (enterprise_id, series)), ranges in repeated.items()
    ]


async def _orders_behind(connection: Connection, spans: Sequence[SeriesSpan]) -> dict[Key, list[OrderRef]]:
    """Some of the orders that have the numbers."""
    boxes = BOXES.parameters(spans[:MOST_RANGES])
    days = await REPEATED_DAYS.fetch_one(connection, **boxes)
    if days.first_on is None or days.last_on is None:
        return {}
    orders: dict[Key, list[OrderRef]] = defaultdict(list)
    rows = await REPEATED_ORDERS.fetch(
        connection, **boxes, begin=day_bounds(days.first_on)[0], end=day_bounds(days.last_on)[1], limit=MOST_ORDERS
    )
    for row in rows:
        order = OrderRef(order_id=row.order_id, accepted_at=row.accepted_at, worker_id=row.worker)
        orders[row.enterprise, row.series].append(order)
    return orders


async def _gaps(connection: Connection, day: date) -> list[Finding]:
    gaps: dict[tuple[str, date, str, bool], Ranges] = defaultdict(list)
    declared: Counter[tuple[str, date, str, bool]] = Counter()
    for row in await GAPS.fetch(connection, day=day):
        key = (row.uscc, row.insured_on, row.series, row.is_presumed)
        gaps[key].append((row.first, row.last))
        declared[key] += (row.last - row.first + 1) * row.is_declared
    return [_gap(*key, ranges, declared[key]) for key, ranges in gaps.items()]


def _gap(uscc: str, insured_on: date, series: str, is_presumed: bool, ranges: Ranges, declared: int) -> Finding:
    count, ranges = count_of(ranges), united(ranges)
    what = "are presumed to be orders that were not sent" if is_presumed else "came with no acceptance"
    return Finding(
        kind=FindingKind.PRESUMED_ORDERS if is_presumed else FindingKind.SEQUENCE_GAP,
        key=f"{uscc}.{series}.{insured_on}",
        enterprise=uscc,
        insured_on=insured_on,
        count=count,
        detail=f"{count} numbers of series {series} {what}, and were not declared unused",
        evidence={"series": series, "numbers": reported(ranges), "declared_used": declared},
        orders=[],
    )


def _gap_left(day: date, gap: GapLeft) -> Finding:
    """What is left of a gap that an earlier close found; settled where nothing is."""
    count = count_of(gap.left)
    arrived = count_of(gap.missing) - count
    detail = f"{day}: {arrived} numbers of series {gap.series} arrived or were declared unused, {count} are missing"
    if not count:
        detail = f"{day}: all {arrived} numbers of series {gap.series} arrived or were declared unused"
    return Finding(
        kind=FindingKind.PRESUMED_ORDERS if gap.is_presumed else FindingKind.SEQUENCE_GAP,
        key=f"{gap.uscc}.{gap.series}.{gap.insured_on}",
        enterprise=gap.uscc,
        insured_on=gap.insured_on,
        count=count,
        detail=detail,
        evidence={"series": gap.series, "numbers": reported(gap.left)},
        orders=[],
        is_settled=not count,
    )


def _scattered(day: date, span: NamedSpan) -> Finding:
    return Finding(
        kind=FindingKind.SEQUENCE_GAP,
        key=f"{span.uscc}.{span.series}.{day}.scattered",
        enterprise=span.uscc,
        insured_on=day,
        count=1,
        detail=f"numbers of series {span.series} are scattered over more than {MOST_STRETCHES} stretches: what is"
        " missing is unknown",
        evidence={"series": span.series, "numbers": reported([span.numbers])},
        orders=[],
    )


async def _manifests(
    connection: Connection, day: date, cuts: tuple[Batches, Batches], declared: list[Declared]
) -> list[Finding]:
    """Manifests that the day lacks, and those that came late or changed one since the close before."""
    first_on = await FIRST_DAY.fetch_first(connection)
    findings = list(_late_or_changed(day, first_on, declared))
    there = [manifest.enterprise for manifest in declared if manifest.day == day]
    for row in await UNDECLARED.fetch(connection, day=day, enterprises=there):
        text = f"{row.acceptances} numbered acceptances came, and no manifest of the day before its close"
        findings.append(_of_manifest(FindingKind.MANIFEST_MISSING, row.uscc, day, f"{row.uscc}.{day}", text))
    for changed in await CHANGED_IDS.fetch(connection, cut=cuts[0].lasts, previous=cuts[1].lasts):
        uscc, name = changed.uscc, changed.order_id
        text = f"manifest {name} came again with other content; the first one holds"
        findings.append(_of_manifest(FindingKind.MANIFEST_CHANGED, uscc, changed.declared_day, f"{uscc}.{name}", text))
    return findings


def _late_or_changed(day: date, first_on: date | None, declared: list[Declared]) -> Iterator[Finding]:
    held: dict[tuple[int, date], Declared] = {}
    for declaration in sorted(declared, key=lambda declaration: declaration.is_new):
        name, before = declaration.reported.declaration_id, held.get((declaration.enterprise, declaration.day))
        holds = before is None or replaces(declaration, before)
        if holds:
            held[declaration.enterprise, declaration.day] = declaration
        if not declaration.is_new or first_on is None or declaration.day < first_on:
            continue
        key = f"{declaration.uscc}.{declaration.day}.{name}"
        if declaration.day < day:
            text = f"manifest {name} of {declaration.day} was first there at the close of {day}"
            yield _of_manifest(FindingKind.MANIFEST_LATE, declaration.uscc, declaration.day, key, text)
        if before is not None and before.content != declaration.content:
            text = f"manifest {name} differs from {before.reported.declaration_id} of the same day"
            if not holds:
                order = "goes before it" if before.revision is None else "was there before it"
                text += f", and does not hold: revision {before.stated_revision} {order}"
            yield _of_manifest(FindingKind.MANIFEST_CHANGED, declaration.uscc, declaration.day, key, text)


def _of_manifest(kind: FindingKind, uscc: str, insured_on: date | None, key: str, text: str) -> Finding:
    return Finding(
        kind=kind, key=key, enterprise=uscc, insured_on=insured_on, count=1, detail=text, evidence={}, orders=[]
    )


async def _differences(connection: Connection, day: date, closing: date, declared: list[Declared]) -> list[Finding]:
    """A day's manifests against what had arrived at the close of the day after it."""
    if not await IS_ACCOUNTED.fetch_one(connection, day=day):
        return []
    held = {key: declaration for key, declaration in holding(declared).items() if key[1] in around(day)}
    mine = {declaration.enterprise: declaration for (_, on), declaration in held.items() if on == day}
    received = await _received(connection, day, closing)
    parked = await _parked_numbers(connection, day, closing, held.values())
    findings = [
        finding
        for declaration in mine.values()
        for finding in _other_totals(
            declaration,
            _declared_totals(declaration),
            received.get(declaration.uscc, {}),
            parked[declaration.enterprise],
        )
    ]
    return findings + await _other_numbers(connection, day, closing, mine, held.values())


async def _parked_numbers(
    connection: Connection, day: date, closing: date, held: Iterable[Declared]
) -> dict[int, Counter[Fault]]:
    """Numbers that manifests declare used on the day and that are parked, of each enterprise by whose fault that is."""
    declared = declared_numbers(held, day)
    parked: dict[int, Counter[Fault]] = defaultdict(Counter)
    for number in await PARKED.fetch(connection, day=day - timedelta(days=1), until=closing):
        numbers = declared.get((number.enterprise, number.series))
        if numbers is not None and clipped(numbers.used, number.sequence, number.sequence):
            parked[number.enterprise][fault_of_parked(number.reason)] += 1
    return parked


async def _received(connection: Connection, day: date, closing: date) -> dict[str, dict[Place, Sum]]:
    """Charged orders of a day by enterprise and place, as the closes up to one counted them.

    Orders that were sent again count once, and re-rated ones as they are now; cancellations are not subtracted.
    """
    sums: dict[str, dict[Place, Sum]] = defaultdict(lambda: defaultdict(lambda: (0, 0)))
    for payload in await ANSWERS.fetch(connection, day=day, until=closing):
        for total in msgspec.json.decode(payload, type=DayCounted).totals:
            if total.insured_on != day or total.outcome is Outcome.EXCLUDED or total.reason in _UNTOLD:
                continue
            place = (total.province or "", total.industry or "")
            orders, premium = sums[total.enterprise][place]
            sign = -1 if total.outcome is Outcome.REVERSED else 1
            sums[total.enterprise][place] = (orders + sign * total.orders, premium + total.premium)
    return sums


def _declared_totals(declaration: Declared) -> dict[Place, Sum]:
    sums: dict[Place, Sum] = defaultdict(lambda: (0, 0))
    for total in declaration.reported.totals:
        orders, premium = sums[total.province, total.industry]
        sums[total.province, total.industry] = (orders + total.orders, premium + parse_yuan(total.premium_yuan))
    return sums


def _other_totals(
    declaration: Declared, declared: dict[Place, Sum], received: dict[Place, Sum], parked: Counter[Fault]
) -> Iterator[Finding]:
    for place in sorted(declared.keys() | received.keys()):
        said, came = declared.get(place, (0, 0)), received.get(place, (0, 0))
        if said == came:
            continue
        province, industry = place
        amounts = yuan(Amount(said[1])), yuan(Amount(came[1]))
        yield Finding(
            kind=FindingKind.DECLARED_DIFFERENTLY,
            key=f"{declaration.uscc}.{declaration.day}.{province}.{industry}",
            enterprise=declaration.uscc,
            insured_on=declaration.day,
            province=province,
            count=abs(said[0] - came[0]),
            detail=f"{said[0]} orders of {amounts[0]} yuan in {industry} were declared, {came[0]} of {amounts[1]} came",
            evidence={
                **_named(declaration),
                "industry": industry, "declared_orders": said[0], "received_orders": came[0],
                "declared_yuan": amounts[0], "received_yuan": amounts[1], **_parked_evidence(parked, said[0] - came[0]),
            },
            orders=[],
        )  # fmt: skip


def _parked_evidence(parked: Counter[Fault], missing: int) -> dict[str, str | int]:
    """How many declared numbers are parked where orders are missing; ours where what we parked explains all of them."""
    if missing <= 0 or not parked:
        return {}
    fault = Fault.OURS if parked[Fault.OURS] >= missing else Fault.UNKNOWN
    return {"parked": parked.total(), "fault": fault.value}


async def _other_numbers(
    connection: Connection, day: date, closing: date, mine: dict[int, Declared], held: Iterable[Declared]
) -> list[Finding]:
    """Numbers that came and were not declared, or were declared unused."""
    declared = {key: numbers for key, numbers in declared_numbers(held, day).items() if key[0] in mine}
    boxes = {key: box for key, box in (await read_boxes(connection, day, declared)).items() if key[0] in mine}
    findings = []
    for key, stretch in (await read_stretches(connection, boxes, day, closing)).items():
        numbers = declared.get(key)
        came = united(stretch.mine)
        undeclared = without(came, numbers.used_around if numbers else [])
        denied = common(united(stretch.seen), numbers.unused) if numbers else []
        if undeclared or denied:
            findings.append(_numbers_differ(mine[key[0]], key[1], undeclared, denied))
    return findings


def _numbers_differ(declaration: Declared, series: str, undeclared: Ranges, denied: Ranges) -> Finding:
    count = count_of(united([*undeclared, *denied]))
    return Finding(
        kind=FindingKind.DECLARED_DIFFERENTLY,
        key=f"{declaration.uscc}.{declaration.day}.series.{series}",
        enterprise=declaration.uscc,
        insured_on=declaration.day,
        count=count,
        detail=f"{count} numbers of series {series} came that were not declared, or declared unused",
        evidence={
            **_named(declaration), "series": series,
            "not_declared": reported(undeclared), "declared_unused": reported(denied),
        },
        orders=[],
    )  # fmt: skip


def _named(declaration: Declared) -> dict[str, str | int]:
    """The evidence that names the manifest."""
    named: dict[str, str | int] = {
        "declaration_id": declaration.reported.declaration_id, "received_sha256": declaration.received.hex(),
    }  # fmt: skip
    return named if declaration.revision is None else named | {"revision": declaration.revision}


def reported(ranges: Ranges) -> list[str]:
    """Ranges for a reader, the first MOST_RANGES of them."""
    return [str(first) if first == last else f"{first}-{last}" for first, last in ranges[:MOST_RANGES]]
