"""Find the orders of a day that lie outside the signed declarations of their enterprises (docs/decisions/0022).

An order lies outside where its number was not declared used, or where its province and industry have more orders than
were declared: then those whose number another order had before, and after them those received last.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Final

from services.charging.cut import Batches, planning_without
from services.charging.numbers.day_declarations import Declared, around, declared_numbers, holding, read_declared
from services.charging.numbers.outside_queries import (
    ARCHIVED,
    CHARGES,
    COUNTS,
    FEW,
    IS_ANY_SIGNED,
    LATE_DAYS,
    NAMES,
    NEW_DAYS,
    SUMS,
    SURPLUS,
    USED,
    Names,
    OutsideOrder,
    OutsidePlace,
    PlaceCount,
    Surplus,
    UsedNumbers,
)
from services.charging.store.derived_rows import ChargeRow
from shared.adapters.postgres.pool import Connection
from shared.contracts.outside_declaration import OutsideOrders
from shared.domain.calendar import day_bounds
from shared.domain.scheme.industry import Industry

_NONE: Final = Batches([])


@dataclass(frozen=True, slots=True)
class OutsideOrdersOfDay:
    """The orders of one day that lie outside, as questions to the database; within a cut or (None) all there are."""

    held: dict[int, Declared]
    _scope: Mapping[str, object]

    async def sums(self, connection: Connection) -> Counter[OutsidePlace]:
        """How many of them each place has."""
        return Counter(
            {
                OutsidePlace(row.uscc, row.province, row.industry, row.tariff_line, row.base_amount): row.orders
                for row in await SUMS.fetch(connection, **self._scope)
            }
        )

    async def names(self, connection: Connection) -> Names:
        """What a decision names; two sets of orders have the same names only if they are the same."""
        return await NAMES.fetch_one(connection, **self._scope)

    async def few(self, connection: Connection, limit: int) -> list[OutsideOrder]:
        """The first of them by time."""
        return await FEW.fetch(connection, **self._scope, limit=limit)

    async def charges(self, connection: Connection, limit: int) -> list[ChargeRow]:
        """The rows that charge them, as a reversal needs them."""
        return await CHARGES.fetch(connection, **self._scope, limit=limit)


async def find_outside(
    connection: Connection, day: date, cut: Batches | None, uscc: str | None = None
) -> OutsideOrdersOfDay | None:
    """The orders of the day outside the signed declarations that hold; None where all lie within, or none is signed."""
    declared = await read_declared(connection, cut, _NONE, around(day), uscc)
    signed = [declaration for declaration in holding(declared).values() if declaration.revision is not None]
    held = {declaration.enterprise: declaration for declaration in signed if declaration.day == day}
    if not held:
        return None
    begin, end = day_bounds(day)
    used = USED.parameters(list(_used(signed, day, held)))
    scope: dict[str, object] = {
        "cut": None if cut is None else cut.lasts, "begin": begin, "end": end, "enterprises": list(held), **used
    }  # fmt: skip
    # The planner expects one row for each comparison of keys, and would search for each order one by one.
    async with planning_without(connection, "nestloop"):
        counts = await COUNTS.fetch(connection, **scope)
    surplus = list(_surplus(held, counts))
    if not surplus and not any(count.undeclared for count in counts):
        return None
    return OutsideOrdersOfDay(held, {**scope, **SURPLUS.parameters(surplus)})


def _used(signed: list[Declared], day: date, held: dict[int, Declared]) -> Iterable[UsedNumbers]:
    """The numbers that are declared used, as PostgreSQL reads them."""
    for (name, series), numbers in declared_numbers(signed, day).items():
        if name in held:
            ranges = ",".join(f"[{first},{last}]" for first, last in numbers.used_around)
            yield UsedNumbers(name, series, f"{{{ranges}}}")


def _surplus(held: dict[int, Declared], counts: Iterable[PlaceCount]) -> Iterable[Surplus]:
    totals = Counter[tuple[int, int, int]]()
    for declared in held.values():
        for total in declared.reported.totals:
            totals[declared.enterprise, int(total.province), Industry(total.industry).code] += total.orders
    for count in counts:
        place = (count.enterprise, count.province, count.industry)
        if count.within > totals[place]:
            yield Surplus(*place, count.within - totals[place])


async def count_outside(connection: Connection, day: date, cut: Batches, previous: Batches) -> list[OutsideOrders]:
    """Orders outside at the close of a day: all of that day, and of earlier days what changed since."""
    if not await IS_ANY_SIGNED.fetch_one(connection):
        return []
    outside: list[OutsideOrders] = []
    for insured_on in await _days_to_count(connection, day, cut, previous):
        sums = await _sums(connection, insured_on, cut)
        if insured_on < day:
            sums.subtract(await _sums(connection, insured_on, previous))
        outside += [_reported(insured_on, place, orders) for place, orders in sorted(sums.items()) if orders]
    return outside


async def _days_to_count(connection: Connection, day: date, cut: Batches, previous: Batches) -> list[date]:
    """The day, and earlier ones that a new row or a new signed declaration may change; without archived ones."""
    late = await LATE_DAYS.fetch(connection, cut=cut.lasts, previous=previous.lasts, day=day)
    declared = await NEW_DAYS.fetch(connection, cut=cut.lasts, previous=previous.lasts)
    days = {day, *late, *(near for changed in declared for near in around(changed))}
    archived = await ARCHIVED.fetch(connection, days=list(days))
    return sorted(changed for changed in days.difference(archived) if changed <= day)


async def _sums(connection: Connection, day: date, cut: Batches) -> Counter[OutsidePlace]:
    outside = await find_outside(connection, day, cut)
    return Counter() if outside is None else await outside.sums(connection)


def _reported(day: date, place: OutsidePlace, orders: int) -> OutsideOrders:
    return OutsideOrders(
        insured_on=day,
        enterprise=place.uscc,
        province=f"{place.province:02}",
        industry=Industry.of_code(place.industry).value,
        tariff_line=place.tariff_line,
        base_amount=place.base_amount,
        orders=orders,
    )
