"""Assessing (推定计费): numbers presumed to be orders that were not sent are charged where the authority sets it so.

In the transaction of a close, once a day: what the close has presumed is charged, and what was charged before is taken
back as far as its numbers arrived or were declared unused since. The manifest leaves through the outbox like any other,
so it is booked on the next open day and counted by the next close (docs/decisions/0007).
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date
from typing import Final

from msgspec import Struct
from msgspec.structs import astuple
from sqlalchemy import BigInteger, FromClause, SmallInteger, and_, any_, bindparam, cast, func, select
from sqlalchemy.dialects.postgresql import ARRAY

from services.charging.cut import Batches
from services.charging.numbers.day_declarations import around, declared_numbers, not_outdated, read_declared
from services.charging.numbers.seen_ranges import Reach
from services.charging.numbers.series_spans import SeriesSpan, by_series
from services.charging.predicates import DAY, first_columns, new_in_cut, on_day, province
from services.charging.rows.batch import Batch
from services.charging.store.manifests import start_run, write_manifest
from services.charging.tables import assessment, enterprise, entry, judged_day, number_gap, number_range
from shared.adapters.crypto.signing import AuthorSigner
from shared.adapters.postgres.pool import Connection
from shared.adapters.postgres.queries.statements import Expression, Selection, query
from shared.contracts.manifests import Outcome, Total
from shared.contracts.topics import MANIFESTS
from shared.domain.books.number_ranges import Ranges, clipped, count_of, united, without
from shared.domain.calendar import day_bounds, day_start
from shared.domain.evidence.leaf import RowKind, assessed_leaf
from shared.domain.evidence.merkle import leaf_hash
from shared.domain.scheme.industry import Industry
from shared.domain.scheme.presumption import MOST_ASSESSED, Basis, Seen, assessed_reason, basis_of
from shared.domain.scheme.rating import Scheme

WHY: Final = ("presumed", "declared_unused", "arrived")
"""Position is the code in the leaf: charged, or why it is taken back."""
_NAMED: Final = bindparam("enterprises", type_=ARRAY(SmallInteger))


class _AssessmentRow(Struct, frozen=True):
    """A row of `charging.assessment`."""

    batch: int
    leaf_index: int
    enterprise: int
    series: str
    first: int
    last: int
    insured_on: date
    province: int
    industry: int
    tariff_line: int
    base_amount: int
    why: str
    of_batch: int | None
    of_leaf: int | None


class _PresumedGap(SeriesSpan, frozen=True):
    uscc: str
    insured_on: date


class _Charged(Struct, frozen=True):
    enterprise: int
    series: str
    province: int
    industry: int
    tariff_line: int
    premium: int
    orders: int


class _Outstanding(_AssessmentRow, frozen=True):
    """An assessed row of which numbers are left; the last two fields are the ranges that were taken back."""

    uscc: str
    back_first: list[int]
    back_last: list[int]


class _Counted(Struct, frozen=True):
    insured_on: date
    uscc: str
    province: int
    industry: int
    tariff_line: int
    series: str
    is_reversal: bool
    orders: int
    premium: int


def _select_presumed() -> Selection:
    gap = number_gap.c
    is_judged = and_(judged_day.c.day == gap.insured_on, judged_day.c.is_presumed == gap.is_presumed)
    return (
        select(gap.enterprise, gap.series, gap.first, gap.last, enterprise.c.uscc, gap.insured_on)
        .select_from(number_gap)
        .join(judged_day, is_judged)
        .join(enterprise, enterprise.c.id == gap.enterprise)
        .where(judged_day.c.judged_on == DAY, gap.is_presumed)
        .order_by(gap.insured_on, enterprise.c.uscc, gap.series, gap.first)
    )


def _select_charged() -> Selection:
    groups = (
        entry.c.enterprise,
        entry.c.series,
        province(entry).label("province"),
        entry.c.industry,
        entry.c.tariff_line,
        entry.c.premium,
    )
    return (
        select(*groups, func.count().label("orders"))
        .where(entry.c.kind == RowKind.ACCEPTANCE, entry.c.reason == 0, on_day(entry))
        .where(entry.c.enterprise == any_(_NAMED))
        .group_by(*first_columns(len(groups)))
    )


def _select_outstanding() -> Selection:
    assessed, back = assessment.alias("a"), assessment.alias("r")
    is_of_assessed = and_(back.c.of_batch == assessed.c.batch, back.c.of_leaf == assessed.c.leaf_index)
    taken = [
        func.coalesce(
            func.array_agg(back.c[name]).filter(back.c.batch.is_not(None)), cast([], ARRAY(BigInteger))
        ).label(f"back_{name}")
        for name in ("first", "last")
    ]
    numbers_back = func.coalesce(func.sum(_numbers(back)), 0)
    return (
        select(*(assessed.c[name] for name in _AssessmentRow.__struct_fields__), enterprise.c.uscc, *taken)
        .select_from(assessed)
        .join(enterprise, enterprise.c.id == assessed.c.enterprise)
        .outerjoin(back, is_of_assessed)
        .where(assessed.c.of_batch.is_(None))
        .group_by(assessed.c.batch, assessed.c.leaf_index, enterprise.c.uscc)
        .having(numbers_back < _numbers(assessed))
        .order_by(assessed.c.batch, assessed.c.leaf_index)
    )


def _select_counted() -> Selection:
    groups = (
        assessment.c.insured_on,
        enterprise.c.uscc,
        assessment.c.province,
        assessment.c.industry,
        assessment.c.tariff_line,
        assessment.c.series,
        assessment.c.of_batch.is_not(None).label("is_reversal"),
    )
    orders, premium = func.sum(_numbers(assessment)), func.sum(_numbers(assessment) * assessment.c.base_amount)
    return (
        select(*groups, cast(orders, BigInteger).label("orders"), cast(premium, BigInteger).label("premium"))
        .join_from(assessment, enterprise, enterprise.c.id == assessment.c.enterprise)
        .where(new_in_cut(assessment))
        .group_by(*first_columns(len(groups)))
        .order_by(*first_columns(len(groups)))
    )


def _numbers(row: FromClause) -> Expression:
    """How many numbers the row's range has."""
    return row.c.last - row.c.first + 1


