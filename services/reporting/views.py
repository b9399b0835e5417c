"""What a reader sees of reports: the one place that cuts a document down to a scope.

A province sees its own reports whole. An enterprise sees its own rows of a report and sums of those, never another's
row nor a total of the province. `national` and `operator` see everything.
"""

import json
from collections.abc import Collection
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, false, func, or_, select, true
from sqlalchemy.ext.asyncio import AsyncConnection

from services.reporting.access.viewers import Role, Viewer
from services.reporting.tables import DELIVERY, DISCREPANCY_NOW, RECEIPT, REPORT, SHARE
from shared.contracts.reports import CoverageReport, DeclarationReport, PaymentItem, PaymentReport
from shared.domain.money import Amount, parse_yuan, yuan


@dataclass(frozen=True, slots=True)
class Scope:
    """Provinces seen whole, and enterprises whose own rows are seen; None for all."""

    provinces: Collection[str] | None
    enterprises: Collection[str] | None

    @classmethod
    def of(cls, viewer: Viewer) -> "Scope":
        if viewer.scope is None:
            return cls(None, None)
        is_province, is_enterprise = viewer.role is Role.PROVINCE, viewer.role is Role.ENTERPRISE
        return cls([viewer.scope] if is_province else [], [viewer.scope] if is_enterprise else [])

    def has_province(self, province: str | None) -> bool:
        """True where the province is seen whole; what has no province is for those who see all."""
        return self.provinces is None or province in self.provinces

    def has_row(self, province: str | None, enterprise: str | None) -> bool:
        """True where a row of this enterprise in this province is seen."""
        return self.has_province(province) or (self.enterprises is not None and enterprise in self.enterprises)

    def rows(self, province: Any, enterprise: Any) -> ColumnElement[bool]:
        """`has_row` as a condition on two columns."""
        if self.provinces is None:
            return true()
        own = enterprise.in_(self.enterprises) if self.enterprises else false()
        return or_(province.in_(self.provinces), own)


@dataclass(frozen=True, slots=True)
class Receipted:
    """How far a report is: the delivery's state and, once there is one, the receipt."""

    report_id: str
    kind: str
    state: str
    receipt_id: str | None
    received_at: Any
    last_error: str | None
    body: bytes


@dataclass(frozen=True, slots=True)
class DayView:
    """A coverage report within a scope. `is_whole` False: only own rows, and sums of those."""

    report: CoverageReport
    is_whole: bool
    receipt: Receipted
    registrations: list[Receipted]
    unconfirmed: frozenset[tuple[str, str]]

    @property
    def day_lines(self) -> list[Any]:
        return [line for line in self.report.lines if line.insured_on == self.report.day]

    @property
    def amendments(self) -> list[Any]:
        return [line for line in self.report.lines if line.insured_on != self.report.day]


@dataclass(frozen=True, slots=True)
class StatementView:
    """A declaration with its receipt and, where one was reported, the state of its payment."""

    report: DeclarationReport
    receipt: Receipted
    payment: PaymentItem | None
    payment_as_of: date | None


async def find_day(connection: AsyncConnection, scope: Scope, day: date, province: str) -> DayView | None:
    """The day's report of a province; None where there is none or nothing of it is in the scope."""
    found = await _find(connection, REPORT.c.kind == "coverage", REPORT.c.day == day, REPORT.c.province == province)
    if not found:
        return None
    report = CoverageReport.model_validate_json(found[0].body)
    is_whole = scope.has_province(province)
    seen = report if is_whole else _own_rows(report, scope)
    if not (is_whole or seen.lines or seen.exclusions or seen.workers):
        return None
    registrations: list[Receipted] = []
    if is_whole:
        query = (REPORT.c.kind == "registration", REPORT.c.day == day, REPORT.c.province == province)
        registrations = await _find(connection, *query)
    return DayView(seen, is_whole, found[0], registrations, await _unconfirmed(connection, report.report_id))


async def find_statement(connection: AsyncConnection, scope: Scope, statement_id: str) -> StatementView | None:
    """The declaration of a statement; None where there is none in the scope."""
    found = await _find(connection, REPORT.c.statement_id == statement_id)
    if not found:
        return None
    report = DeclarationReport.model_validate_json(found[0].body)
    if not scope.has_row(report.province, report.enterprise):
        return None
    as_of, item = await _payment(connection, report)
    return StatementView(report, found[0], item, as_of)


async def list_periods(connection: AsyncConnection, scope: Scope) -> list[str]:
    """Months with anything in the scope, newest first."""
    query = select(REPORT.c.period).distinct().order_by(REPORT.c.period.desc())
    return list((await connection.execute(_with_shares(query, scope))).scalars())


