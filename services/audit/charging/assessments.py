"""Check assessed numbers: each was presumed, at the right amount and place, and is reversed once its order came."""

from collections import Counter, defaultdict
from datetime import date
from itertools import pairwise
from typing import Final

from msgspec import Struct

from services.audit.facts import Facts
from services.audit.verdict import Check, Verdict
from shared.adapters.postgres.pool import Connection
from shared.adapters.postgres.typed_rows import fetch_structs
from shared.domain.calendar import day_start

_PRESUMED: Final = """
    select enterprise, series, insured_on, first, last, j.judged_on from charging.number_gap g
    join charging.judged_day j on (j.day, j.is_presumed) = (g.insured_on, g.is_presumed) where g.is_presumed"""
_ROWS: Final = "select * from charging.assessment order by batch, leaf_index"
_CHARGED: Final = """
    select series, region / 10000 as province, industry, tariff_line, premium, batch, count(*) as orders
    from charging.entry where kind = 1 and premium > 0 and enterprise = $1 and accepted_at >= $2
        and accepted_at < $2 + interval '1 day' group by 1, 2, 3, 4, 5, 6"""
_STANDING: Final = """
    select a.series, a.first, a.last, count(*) as numbers
    from charging.assessment a
    join charging.number_range s on s.enterprise = a.enterprise and s.series = a.series and s.state = 'seen'
        and s.last >= a.first and s.first <= a.last
    cross join lateral generate_series(greatest(a.first, s.first), least(a.last, s.last)) as n
    where a.of_batch is null and not exists (
        select from charging.assessment r where (r.of_batch, r.of_leaf) = (a.batch, a.leaf_index)
            and n between r.first and r.last)
    group by 1, 2, 3"""
GapKey = tuple[int, str, date, int, int]
"""Enterprise, series, insured day, first and last number."""
Basis = tuple[int, int, int, int]
"""Province, industry, tariff line and base amount."""


class _GapRow(Struct, frozen=True):
    """Numbers that were presumed to be orders."""

    enterprise: int
    series: str
    insured_on: date
    first: int
    last: int
    judged_on: date


class _AssessmentRow(Struct, frozen=True):
    """A row of `charging.assessment`."""

    batch: int
    leaf_index: int
    enterprise: int
    series: str
    insured_on: date
    first: int
    last: int
    province: int
    industry: int
    tariff_line: int
    base_amount: int
    of_batch: int | None
    of_leaf: int | None
    why: str


class _ChargedRow(Struct, frozen=True):
    """Charged orders of an enterprise and day, by series, place, line, amount and batch."""

    series: str | None
    province: int
    industry: int
    tariff_line: int
    premium: int
    batch: int
    orders: int


_MOST: Final = 1_000_000
"""Missing numbers of a series and day beyond which nothing is charged (docs/decisions/0007)."""


async def check_assessments(connection: Connection, facts: Facts, verdict: Verdict) -> None:
    """Check the charges for sequence numbers without an order against gaps, rows and the dated rule."""
    check = verdict.check("I10", "presumed orders are charged where the rule says so, at the amount and place it says")
    closed = {day.day for day in facts.closed}
    gaps = await fetch_structs(connection, _GapRow, _PRESUMED)
    # What a close presumed that the books do not know yet cannot be worked out from their cuts.
    # Nor can it be where the day's rows have left the table: what they said was checked before.
    pending = {_key(gap) for gap in gaps if gap.judged_on not in closed or gap.insured_on in facts.archived}
    rows = await fetch_structs(connection, _AssessmentRow, _ROWS)
    charged = {_key(row): _basis(row) for row in rows if row.of_batch is None and _key(row) not in pending}
    expected = await _expected(connection, facts, [gap for gap in gaps if _key(gap) not in pending])
    check.compare_all("charging.assessment ", charged, expected)
    _check_taken_back(check, rows)
    for row in await connection.fetch(_STANDING):
        name = f"charging.assessment {row['series']} {row['first']}-{row['last']}"
        check.find(f"{name}: {row['numbers']} numbers came and are charged all the same")


async def _expected(connection: Connection, facts: Facts, gaps: list[_GapRow]) -> dict[GapKey, Basis]:
    """Return the numbers of these gaps to charge, by the rule in force when the day began."""
    by_day: dict[tuple[int, str, date], list[_GapRow]] = defaultdict(list)
    for gap in gaps:
        by_day[gap.enterprise, gap.series, gap.insured_on].append(gap)
    expected: dict[GapKey, Basis] = {}
    for (enterprise, series, on), mine in by_day.items():
        basis = await _worked_out(connection, facts, enterprise, series, on, mine[0].judged_on)
        if basis is None or not facts.scheme.is_assessed(f"{basis[0]:02}", day_start(on)):
            continue
        if sum(gap.last - gap.first + 1 for gap in mine) <= _MOST:
            expected |= {_key(gap): basis for gap in mine}
    return expected


async def _worked_out(
    connection: Connection, facts: Facts, enterprise: int, series: str, insured_on: date, judged_on: date
) -> Basis | None:
    """Province, industry, tariff line and base amount, from the charged orders that the judging close reached."""
    rows = [
        row
        for row in await fetch_structs(connection, _ChargedRow, _CHARGED, enterprise, day_start(insured_on))
        if (index := facts.closing_of(row.batch)) is not None and facts.closed[index].day <= judged_on
    ]
    if not rows:
        return None
    best = min(rows, key=lambda row: (-row.premium, row.tariff_line))
    orders: dict[bool, Counter[int]] = defaultdict(Counter)
    for row in rows:
        orders[row.series == series][row.province] += row.orders
    counts = orders[True] or orders[False]
    province = min(counts, key=lambda code: (-counts[code], code))
    return province, best.industry, best.tariff_line, best.premium


def _check_taken_back(check: Check, rows: list[_AssessmentRow]) -> None:
    """Check that a reversal lies within its assessment, at its amount and place, and takes no number twice."""
    charged: dict[tuple[int, int | None], _AssessmentRow] = {
        (row.batch, row.leaf_index): row for row in rows if row.of_batch is None
    }
    taken: dict[tuple[int, int | None], list[tuple[int, int]]] = defaultdict(list)
    for row in rows:
        if row.of_batch is None:
            continue
        of = charged.get((row.of_batch, row.of_leaf))
        name = f"charging.assessment {row.series} {row.first}-{row.last}, {row.why}"
        if of is None or not of.first <= row.first <= row.last <= of.last:
            check.find(f"{name}: takes back what was not charged")
            continue
        check.compare(name, _key(row)[:3] + _basis(row), _key(of)[:3] + _basis(of))
        taken[row.of_batch, row.of_leaf].append((row.first, row.last))
    for ranges in taken.values():
        ranges.sort()
        for (_, last), (first, _) in pairwise(ranges):
            if first <= last:
                check.find(f"charging.assessment: number {first} is taken back twice")


def _key(row: _GapRow | _AssessmentRow) -> GapKey:
    return row.enterprise, row.series, row.insured_on, row.first, row.last


def _basis(row: _AssessmentRow) -> Basis:
    return row.province, row.industry, row.tariff_line, row.base_amount
