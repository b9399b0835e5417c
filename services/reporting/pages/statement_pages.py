"""Show statements: the list with the state of each, and one with everything behind it."""

from collections.abc import Sequence
from typing import Annotated, Final, get_args

from fastapi import APIRouter, Depends, HTTPException, Path, Query, Request
from fastapi.responses import Response

from services.reporting.access.viewers import Role, Viewer, viewing
from services.reporting.read_model.payment_state import PAYMENT_FIELDS, STATES, read_payments, state_of
from services.reporting.read_model.responses import Statement, StatementLineShown
from services.reporting.read_model.sent_reports import find_filing
from services.reporting.read_model.statements import StatementFilter, find_statement, list_periods, list_statements
from services.reporting.rendering.layout import EVERYWHERE, OFFICES
from services.reporting.rendering.page_context import (
    AnyDay,
    AnyPeriod,
    AnyProvince,
    AnyUscc,
    PageContext,
    address,
    day_of,
)
from services.reporting.rendering.texts import grouped
from shared.contracts.reports import PaymentItem
from shared.domain.books.billing import OUTSIDE_DECLARATION, LineKind
from shared.domain.calendar import insured_day
from shared.domain.money import Amount, parse_yuan, yuan
from shared.runtime.clock import now

StatementId = Annotated[str, Path(pattern=r"^[A-Za-z0-9_.:-]{1,128}$")]
StatementRow = dict[str, str | int | bool | None]
"""A statement, or a line of one, for the templates."""
MOST: Final = 1_000
"""Statements of a month on one page: 32 provinces of 31 enterprises; the API has a cursor."""


def make_router(context: PageContext) -> APIRouter:
    """`/statements` and `/statements/{id}`."""
    router = APIRouter(include_in_schema=False)
    Allowed = Annotated[Viewer, Depends(context.access.require(*OFFICES))]  # noqa: N806 - a type, it holds the engine

    @router.get("/statements")
    async def statements(
        request: Request,
        viewer: Allowed,
        period: AnyPeriod = None,
        province: AnyProvince = None,
        enterprise: AnyUscc = None,
        state: Annotated[str | None, Query(pattern=r"^[a-z_]*$")] = None,
        as_of: AnyDay = None,
    ) -> Response:
        async with viewing(context.engine, viewer) as connection:
            periods = await list_periods(connection)
            shown = period or (periods[0] if periods and period is None else None)
            wanted = StatementFilter(period=shown, province=province or None, enterprise=enterprise or None, limit=MOST)
            listed = await list_statements(connection, wanted) if periods else []
        day = day_of(as_of) or insured_day(now())
        payments = await read_payments(context.sources, {statement.period for statement in listed}, day)
        rows = [_row(statement, payments.get(statement.statement_id)) for statement in listed]
        if state:
            rows = [row for row in rows if row["state"] == state]
        t = context.renderer.translator(request)
        return context.renderer.page(
            request, "statements.html", viewer=viewer, rows=rows, total=_total(rows), as_of=day, period=shown,
            links=_exports(period=shown, province=province, enterprise=enterprise, state=state, as_of=as_of),
            wanted={"province": province, "enterprise": enterprise, "state": state},
            periods=[(month, t.month(month)) for month in periods],
            states=[(name, t.word("state", name)) for name in STATES],
            provinces=[(code, t.province(code)) for code in sorted(context.joined)],
            enterprises=sorted(context.renderer.enterprises.items()), has_provinces=viewer.role is not Role.PROVINCE,
            has_enterprises=viewer.role in EVERYWHERE or viewer.role is Role.PROVINCE,
        )  # fmt: skip

    @router.get("/statements/{statement_id}")
    async def statement(request: Request, viewer: Allowed, statement_id: StatementId, as_of: AnyDay = None) -> Response:
        async with viewing(context.engine, viewer) as connection:
            shown = await find_statement(connection, statement_id)
            declaration = await find_filing(connection, statement_id)
        if shown is None:
            raise HTTPException(404, "no such statement in your share")
        day = day_of(as_of) or insured_day(now())
        payment = (await read_payments(context.sources, {shown.statement.period}, day)).get(statement_id)
        row, kinds = _row(shown.statement, payment), get_args(LineKind)
        lines = {kind: [_line(line) for line in shown.lines if line.kind == kind] for kind in kinds}
        period = shown.statement.period
        return context.renderer.page(
            request, "statement.html", viewer=viewer, s=row, payment=payment, payment_as_of=day,
            state_now=row["state"], lines=lines["line"], adjustments=lines["adjustment"], assessed=lines["assessed"],
            outside=lines[OUTSIDE_DECLARATION],
            rounding_yuan=yuan(Amount(shown.statement.amount - shown.statement.exact_amount)),
            remittances=[remittance.model_dump(mode="json", by_alias=True) for remittance in shown.remittances],
            receipt=declaration,
            links=[(kind.upper(), f"/v1/statements/{statement_id}?format={kind}") for kind in ("xlsx", "csv")],
            month_href=lambda month: address(
                f"/enterprises/{row['enterprise']}", period=month, province=row["province"], back=period
            ),
        )  # fmt: skip

    return router


def _exports(**wanted: object) -> list[tuple[str, str]]:
    """Links to the rows of the page as downloads."""
    return [(kind.upper(), address("/v1/statements", **wanted, limit=MOST, format=kind)) for kind in ("xlsx", "csv")]


def _row(statement: Statement, payment: PaymentItem | None) -> StatementRow:
    """A statement with its payment state, for the templates."""
    values: StatementRow = statement.model_dump(mode="json", by_alias=True) | {"orders": statement.orders}
    values |= {"remitted_yuan": None, "outstanding_yuan": None, "late_fee_yuan": None}
    if payment is not None:
        values |= payment.model_dump(mode="json", include=PAYMENT_FIELDS)
    return values | {"state": state_of(statement, payment)}


def _line(line: StatementLineShown) -> StatementRow:
    return dict(line.model_dump(mode="json", by_alias=True))


def _total(rows: Sequence[StatementRow]) -> dict[str, str]:
    """Sums in yuan; a dash where one of the rows is not known."""

    def added(name: str) -> str:
        if any(row[name] is None for row in rows):
            return "–"
        return grouped(yuan(Amount(sum(parse_yuan(str(row[name])) for row in rows))))

    names = {"amount": "amount_yuan", "remitted": "remitted_yuan", "outstanding": "outstanding_yuan"}
    return {name: added(column) for name, column in names.items()}
