"""Find the orders of a day that lie outside the signed declarations of their enterprises (docs/decisions/0022).

An order lies outside where its number was not declared used, or where its province and industry have more orders than
were declared: then those whose number another order had before, and after them those received last.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from services.charging.numbers.day_declarations import Declared, around, declared_numbers, holding, read_declared
from services.charging.rows.row_kinds import CANCELLED, REVERSAL_REASONS, is_charge_sql, is_reversal_sql
from services.charging.store.cut import NEW_IN_CUT, Batches, planning_without, reached_sql
from services.charging.store.derived_rows import ChargeRow, charge_sql
from shared.adapters.postgres.pool import Connection
from shared.contracts.outside_declaration import OutsideOrders
from shared.domain.calendar import day_bounds
from shared.domain.scheme.industry import Industry

_KEY: Final = "accepted_at, enterprise, order_id, worker_key"
_OF_DAY: Final = f"""accepted_at >= $2 and accepted_at < $3 and enterprise = any($4::smallint[])
    and ($1::bigint[] is null or {reached_sql()})"""
# Orders of a day as they are now: the last row that charges or reverses one says what it costs.
_ORDERS: Final = f"""
    later as materialized (
        select distinct on ({_KEY}) {_KEY}, kind, premium, tariff_line, reason
        from charging.entry where {_OF_DAY} and kind >= 4 order by {_KEY}, kind desc),
    declared as materialized (
        select enterprise, series, used::int8multirange as used
        from unnest($5::smallint[], $6::text[], $7::text[]) as d (enterprise, series, used)),
    now as (
        select a.*, coalesce(l.kind, a.kind) as last_kind, coalesce(l.premium, a.premium) as base_amount,
            coalesce(l.tariff_line, a.tariff_line) as line, a.region / 10000 as province,
            coalesce(d.used @> a.sequence, false) as is_declared,
            case when l.kind is null then a.reason = 0
                else {is_charge_sql("l")} and l.reason = 0 end as is_charged,
            coalesce({is_reversal_sql("l")} and l.reason = {REVERSAL_REASONS.index(CANCELLED)}, false) as is_cancelled
        from (select * from charging.entry where {_OF_DAY} and kind = 1) a
        left join later l using ({_KEY})
        left join declared d using (enterprise, series))"""
_COUNTS: Final = f"""
    with {_ORDERS}
    select enterprise, province, industry, count(*) filter (where is_declared) as within,
        count(*) filter (where not is_declared and is_charged) as undeclared
    from now where is_charged or is_cancelled group by 1, 2, 3"""
_OUTSIDE: Final = f"""
    with {_ORDERS},
    numbered as (
        select now.*, m.turn, row_number() over (
            partition by now.enterprise, series, sequence order by m.turn, leaf_index) > 1 as is_again
        from now join charging.manifest m using (batch) where is_charged or is_cancelled),
    ranked as (
        select numbered.*, row_number() over (
            partition by enterprise, province, industry order by is_again desc, turn desc, leaf_index desc) as place
        from numbered where is_declared and is_charged),
    outside as (
        select {_KEY}, last_kind, base_amount, line, province, industry from now where not is_declared and is_charged
        union all
        select {_KEY}, last_kind, base_amount, line, province, industry from ranked
        join unnest($8::smallint[], $9::int[], $10::smallint[], $11::bigint[]) as s (enterprise, province, industry, n)
            using (enterprise, province, industry)
        where place <= n)"""
_SUMS: Final = f"""{_OUTSIDE}
    select uscc, province, industry, line, base_amount, count(*) as orders
    from outside join charging.enterprise e on e.id = enterprise group by 1, 2, 3, 4, 5"""
_NAMES: Final = f"""{_OUTSIDE}
    select count(*) as orders, coalesce(sum(base_amount), 0)::bigint as premium, sha256(coalesce(string_agg(
        int8send((extract(epoch from accepted_at) * 1000000)::bigint) || int2send(enterprise) || int8send(worker_key)
        || int2send(last_kind) || int4send(base_amount) || convert_to(order_id, 'utf8') || '\\x00',
        ''::bytea order by {_KEY}), '')) as named
    from outside"""
_FEW: Final = f"""{_OUTSIDE}
    select {_KEY}, encode(int8send(worker_key) || e.worker_rest, 'hex') as worker_id
    from outside join charging.entry e using ({_KEY}) where e.kind = 1
    order by {_KEY} limit $12"""
_CHARGES: Final = f"""{_OUTSIDE}
    select {charge_sql("c", "e", cause="c")}
    from outside o join charging.entry c
        on (c.accepted_at, c.enterprise, c.order_id, c.worker_key, c.kind)
            = (o.accepted_at, o.enterprise, o.order_id, o.worker_key, o.last_kind)
    join charging.enterprise e on e.id = c.enterprise
    order by c.accepted_at, c.enterprise, c.order_id, c.worker_key limit $12"""
_LATE_DAYS: Final = f"select distinct insured_on from charging.batch_day where insured_on < $3 and {NEW_IN_CUT}"
_NEW_DAYS: Final = f"""
    select distinct declared_day from charging.declaration where revision is not null and {NEW_IN_CUT}"""
_NONE: Final = Batches([])


@dataclass(frozen=True, slots=True)
class Names:
    """Which orders lie outside: how many, their premium (0.0001 yuan), and SHA-256 over their keys and charges."""

    orders: int
    premium: int
    sha256: bytes


@dataclass(frozen=True, slots=True)
class OutsideOrdersOfDay:
    """The orders of one day that lie outside, as questions to the database; within a cut or (None) all there are."""

    held: dict[int, Declared]
    _values: tuple[Any, ...]

    async def sums(self, connection: Connection) -> Counter[tuple[str, int, int, int, int]]:
        """By enterprise (USCC), province, industry, tariff line and premium of one order."""
        rows = await self._fetch(connection, _SUMS)
        return Counter({tuple(row)[:5]: row["orders"] for row in rows})

    async def names(self, connection: Connection) -> Names:
        """What a decision names; two sets of orders have the same names only if they are the same."""
        (row,) = await self._fetch(connection, _NAMES)
        return Names(row["orders"], row["premium"], row["named"])

    async def few(self, connection: Connection, limit: int) -> list[Any]:
        """The first of them by time."""
        return await self._fetch(connection, _FEW, limit)

    async def charges(self, connection: Connection, limit: int) -> list[ChargeRow]:
        """The rows that charge them, as a reversal needs them."""
        return [ChargeRow.of(row) for row in await self._fetch(connection, _CHARGES, limit)]

    async def _fetch(self, connection: Connection, sql: str, *more: object) -> list[Any]:
        return list(await connection.fetch(sql, *self._values, *more))


async def find_outside(
    connection: Connection, day: date, cut: Batches | None, uscc: str | None = None
) -> OutsideOrdersOfDay | None:
    """The orders of the day outside the signed declarations that hold; None where all lie within, or none is signed."""
    declared = await read_declared(connection, cut, _NONE, around(day), uscc)
    signed = [declaration for declaration in holding(declared).values() if declaration.revision is not None]
    held = {declaration.enterprise: declaration for declaration in signed if declaration.day == day}
    if not held:
        return None
    values = (None if cut is None else cut.lasts, *day_bounds(day), list(held), *_used(signed, day, held))
    # The planner expects one row for each comparison of keys, and would search for each order one by one.
    async with planning_without(connection, "nestloop"):
        counts = await connection.fetch(_COUNTS, *values)
    surplus = list(_surplus(held, counts))
    if not surplus and not any(row["undeclared"] for row in counts):
        return None
    columns = [list(column) for column in zip(*surplus, strict=True)] or [[], [], [], []]
    return OutsideOrdersOfDay(held, (*values, *columns))


def _used(signed: list[Declared], day: date, held: dict[int, Declared]) -> list[list[Any]]:
    """The numbers that are declared used, in columns: enterprise, series, ranges as PostgreSQL reads them."""
    rows = [
        (*key, "{" + ",".join(f"[{first},{last}]" for first, last in numbers.used_around) + "}")
        for key, numbers in declared_numbers(signed, day).items()
        if key[0] in held
    ]
    return [list(column) for column in zip(*rows, strict=True)] or [[], [], []]


def _surplus(held: dict[int, Declared], counts: Iterable[Any]) -> Iterable[tuple[int, int, int, int]]:
    """Enterprise, province, industry, and how many orders with a declared number are more than were declared."""
    totals = Counter[tuple[int, int, int]]()
    for declaration in held.values():
        for total in declaration.reported.totals:
            totals[declaration.enterprise, int(total.province), Industry(total.industry).code] += total.orders
    for row in counts:
        place = (row["enterprise"], row["province"], row["industry"])
        if row["within"] > totals[place]:
            yield *place, row["within"] - totals[place]


async def count_outside(connection: Connection, day: date, cut: Batches, previous: Batches) -> list[OutsideOrders]:
    """Orders outside at the close of a day: all of that day, and of earlier days what changed since."""
    if not await connection.fetchval("select exists (select from charging.declaration where revision is not null)"):
        return []
    outside: list[OutsideOrders] = []
    for insured_on in await _days_to_count(connection, day, cut, previous):
        sums = await _sums(connection, insured_on, cut)
        if insured_on < day:
            sums.subtract(await _sums(connection, insured_on, previous))
        outside += [_reported(insured_on, key, orders) for key, orders in sorted(sums.items()) if orders]
    return outside


async def _days_to_count(connection: Connection, day: date, cut: Batches, previous: Batches) -> list[date]:
    """The day, and earlier ones that a new row or a new signed declaration may change; without archived ones."""
    late = await connection.fetch(_LATE_DAYS, cut.lasts, previous.lasts, day)
    declared = await connection.fetch(_NEW_DAYS, cut.lasts, previous.lasts)
    days = {day, *(row[0] for row in late), *(near for row in declared for near in around(row[0]))}
    sql = """select d from unnest($1::date[]) d where d <= $2
        and not exists (select from charging.archived_day a where a.day = d) order by 1"""
    return [row[0] for row in await connection.fetch(sql, list(days), day)]


async def _sums(connection: Connection, day: date, cut: Batches) -> Counter[tuple[str, int, int, int, int]]:
    outside = await find_outside(connection, day, cut)
    return Counter() if outside is None else await outside.sums(connection)


def _reported(day: date, key: tuple[str, int, int, int, int], orders: int) -> OutsideOrders:
    uscc, province, industry, tariff_line, base_amount = key
    return OutsideOrders(
        insured_on=day,
        enterprise=uscc,
        province=f"{province:02}",
        industry=Industry.of_code(industry).value,
        tariff_line=tariff_line,
        base_amount=base_amount,
        orders=orders,
    )
