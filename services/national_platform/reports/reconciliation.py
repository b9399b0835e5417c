"""Declarations against daily coverage reports (对账): exact amounts and counts, per enterprise and province."""

from collections.abc import Collection, Iterator
from typing import Literal

from sqlalchemy import Column, Table, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.national_platform.tables import COVERAGE_LINE, DECLARATION, REPORT
from shared.contracts.reports import Difference, Reconciliation
from shared.domain.money import Amount, yuan

Share = tuple[str, str]
"""Province, enterprise."""
Figures = tuple[int, int]
"""Orders, exact premium in 0.0001 yuan."""
NONE = "none"
What = Literal["orders", "exact_yuan", "declaration_missing", "reports_missing"]


async def reconcile(connection: AsyncConnection, period: str, provinces: Collection[str] | None) -> Reconciliation:
    """Every difference of the month in these provinces (None: all), sorted; lines and amendments by report day."""
    declared = await _figures(connection, DECLARATION, DECLARATION.c.exact, period, provinces)
    reported = await _figures(connection, COVERAGE_LINE, COVERAGE_LINE.c.premium, period, provinces)
    differences = [
        Difference(
            period=period,
            province=province,
            enterprise=enterprise,
            what=what,
            declared=_as_text(what, declared.get((province, enterprise))),
            reported=_as_text(what, reported.get((province, enterprise))),
        )
        for province, enterprise in sorted(declared.keys() | reported.keys())
        for what in _compare(declared.get((province, enterprise)), reported.get((province, enterprise)))
    ]
    counts = await _counts(connection, period, provinces)
    return Reconciliation(
        period=period,
        declarations=counts.get("declaration", 0),
        coverage_reports=counts.get("coverage", 0),
        differences=differences,
    )


def _compare(declared: Figures | None, reported: Figures | None) -> Iterator[What]:
    """Differences; a missing declaration or report equals one that sums to zero."""
    if declared is None or reported is None:
        if any(declared or reported or ()):
            yield "declaration_missing" if declared is None else "reports_missing"
        return
    if declared[0] != reported[0]:
        yield "orders"
    if declared[1] != reported[1]:
        yield "exact_yuan"


def _as_text(what: What, figures: Figures | None) -> str:
    if figures is None:
        return NONE
    orders, amount = str(figures[0]), yuan(Amount(figures[1]))
    match what:
        case "orders":
            return orders
        case "exact_yuan":
            return amount
        case _:
            return f"{orders} orders, {amount} yuan"


async def _figures(
    connection: AsyncConnection, table: Table, amount: Column[int], period: str, provinces: Collection[str] | None
) -> dict[Share, Figures]:
    query = (
        select(table.c.province, table.c.enterprise, func.sum(table.c.orders), func.sum(amount))
        .where(table.c.period == period)
        .group_by(table.c.province, table.c.enterprise)
    )
    if provinces is not None:
        query = query.where(table.c.province.in_(provinces))
    rows = (await connection.execute(query)).all()
    return {(province, enterprise): (int(orders), int(total)) for province, enterprise, orders, total in rows}


async def _counts(connection: AsyncConnection, period: str, provinces: Collection[str] | None) -> dict[str, int]:
    query = select(REPORT.c.kind, func.count()).where(REPORT.c.period == period).group_by(REPORT.c.kind)
    if provinces is not None:
        query = query.where(REPORT.c.province.in_(provinces))
    rows = (await connection.execute(query)).all()
    return {row[0]: int(row[1]) for row in rows}
