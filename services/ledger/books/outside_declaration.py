"""Keep what charging counted outside signed declarations, and give it to the bill (docs/decisions/0022)."""

from collections import Counter
from collections.abc import Sequence
from datetime import date
from typing import Final

from msgspec import UNSET, Struct
from msgspec.structs import asdict, replace
from sqlalchemy import func, insert, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.ledger import tables
from shared.contracts.manifests import DayCounted
from shared.contracts.outside_declaration import OutsideOrders
from shared.domain.books.billing import OUTSIDE_DECLARATION
from shared.domain.books.journal import Party
from shared.domain.calendar import Month

Difference = dict[str, str | int | None]
"""One named difference between a count and the books, with both figures."""
_NAMES: Final = OutsideOrders.__struct_fields__
_BEYOND: Final = text("""
with reported as (
    select * from unnest(cast(:insured_on as date[]), cast(:enterprise as text[]), cast(:province as text[]),
        cast(:industry as text[]), cast(:tariff_line as integer[]), cast(:base_amount as bigint[]),
        cast(:orders as bigint[])) t (insured_on, enterprise, province, industry, tariff_line, base_amount, orders)),
held as (
    select t.*,
        t.orders + (
            select coalesce(sum(o.orders), 0) from ledger.outside_declaration o
            where (o.insured_on, o.enterprise, o.province, o.industry, o.tariff_line, o.base_amount)
                = (t.insured_on, t.enterprise, t.province, t.industry, t.tariff_line, t.base_amount)) as outside,
        (select coalesce(sum(case l.outcome when 'charged' then l.orders else -l.orders end), 0)
            from ledger.day_line l
            where l.posting_day between t.insured_on and :day and l.outcome in ('charged', 'reversed')
            and (l.insured_on, l.enterprise, l.province, l.industry, l.tariff_line, abs(l.premium) / l.orders)
                = (t.insured_on, t.enterprise, t.province, t.industry, t.tariff_line, t.base_amount)
            and not starts_with(coalesce(l.reason, ''), 'assessed:')) as booked
    from reported t)
select insured_on, enterprise, province, industry, tariff_line, base_amount, outside, booked
from held where outside not between 0 and booked order by 1, 2, 3, 4, 5, 6
""")


class OutsideSum(Struct, frozen=True):
    """Orders outside declarations of one statement line: an enterprise, province, month, industry and tariff line."""

    enterprise: str
    province: str
    month: date
    industry: str
    tariff_line: int
    base_amount: int
    orders: int


async def name_impossible(connection: AsyncConnection, count: DayCounted) -> list[Difference]:
    """Differences where more lies outside than the books have charged, or less than nothing does."""
    outside = _outside_of(count)
    if not outside:
        return []
    columns = {name: [getattr(orders, name) for orders in outside] for name in _NAMES}
    rows = await connection.execute(_BEYOND, {**columns, "day": count.day})
    return [
        {
            "insured_on": str(row.insured_on),
            "enterprise": row.enterprise,
            "province": row.province,
            "industry": row.industry,
            "tariff_line": row.tariff_line,
            "outcome": "charged",
            "reason": OUTSIDE_DECLARATION,
            "counted_orders": int(row.outside),
            "booked_orders": int(row.booked),
            "counted_premium": int(row.outside) * row.base_amount,
            "booked_premium": int(row.booked) * row.base_amount,
        }
        for row in rows
    ]


async def keep_outside(connection: AsyncConnection, count: DayCounted) -> None:
    """Keep the answer's orders under the day that is closed."""
    rows = [asdict(orders) | {"posting_day": count.day} for orders in _outside_of(count)]
    if rows:
        await connection.execute(insert(tables.outside_declaration), rows)


async def read_outside(connection: AsyncConnection, period: Month) -> dict[Party, list[OutsideSum]]:
    """Orders of each statement line of a month, by party, with the amount of one order; without those of no orders."""
    own = tables.outside_declaration.c
    month = func.cast(func.date_trunc("month", own.insured_on), own.insured_on.type).label("month")
    key = (own.enterprise, own.province, month, own.industry, own.tariff_line, own.base_amount)
    query = (
        select(*key, func.sum(own.orders).label("orders"))
        .where(own.posting_day.between(period.first_day, period.last_day))
        .group_by(*key)
        .having(func.sum(own.orders) != 0)
    )
    sums: dict[Party, list[OutsideSum]] = {}
    rows = await connection.execute(query)
    for enterprise, province, insured_month, industry, tariff_line, base_amount, orders in rows:
        row = OutsideSum(enterprise, province, insured_month, industry, tariff_line, base_amount, int(orders))
        sums.setdefault(Party(row.enterprise, row.province), []).append(row)
    return sums


def _outside_of(count: DayCounted) -> Sequence[OutsideOrders]:
    """One for each key; what is named twice is added up."""
    if count.outside is UNSET:
        return []
    orders = Counter[OutsideOrders]()
    for one in count.outside:
        orders[replace(one, orders=0)] += one.orders
    return [replace(key, orders=total) for key, total in orders.items() if total]
