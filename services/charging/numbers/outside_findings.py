"""Name what a close counted outside signed declarations, for the regulator's register (docs/decisions/0022)."""

from collections import Counter, defaultdict
from datetime import date
from typing import Final

from msgspec import UNSET

from services.charging.cut import Batches, read_counted
from services.charging.numbers.outside_declaration import OutsideOrdersOfDay, find_outside
from services.charging.numbers.outside_queries import OutsideOrder, OutsidePlace
from shared.adapters.postgres.pool import Connection
from shared.contracts.findings import MOST_ORDERS, Finding, FindingKind, OrderRef
from shared.domain.money import Amount, yuan
from shared.domain.scheme.industry import Industry

MOST_PLACES: Final = 100
"""Places that a finding names; its `count` is over all of them."""


async def outside_findings(connection: Connection, day: date, cut: Batches) -> list[Finding]:
    """A finding for each enterprise and insured day of which the close changed what lies outside."""
    counted = await read_counted(connection, day)
    if counted is None or counted.outside is UNSET:
        return []
    changed: dict[date, set[str]] = defaultdict(set)
    for orders in counted.outside:
        changed[orders.insured_on].add(orders.enterprise)
    return [
        _finding(uscc, insured_on, outside, await _read(connection, outside))
        for insured_on, names in sorted(changed.items())
        for uscc in sorted(names)
        for outside in [await find_outside(connection, insured_on, cut, uscc)]
    ]


async def _read(
    connection: Connection, outside: OutsideOrdersOfDay | None
) -> tuple[Counter[OutsidePlace], list[OutsideOrder]]:
    if outside is None:
        return Counter(), []
    return await outside.sums(connection), await outside.few(connection, MOST_ORDERS)


def _finding(
    uscc: str,
    insured_on: date,
    outside: OutsideOrdersOfDay | None,
    read: tuple[Counter[OutsidePlace], list[OutsideOrder]],
) -> Finding:
    """One with a count of 0 says that none of the day's charged orders lies outside any more."""
    sums, few = read
    orders = sum(sums.values())
    amount = yuan(Amount(sum(place.base_amount * count for place, count in sums.items())))
    places = [
        f"{place.province:02} {Industry.of_code(place.industry).value}: {count}"
        for place, count in sorted(sums.items())
    ]
    held = next(iter(outside.held.values())) if outside else None
    evidence: dict[str, str | int | list[str]] = {}
    if held is not None:
        evidence = {
            "declaration_id": held.reported.declaration_id, "received_sha256": held.received.hex(),
            "revision": held.revision or 0, "outside_orders": orders, "outside_yuan": amount,
            "places": places[:MOST_PLACES],
        }  # fmt: skip
    detail = f"{orders} charged orders of {amount} yuan lie outside what the enterprise signed for the day"
    return Finding(
        kind=FindingKind.OUTSIDE_DECLARATION,
        key=f"{uscc}.{insured_on}",
        enterprise=uscc,
        insured_on=insured_on,
        count=orders,
        detail=detail if orders else "no charged order lies outside what the enterprise signed for the day any more",
        evidence=evidence,
        orders=[
            OrderRef(order_id=order.order_id, accepted_at=order.accepted_at, worker_id=order.worker_id) for order in few
        ],
    )
