"""Assessing (推定计费): numbers presumed to be orders that were not sent are charged where the authority sets it so.

In the transaction of a close, once a day: what the close has presumed is charged, and what was charged before is taken
back as far as its numbers arrived or were declared unused since. The manifest leaves through the outbox like any other,
so it is booked on the next open day and counted by the next close (docs/decisions/0007).
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, Final

from services.charging.numbers.day_declarations import around, declared_numbers, not_outdated, read_declared
from services.charging.numbers.seen_ranges import Key, Reach
from services.charging.rows.batch import Batch
from services.charging.store.cut import NEW_IN_CUT, Batches, reached_sql
from services.charging.store.manifests import start_run, write_manifest
from shared.adapters.crypto.signing import AuthorSigner
from shared.adapters.postgres.pool import Connection
from shared.contracts.manifests import Outcome, Total
from shared.contracts.topics import MANIFESTS
from shared.domain.books.number_ranges import Range, Ranges, clipped, count_of, united, without
from shared.domain.calendar import day_bounds, day_start
from shared.domain.evidence.leaf import assessed_leaf
from shared.domain.evidence.merkle import leaf_hash
from shared.domain.scheme.industry import Industry
from shared.domain.scheme.presumption import MOST_ASSESSED, Basis, Seen, assessed_reason, basis_of
from shared.domain.scheme.rating import Scheme

WHY: Final = ("presumed", "declared_unused", "arrived")
"""Position is the code in the leaf: charged, or why it is taken back."""
_COLUMNS: Final = (
    "batch", "leaf_index", "enterprise", "series", "first", "last", "insured_on", "province", "industry",
    "tariff_line", "base_amount", "why", "of_batch", "of_leaf",
)  # fmt: skip
_PRESUMED: Final = """
    select g.enterprise, e.uscc, g.series, g.insured_on, g.first, g.last
    from charging.number_gap g join charging.judged_day j on (j.day, j.is_presumed) = (g.insured_on, g.is_presumed)
    join charging.enterprise e on e.id = g.enterprise
    where j.judged_on = $1 and g.is_presumed order by g.insured_on, e.uscc, g.series, g.first"""
_SEEN: Final = f"""
    select enterprise, series, region / 10000 as province, industry, tariff_line, premium, count(*) as orders
    from charging.entry where kind = 1 and reason = 0 and accepted_at >= $1 and accepted_at < $2
        and enterprise = any($3::smallint[]) and {reached_sql(parameter=4)}
    group by 1, 2, 3, 4, 5, 6"""
_OUTSTANDING: Final = """
    select a.*, e.uscc, array_agg(int8range(r.first, r.last, '[]')) filter (where r.batch is not null) as taken_back
    from charging.assessment a join charging.enterprise e on e.id = a.enterprise
    left join charging.assessment r on (r.of_batch, r.of_leaf) = (a.batch, a.leaf_index)
    where a.of_batch is null
    group by a.batch, a.leaf_index, e.uscc
    having coalesce(sum(r.last - r.first + 1), 0) < a.last - a.first + 1
    order by a.batch, a.leaf_index"""
_ARRIVED: Final = """
    select enterprise, series, first, last from charging.number_range
    where state = 'seen' and found_on = $1 and enterprise = any($2::smallint[])"""
_COUNTED: Final = f"""
    select insured_on, uscc, province, industry, tariff_line, series, of_batch is not null as is_reversal,
        sum(last - first + 1)::bigint as orders, sum((last - first + 1) * base_amount)::bigint as premium
    from charging.assessment join charging.enterprise e on e.id = enterprise where {NEW_IN_CUT}
    group by 1, 2, 3, 4, 5, 6, 7 order by 1, 2, 3, 4, 5, 6, 7"""


@dataclass(frozen=True, slots=True)
class Assessed:
    """One row of `charging.assessment` before it has its batch."""

    enterprise: int
    uscc: str
    series: str
    first: int
    last: int
    insured_on: date
    basis: Basis
    why: str
    of: tuple[int, int] | None = None

    @property
    def orders(self) -> int:
        return self.last - self.first + 1


async def assess(connection: Connection, scheme: Scheme, day: date, reach: Reach, author: AuthorSigner) -> None:
    """At the close of `day`, after its numbers were accounted for: one manifest where there is anything to write."""
    assessed = await _taken_back(connection, day, reach) + await _presumed(connection, scheme, day, reach)
    if not assessed:
        return
    run = await start_run(connection, "assessment", author)
    batch = run.next_batch()
    rows = Batch(leaves=[leaf_hash(_leaf(part)) for part in assessed])
    await connection.copy_records_to_table(
        "assessment",
        schema_name="charging",
        columns=_COLUMNS,
        records=[
            (
                batch, index, part.enterprise, part.series, part.first, part.last, part.insured_on,
                int(part.basis.province), part.basis.industry, part.basis.tariff_line, part.basis.base_amount, part.why,
                *(part.of or (None, None)),
            )
            for index, part in enumerate(assessed)
        ],
    )  # fmt: skip
    await write_manifest(connection, run, rows, "assessment", MANIFESTS, _totals(assessed))


async def _presumed(connection: Connection, scheme: Scheme, day: date, reach: Reach) -> list[Assessed]:
    """Numbers that this close presumed, where a rule charges them and a basis exists."""
    gaps: dict[tuple[date, int, str, str], Ranges] = defaultdict(list)
    for row in await connection.fetch(_PRESUMED, day) if scheme.presumption_rules else ():
        gaps[row["insured_on"], row["enterprise"], row["uscc"], row["series"]].append((row["first"], row["last"]))
    assessed: list[Assessed] = []
    seen = await _read_seen(connection, {(on, enterprise) for on, enterprise, _, _ in gaps}, reach.cut)
    for (on, enterprise, uscc, series), ranges in gaps.items():
        basis = basis_of(series, seen[on, enterprise])
        is_due = basis is not None and scheme.is_assessed(basis.province, day_start(on))
        if basis is not None and is_due and count_of(ranges) <= MOST_ASSESSED:
            assessed += [Assessed(enterprise, uscc, series, *gap, on, basis, "presumed") for gap in united(ranges)]
    return assessed


async def _read_seen(
    connection: Connection, wanted: set[tuple[date, int]], cut: Batches
) -> dict[tuple[date, int], list[Seen]]:
    """Charged orders of enterprises on days, as they were rated first."""
    charged: dict[tuple[date, int], list[Seen]] = defaultdict(list)
    for on in sorted({day for day, _ in wanted}):
        enterprises = [enterprise for day, enterprise in wanted if day == on]
        for row in await connection.fetch(_SEEN, *day_bounds(on), enterprises, cut.lasts):
            enterprise, series, province, *rest = row
            charged[on, enterprise].append(Seen(series, f"{province:02}", *rest))
    return charged


async def _taken_back(connection: Connection, day: date, reach: Reach) -> list[Assessed]:
    """Assessed numbers that came with this close, or that a manifest new to it declares unused."""
    rows = await connection.fetch(_OUTSTANDING)
    if not rows:
        return []
    arrived: dict[Key, list[Range]] = defaultdict(list)
    for row in await connection.fetch(_ARRIVED, day, list({row["enterprise"] for row in rows})):
        arrived[row[0], row[1]].append((row[2], row[3]))
    days = {nearby for row in rows for nearby in around(row["insured_on"])}
    declared = not_outdated(await read_declared(connection, reach.cut, reach.previous, sorted(days)))
    new = [declaration for declaration in declared if declaration.is_new]
    unused = {on: declared_numbers(new, on) for on in {row["insured_on"] for row in rows}}
    came = {key: united(ranges) for key, ranges in arrived.items()}
    assessed: list[Assessed] = []
    for row in rows:
        key = (row["enterprise"], row["series"])
        said = unused[row["insured_on"]].get(key)
        assessed += _pieces(row, came.get(key, []), said.unused if said else [])
    return assessed


def _pieces(row: Any, arrived: Ranges, unused: Ranges) -> Iterable[Assessed]:
    """Parts of one assessed row that are taken back now."""
    left = without(
        [(row["first"], row["last"])], united((taken.lower, taken.upper - 1) for taken in row["taken_back"] or ())
    )
    basis = Basis(f"{row['province']:02}", row["industry"], row["tariff_line"], row["base_amount"])
    whole = Assessed(
        row["enterprise"], row["uscc"], row["series"], row["first"], row["last"], row["insured_on"], basis, "arrived",
        (row["batch"], row["leaf_index"]),
    )  # fmt: skip
    for why, ranges in (("arrived", arrived), ("declared_unused", without(unused, arrived))):
        for first, last in [part for rest in left for part in clipped(ranges, *rest)]:
            yield replace(whole, first=first, last=last, why=why)


def _leaf(part: Assessed) -> bytes:
    basis = part.basis
    return assessed_leaf(
        part.uscc.encode(), part.insured_on.toordinal(), part.first, part.last, basis.base_amount, int(basis.province),
        basis.industry, basis.tariff_line, WHY.index(part.why), part.series,
    )  # fmt: skip


def _totals(assessed: list[Assessed]) -> list[Total]:
    orders: Counter[tuple[date, str, str, Basis, bool]] = Counter()
    for part in assessed:
        orders[part.insured_on, part.uscc, part.series, part.basis, part.of is not None] += part.orders
    return [
        _total(*key[:3], key[3], is_reversal=key[4], orders=count)
        for key, count in sorted(orders.items(), key=lambda item: repr(item[0]))
    ]


def _total(insured_on: date, uscc: str, series: str, basis: Basis, *, is_reversal: bool, orders: int) -> Total:
    return Total(
        insured_on=insured_on,
        enterprise=uscc,
        province=basis.province,
        industry=Industry.of_code(basis.industry).value,
        outcome=Outcome.REVERSED if is_reversal else Outcome.CHARGED,
        reason=assessed_reason(series),
        tariff_line=basis.tariff_line,
        orders=orders,
        premium=orders * basis.base_amount * (-1 if is_reversal else 1),
    )


async def count_assessed(connection: Connection, cut: Batches, previous: Batches) -> list[Total]:
    """The totals of assessments within a cut, not in the one before: part of the count of that close."""
    return [
        _total(
            row["insured_on"],
            row["uscc"],
            row["series"],
            Basis(f"{row['province']:02}", row["industry"], row["tariff_line"], row["premium"] // row["orders"]),
            is_reversal=row["is_reversal"],
            orders=row["orders"],
        )
        for row in await connection.fetch(_COUNTED, cut.lasts, previous.lasts)
    ]
