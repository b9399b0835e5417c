"""Name what a close counted outside signed declarations, for the regulator's register (docs/decisions/0022)."""

from collections import defaultdict
from datetime import date
from typing import Any, Final

import msgspec
from msgspec import UNSET

from services.charging.numbers.outside_declaration import OutsideOrdersOfDay, find_outside
from services.charging.store.cut import Batches
from shared.adapters.postgres.pool import Connection
from shared.contracts.findings import MOST_ORDERS, Finding, FindingKind, OrderRef
from shared.contracts.manifests import DayCounted
from shared.domain.money import Amount, yuan
from shared.domain.scheme.industry import Industry

_ANSWER: Final = "select payload from charging.day_count where day = $1 order by answered_at desc, attempt desc limit 1"
MOST_PLACES: Final = 100
"""Places that a finding names; its `count` is over all of them."""


async def outside_findings(connection: Connection, day: date, cut: Batches) -> list[Finding]:
    """A finding for each enterprise and insured day of which the close changed what lies outside."""
    payload = await connection.fetchval(_ANSWER, day)
    counted = None if payload is None else msgspec.json.decode(payload, type=DayCounted)
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


async def _read(connection: Connection, outside: OutsideOrdersOfDay | None) -> tuple[dict[Any, int], list[Any]]:
    if outside is None:
        return {}, []
    return await outside.sums(connection), await outside.few(connection, MOST_ORDERS)


def _finding(
    uscc: str, insured_on: date, outside: OutsideOrdersOfDay | None, read: tuple[dict[Any, int], list[Any]]
) -> Finding:
    """One with a count of 0 says that none of the day's charged orders lies outside any more."""
    sums, few = read
    orders = sum(sums.values())
    amount = yuan(Amount(sum(key[4] * count for key, count in sums.items())))
    places = [
        f"{province:02} {Industry.of_code(industry).value}: {count}"
        for (_, province, industry, _, _), count in sorted(sums.items())
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
            OrderRef(order_id=row["order_id"], accepted_at=row["accepted_at"], worker_id=row["worker_id"])
            for row in few
        ],
    )
