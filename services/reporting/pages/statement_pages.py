"""Show statements: the list with the state of each, and one with everything behind it."""

from typing import Annotated, Final, Literal, get_args

from fastapi import APIRouter, Depends, HTTPException, Path, Query, Request
from fastapi.responses import Response

from services.reporting.access.viewers import Role, Viewer, viewing
from services.reporting.read_model.payment_state import (
    PAYMENT_FIELDS,
    STATES,
    PaymentReader,
    Payments,
    State,
    read_balances,
)
from services.reporting.read_model.responses import Statement, StatementLineShown, Where
from services.reporting.read_model.sent_reports import find_filing
from services.reporting.read_model.statements import (
    StatementFilter,
    StatementTotals,
    find_statement,
    list_periods,
    list_statements,
    sum_statements,
)
from services.reporting.reader_scope import narrowed
from services.reporting.rendering.layout import EVERYWHERE, OFFICES
from services.reporting.rendering.money_text import sum_money
from services.reporting.rendering.page_context import (
    AnyDay,
    AnyPeriod,
    AnyProvince,
    AnyUscc,
    PageContext,
    address,
    day_of,
)
from services.reporting.rendering.texts import Extent, grouped
from shared.domain.books.billing import OUTSIDE_DECLARATION, LineKind
from shared.domain.calendar import insured_day
from shared.domain.money import Amount, yuan
from shared.runtime.clock import now

StatementId = Annotated[str, Path(pattern=r"^[A-Za-z0-9_.:-]{1,128}$")]
StatementRow = dict[str, str | int | bool | None]
"""A statement, or a line of one, for the templates."""
AnyStatementId = Annotated[str | None, Query(pattern=r"^([A-Za-z0-9_.:-]{1,128})?$")]
AnyState = State | Literal[""] | None
SHOWN: Final = 200
"""Statements on one page; the next page has the others, and the sums are of all."""


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
        state: AnyState = None,
        as_of: AnyDay = None,
        after: AnyStatementId = None,
    ) -> Response:
        day = day_of(as_of) or insured_day(now())
        place = narrowed(viewer, Where(province=province or None, enterprise=enterprise or None))
        async with viewing(context.engine, viewer) as connection:
            periods = await list_periods(connection)
        shown = period or (periods[0] if periods and period is None else None)
        payments = await PaymentReader(context.sources, day).read([shown] if shown else periods)
        wanted = StatementFilter(
            period=shown, province=place.province, enterprise=place.enterprise, after=after or None, limit=SHOWN + 1,
            standing=payments.in_state(state) if state else None,
        )  # fmt: skip
        async with viewing(context.engine, viewer) as connection:
            listed = await list_statements(connection, wanted)
            totals = await sum_statements(connection, wanted, payments.columns())
        balances = await read_balances(context.sources, day, place.enterprise, place.province)
        t, rows = context.renderer.translator(request), listed[:SHOWN]
        chosen = {"period": shown, "province": province, "enterprise": enterprise, "state": state, "as_of": as_of}
        more = rows[-1].statement_id if len(listed) > SHOWN else None
        return context.renderer.page(
            request, "statements.html", viewer=viewer, total=_sums(totals), money=sum_money(balances), as_of=day,
            rows=[_row(statement, payments) for statement in rows], period=shown,
            is_known=not payments.unanswered and balances is not None,
            extent=Extent.of(totals.before, len(rows), totals.count),
            next_href=address("/statements", **chosen, after=more) if more else None,
            first_href=address("/statements", **chosen) if after else None,
            links=_links("/v1/statements", **chosen),
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
        payments = await PaymentReader(context.sources, day).read({shown.statement.period})
        own = shown.statement
        balances = await read_balances(context.sources, day, own.enterprise, own.province)
        row, kinds = _row(own, payments), get_args(LineKind)
        lines = {kind: [_line(line) for line in shown.lines if line.kind == kind] for kind in kinds}
        period = shown.statement.period
        return context.renderer.page(
            request, "statement.html", viewer=viewer, s=row, payment_as_of=day,
            payment=payments.items.get(statement_id), money=sum_money(balances),
            remittance_count=shown.remittance_count,
            state_now=row["state"], lines=lines["line"], adjustments=lines["adjustment"], assessed=lines["assessed"],
            outside=lines[OUTSIDE_DECLARATION],
            rounding_yuan=yuan(Amount(shown.statement.amount - shown.statement.exact_amount)),
            remittances=[remittance.model_dump(mode="json", by_alias=True) for remittance in shown.remittances],
            receipt=declaration,
            links=_links(f"/v1/statements/{statement_id}"),
            remittance_links=_links("/v1/remittances", enterprise=own.enterprise, province=own.province),
            month_href=lambda month: address(
                f"/enterprises/{row['enterprise']}", period=month, province=row["province"], back=period
            ),
        )  # fmt: skip

    return router


def _links(path: str, **wanted: object) -> list[tuple[str, str]]:
    """Links to the downloads of what is shown: all pages of it."""
    return [(form.upper(), address(path, **wanted, format=form)) for form in ("xlsx", "csv")]


def _row(statement: Statement, payments: Payments) -> StatementRow:
    """A statement with its payment state, for the templates."""
    values: StatementRow = statement.model_dump(mode="json", by_alias=True) | {"orders": statement.orders}
    values |= {"remitted_yuan": None, "outstanding_yuan": None, "late_fee_yuan": None}
    if (payment := payments.items.get(statement.statement_id)) is not None:
        values |= payment.model_dump(mode="json", include=PAYMENT_FIELDS)
    return values | {"state": payments.state_of(statement)}


def _line(line: StatementLineShown) -> StatementRow:
    return dict(line.model_dump(mode="json", by_alias=True))


def _sums(totals: StatementTotals) -> dict[str, str]:
    """Sums in yuan over all pages; a dash where one of the statements is not known."""
    sums = {"amount": totals.amount, "remitted": totals.remitted, "outstanding": totals.outstanding}
    return {name: "–" if value is None else grouped(yuan(Amount(value))) for name, value in sums.items()}
