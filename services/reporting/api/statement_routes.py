"""Serve statements (账单) and money over HTTP, version 1, with the state of payment that the ledger knows."""

from dataclasses import replace
from datetime import date
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Path, Query, Request
from fastapi.responses import Response
from pydantic import Field

from services.reporting.access.viewers import Viewer, viewing
from services.reporting.api.portal_routes import ONE, PROBLEMS, PortalContext
from services.reporting.downloads.formats import DOWNLOADS, Format, in_format, make_note, name_file
from services.reporting.downloads.lists import LongList
from services.reporting.downloads.report_tables import Tables
from services.reporting.downloads.spreadsheet_cells import Table
from services.reporting.read_model.payment_state import (
    Balance,
    PaymentReader,
    Standing,
    State,
    read_balances,
    with_payment,
)
from services.reporting.read_model.responses import Answer, Remittance, StatementLineShown, Where
from services.reporting.read_model.statements import (
    StatementFilter,
    find_statement,
    list_periods,
    list_remittances,
    list_statements,
)
from services.reporting.reader_scope import READERS, AnyDay, AnyPeriod, AnyProvince, AnyUscc, Limit, place_of
from shared.domain.calendar import insured_day
from shared.runtime import clock
from shared.runtime.http.errors import BUSY_SECONDS
from shared.runtime.http.problem_schema import problem_responses

StatementId = Annotated[str, Path(pattern=r"^[A-Za-z0-9_.:-]{1,128}$", examples=["2026-10.44.91110000MA0BLUE021"])]
After = Annotated[str | None, Query(pattern=r"^[A-Za-z0-9_.:-]{1,128}$", description="`next` of the answer before")]
AnyState = Annotated[State | None, Query(description="only those in this state of payment")]
AWAY = problem_responses(503)
UNKNOWN = "The ledger does not answer: what is paid is not known, and no state says it."


class Statements(Answer):
    """A page of the list."""

    statements: list[Standing]
    next: str | None


class StatementWhole(Answer):
    """A statement with its lines, and what its enterprise remitted in that province."""

    statement: Standing
    lines: list[StatementLineShown]
    remittances: Annotated[list[Remittance], Field(description="the newest; /v1/remittances has all")]
    remittance_count: Annotated[int, Field(description="of all remittances", examples=[3])]
    balance: Annotated[Balance | None, Field(description="null while the books do not answer, or nothing was paid")]


class Balances(Answer):
    """What the enterprises paid in each province, and what became of it."""

    as_of: date
    balances: list[Balance]


class Remittances(Answer):
    """A page of the list, newest first."""

    remittances: list[Remittance]
    next: str | None


def make_statement_router(portal: PortalContext) -> APIRouter:
    """Statements, balances and remittances."""
    router = APIRouter(prefix="/v1", responses=PROBLEMS)
    _add_statements(router, portal)
    _add_money(router, portal)
    return router


