"""Declarations against daily coverage reports (对账): exact amounts and counts, per enterprise and province."""

from collections.abc import Collection, Iterator
from typing import Any, Literal

from sqlalchemy import Table, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.national_platform.tables import COVERAGE_LINE, DECLARATION, REPORT
from shared.contracts.reports import Difference, Reconciliation
from shared.domain.money import Amount, yuan

Share = tuple[str, str]
"""Province, enterprise."""
Figures = tuple[int, int]
"""Orders, exact premium in 0.0001 yuan."""
NONE = "none"


async def reconcile(connection: AsyncConnection, period: str, provinces: Collection[str] | None) -> Reconciliation:
    """Every difference of the month in these provinces (None: all), sorted; lines and amendments by report day."""
    declared = await _figures(connection, DECLARATION, DECLARATION.c.exact, period, provinces)
    reported = await _figures(connection, COVERAGE_LINE, COVERAGE_LINE.c.premium, period, provinces)
    differences = [
        Difference(period=period, province=province, enterprise=enterprise, **found)
        for province, enterprise in sorted(declared.keys() | reported.keys())
        for found in _compare(declared.get((province, enterprise)), reported.get((province, enterprise)))
    ]
    counts = await _counts(connection, period, provinces)
    return Reconciliation(
        period=period,
        declarations=counts.get("declaration", 0),
        coverage_reports=counts.get("coverage", 0),
        differences=differences,
    )


def _compare(declared: Figures | None, reported: Figures | None) -> Iterator[dict[str, Any]]:
    """What does not agree; no declaration over nothing, and none for reports that sum to nothing, is agreement."""
    if declared is None or reported is None:
        if any(declared or reported or ()):
            yield _named("declaration_missing" if declared is None else "reports_missing", declared, reported)
        return
    if declared[0] != reported[0]:
        yield {"what": "orders", "declared": str(declared[0]), "reported": str(reported[0])}
    if declared[1] != reported[1]:
        yield {
            "what": "exact_yuan",
            "declared": yuan(Amount(declared[1])),
            "reported": yuan(Amount(reported[1])),
        }


def _named(
    what: Literal["declaration_missing", "reports_missing"],
    declared: Figures | None,
    reported: Figures | None,
) -> dict[str, Any]:
    return {"what": what, "declared": _told(declared), "reported": _told(reported)}


def _told(figures: Figures | None) -> str:
    return NONE if figures is None else f"{figures[0]} orders, {yuan(Amount(figures[1]))} yuan"


async def _figures(
    connection: AsyncConnection, table: Table, amount: Any, period: str, provinces: Collection[str] | None
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