_PRESUMED: Final = query(_select_presumed(), _PresumedGap)
_SEEN: Final = query(_select_charged(), _Charged)
_OUTSTANDING: Final = query(_select_outstanding(), _Outstanding)
_ARRIVED: Final = query(
    select(*(number_range.c[name] for name in SeriesSpan.__struct_fields__)).where(
        number_range.c.state == "seen", number_range.c.found_on == DAY, number_range.c.enterprise == any_(_NAMED)
    ),
    SeriesSpan,
)
_COUNTED: Final = query(_select_counted(), _Counted)


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
        columns=_AssessmentRow.__struct_fields__,
        records=[astuple(_row(batch, index, part)) for index, part in enumerate(assessed)],
    )
    await write_manifest(connection, run, rows, "assessment", MANIFESTS, _totals(assessed))


def _row(batch: int, leaf_index: int, part: Assessed) -> _AssessmentRow:
    basis, of = part.basis, part.of or (None, None)
    return _AssessmentRow(
        batch, leaf_index, part.enterprise, part.series, part.first, part.last, part.insured_on, int(basis.province),
        basis.industry, basis.tariff_line, basis.base_amount, part.why, *of,
    )  # fmt: skip


async def _presumed(connection: Connection, scheme: Scheme, day: date, reach: Reach) -> list[Assessed]:
    """Numbers that this close presumed, where a rule charges them and a basis exists."""
    gaps: dict[tuple[date, int, str, str], Ranges] = defaultdict(list)
    for gap in await _PRESUMED.fetch(connection, day=day) if scheme.presumption_rules else ():
        gaps[gap.insured_on, gap.enterprise, gap.uscc, gap.series].append(gap.numbers)
    assessed: list[Assessed] = []
    seen = await _read_seen(connection, {(on, name) for on, name, _, _ in gaps}, reach.cut)
    for (on, enterprise_id, uscc, series), ranges in gaps.items():
        basis = basis_of(series, seen[on, enterprise_id])
        is_due = basis is not None and scheme.is_assessed(basis.province, day_start(on))
        if basis is not None and is_due and count_of(ranges) <= MOST_ASSESSED:
            assessed += [
                Assessed(enterprise_id, uscc, series, *numbers, on, basis, "presumed") for numbers in united(ranges)
            ]
    return assessed


async def _read_seen(
    connection: Connection, wanted: set[tuple[date, int]], cut: Batches
) -> dict[tuple[date, int], list[Seen]]:
    """Charged orders of enterprises on days, as they were rated first."""
    charged: dict[tuple[date, int], list[Seen]] = defaultdict(list)
    for on in sorted({day for day, _ in wanted}):
        begin, end = day_bounds(on)
        names = [name for day, name in wanted if day == on]
        for row in await _SEEN.fetch(connection, begin=begin, end=end, enterprises=names, cut=cut.lasts):
            place = (f"{row.province:02}", row.industry, row.tariff_line, row.premium, row.orders)
            charged[on, row.enterprise].append(Seen(row.series, *place))
    return charged


async def _taken_back(connection: Connection, day: date, reach: Reach) -> list[Assessed]:
    """Assessed numbers that came with this close, or that a manifest new to it declares unused."""
    rows = await _OUTSTANDING.fetch(connection)
    if not rows:
        return []
    names = list({row.enterprise for row in rows})
    arrived = by_series(await _ARRIVED.fetch(connection, day=day, enterprises=names))
    days = {nearby for row in rows for nearby in around(row.insured_on)}
    declared = not_outdated(await read_declared(connection, reach.cut, reach.previous, sorted(days)))
    new = [declaration for declaration in declared if declaration.is_new]
    unused = {on: declared_numbers(new, on) for on in {row.insured_on for row in rows}}
    assessed: list[Assessed] = []
    for row in rows:
        key = (row.enterprise, row.series)
        said = unused[row.insured_on].get(key)
        assessed += _pieces(row, arrived.get(key, []), said.unused if said else [])
    return assessed


def _pieces(row: _Outstanding, arrived: Ranges, unused: Ranges) -> Iterable[Assessed]:
    """Parts of one assessed row that are taken back now."""
    left = without([(row.first, row.last)], united(zip(row.back_first, row.back_last, strict=True)))
    basis = Basis(f"{row.province:02}", row.industry, row.tariff_line, row.base_amount)
    whole = Assessed(
        row.enterprise, row.uscc, row.series, row.first, row.last, row.insured_on, basis, "arrived",
        (row.batch, row.leaf_index),
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
            row.insured_on,
            row.uscc,
            row.series,
            Basis(f"{row.province:02}", row.industry, row.tariff_line, row.premium // row.orders),
            is_reversal=row.is_reversal,
            orders=row.orders,
        )
        for row in await _COUNTED.fetch(connection, cut=cut.lasts, previous=previous.lasts)
    ]