def _add_statements(router: APIRouter, portal: PortalContext) -> None:
    Allowed = Annotated[Viewer, Depends(portal.access.require(*READERS))]  # noqa: N806 - a type that holds the engine
    tables = Tables(portal.names)

    @router.get("/statements", tags=["statements"], response_model=Statements, responses=DOWNLOADS)
    async def statements(
        request: Request,
        viewer: Allowed,
        period: AnyPeriod = None,
        province: AnyProvince = None,
        enterprise: AnyUscc = None,
        state: AnyState = None,
        after: After = None,
        limit: Limit = None,
        as_of: AnyDay = None,
        format: Format = "json",  # noqa: A002 - as above
    ) -> Statements | Response:
        """By month (the newest first), enterprise and province, each with its payment state at the end of `as_of`."""
        where, day = place_of(viewer, province, enterprise), as_of or insured_day(clock.now())
        reader = PaymentReader(portal.sources, day)
        wanted = StatementFilter(period=period, province=where.province, enterprise=where.enterprise)
        if state is not None:
            async with viewing(portal.engine, viewer) as connection:
                months = [period] if period else await list_periods(connection)
            wanted = replace(wanted, standing=(await reader.read(months)).in_state(state))

        async def fetch(after: str | None, limit: int) -> list[Standing]:
            async with viewing(portal.engine, viewer) as connection:
                listed = await list_statements(connection, replace(wanted, after=after, limit=limit))
            payments = await reader.read({statement.period for statement in listed})
            return [with_payment(statement, payments, day) for statement in listed]

        listing = LongList(fetch, lambda standing: standing.statement_id)
        if format == "json":
            page = await listing.read(after, limit or 100)
            return Statements(statements=list(page.rows), next=page.next)
        known = await read_balances(portal.sources, day, where.enterprise, where.province)
        more = make_note(UNKNOWN) if known is None else tables.balances(known)
        return await listing.as_file(
            request, format, name_file("statements", where, period, state), after, limit,
            tables.columns_of(Standing), tables.row_of, [more],
        )  # fmt: skip

    @router.get(
        "/statements/{statement_id}", tags=["statements"], response_model=StatementWhole, responses={**DOWNLOADS, **ONE}
    )
    async def statement(
        viewer: Allowed,
        statement_id: StatementId,
        as_of: AnyDay = None,
        format: Format = "json",  # noqa: A002 - as above
    ) -> StatementWhole | Response:
        """One with its lines: adjustments name the month they belong to, assessed ones their series and day; orders
        outside the signed declaration have lines of kind outside_declaration."""
        async with viewing(portal.engine, viewer) as connection:
            shown = await find_statement(connection, statement_id)
        if shown is None:
            raise HTTPException(404, f"no statement {statement_id} within what {viewer.name!r} sees")
        day = as_of or insured_day(clock.now())
        payments = await PaymentReader(portal.sources, day).read({shown.statement.period})
        standing = with_payment(shown.statement, payments, day)
        known = await read_balances(portal.sources, day, standing.enterprise, standing.province)
        whole = StatementWhole(
            statement=standing,
            lines=shown.lines,
            remittances=shown.remittances,
            remittance_count=shown.remittance_count,
            balance=known[0] if known else None,
        )
        where = Where(province=standing.province, enterprise=standing.enterprise)
        return in_format(format, whole, name_file("statement", where, standing.period), partial(_tables_of, tables))


def _tables_of(tables: Tables, whole: StatementWhole) -> list[Table]:
    balances = [] if whole.balance is None else [whole.balance]
    written = tables.statement(whole.statement, whole.lines, whole.remittances, balances)
    if whole.statement.state == "unknown":
        written.append(make_note(UNKNOWN))
    if (shown := len(whole.remittances)) < whole.remittance_count:
        written.append(make_note(f"The newest {shown} of {whole.remittance_count} remittances; all: /v1/remittances"))
    return written


def _add_money(router: APIRouter, portal: PortalContext) -> None:
    Allowed = Annotated[Viewer, Depends(portal.access.require(*READERS))]  # noqa: N806 - a type that holds the engine
    tables = Tables(portal.names)

    @router.get("/balances", tags=["statements"], response_model=Balances, responses={**DOWNLOADS, **AWAY})
    async def balances(
        viewer: Allowed,
        province: AnyProvince = None,
        enterprise: AnyUscc = None,
        as_of: AnyDay = None,
        format: Format = "json",  # noqa: A002 - as above
    ) -> Balances | Response:
        """Money of each enterprise in each province to the end of `as_of`: what arrived, what it settled, and what is
        left, which is carried forward. All of them: there is no page."""
        where, day = place_of(viewer, province, enterprise), as_of or insured_day(clock.now())
        known = await read_balances(portal.sources, day, where.enterprise, where.province)
        if known is None:
            raise HTTPException(503, "the ledger does not answer: try again later", {"Retry-After": BUSY_SECONDS})
        answer, name = Balances(as_of=day, balances=known), name_file("balances", where, day)
        return in_format(format, answer, name, lambda shown: [tables.balances(shown.balances)])

    @router.get("/remittances", tags=["statements"], response_model=Remittances, responses=DOWNLOADS)
    async def remittances(
        request: Request,
        viewer: Allowed,
        province: AnyProvince = None,
        enterprise: AnyUscc = None,
        after: After = None,
        limit: Limit = None,
        format: Format = "json",  # noqa: A002 - as above
    ) -> Remittances | Response:
        """Money that arrived, the newest first."""
        where = place_of(viewer, province, enterprise)

        async def fetch(after: str | None, limit: int) -> list[Remittance]:
            async with viewing(portal.engine, viewer) as connection:
                return await list_remittances(connection, where.enterprise, where.province, after, limit)

        listing = LongList(fetch, lambda remittance: remittance.remittance_id)
        if format == "json":
            page = await listing.read(after, limit or 100)
            return Remittances(remittances=list(page.rows), next=page.next)
        return await listing.as_file(
            request, format, name_file("remittances", where), after, limit, tables.columns_of(Remittance), tables.row_of
        )