async def list_reports(connection: AsyncConnection, scope: Scope, kind: str, period: str) -> list[dict[str, Any]]:
    """A month's reports of one kind, with orders and amount (0.0001 yuan) of what the scope holds of them."""
    columns = [REPORT.c[name] for name in ("report_id", "number", "day", "province", "enterprise", "statement_id")]
    more = [DELIVERY.c.state, RECEIPT.c.receipt_id, RECEIPT.c.received_at]
    query = (
        select(*columns, *more, func.sum(SHARE.c.orders).label("orders"), func.sum(SHARE.c.amount).label("amount"))
        .group_by(*columns, *more)
        .order_by(REPORT.c.day, REPORT.c.province, REPORT.c.enterprise)
    )
    query = _with_shares(query, scope).where(REPORT.c.kind == kind, REPORT.c.period == period)
    rows = (await connection.execute(query)).mappings()
    return [dict(row) | {"amount_yuan": yuan(Amount(int(row["amount"] or 0)))} for row in rows]


async def list_discrepancies(connection: AsyncConnection, scope: Scope) -> list[dict[str, Any]]:
    """Discrepancies in the scope, the open ones first, newest first."""
    query = (
        select(DISCREPANCY_NOW)
        .where(scope.rows(DISCREPANCY_NOW.c.province, DISCREPANCY_NOW.c.enterprise))
        .order_by(DISCREPANCY_NOW.c.state != "open", DISCREPANCY_NOW.c.id.desc())
        .limit(5_000)
    )
    return [dict(row) for row in (await connection.execute(query)).mappings()]


def _with_shares(query: Select[Any], scope: Scope) -> Select[Any]:
    return (
        query.select_from(REPORT)
        .join(DELIVERY, DELIVERY.c.report_id == REPORT.c.report_id)
        .outerjoin(RECEIPT, RECEIPT.c.report_id == REPORT.c.report_id)
        .outerjoin(SHARE, SHARE.c.report_id == REPORT.c.report_id)
        .where(scope.rows(REPORT.c.province, SHARE.c.enterprise))
    )


def _own_rows(report: CoverageReport, scope: Scope) -> CoverageReport:
    """The report of the scope's enterprises alone; its sums are of their lines, its distinct counts are not told."""

    def own(rows: Any) -> list[Any]:
        return [row for row in rows if scope.has_row(None, row.enterprise)]

    lines = own(report.lines)
    return report.model_copy(
        update={
            "lines": lines,
            "orders": sum(line.orders for line in lines),
            "premium_yuan": yuan(Amount(sum(parse_yuan(line.premium_yuan) for line in lines))),
            "exclusions": own(report.exclusions),
            "employee_exclusions": own(report.employee_exclusions),
            "workers": own(report.workers),
            "province_workers": 0,
            "first_time_workers": 0,
        }
    )


async def _find(connection: AsyncConnection, *conditions: ColumnElement[bool]) -> list[Receipted]:
    query = (
        select(
            REPORT.c.report_id,
            REPORT.c.kind,
            DELIVERY.c.state,
            RECEIPT.c.receipt_id,
            RECEIPT.c.received_at,
            DELIVERY.c.last_error,
            REPORT.c.body,
        )
        .join(DELIVERY, DELIVERY.c.report_id == REPORT.c.report_id)
        .outerjoin(RECEIPT, RECEIPT.c.report_id == REPORT.c.report_id)
        .where(and_(*conditions))
        .order_by(REPORT.c.number)
    )
    return [Receipted(*row) for row in (await connection.execute(query)).all()]


async def _unconfirmed(connection: AsyncConnection, report_id: str) -> frozenset[tuple[str, str]]:
    """Worker and number of every exclusion that the receipt does not confirm."""
    text = await connection.scalar(select(RECEIPT.c.unconfirmed).where(RECEIPT.c.report_id == report_id))
    named = json.loads(text) if text else []
    return frozenset((each["worker_id"], each["employer_insurance_no"]) for each in named)


async def _payment(connection: AsyncConnection, report: DeclarationReport) -> tuple[date | None, PaymentItem | None]:
    query = (
        select(REPORT.c.body)
        .where(REPORT.c.kind == "payment", REPORT.c.period == report.period, REPORT.c.province == report.province)
        .order_by(REPORT.c.as_of.desc())
        .limit(1)
    )
    body = await connection.scalar(query)
    if body is None:
        return None, None
    told = PaymentReport.model_validate_json(body)
    items = [item for item in told.items if item.statement_id == report.statement_id]
    return (told.as_of, items[0]) if items else (None, None)
