"""Serve the portal's data over HTTP, version 1: figures, statements, remittances, arrivals, reports; for every reader.

The database limits what a reader sees: every query runs over `viewing`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Final

import msgspec
from fastapi import APIRouter, Depends, HTTPException, Path, Query
from fastapi.responses import Response
from pydantic import BaseModel, Field
from sqlalchemy.ext.asyncio import AsyncEngine

from services.reporting.access.access_log import log_access
from services.reporting.access.authentication import Access
from services.reporting.access.viewers import Viewer, viewing
from services.reporting.downloads.formats import DOWNLOADS, Format, in_format
from services.reporting.downloads.report_tables import Tables
from services.reporting.downloads.spreadsheet_cells import Table
from services.reporting.read_model.arrivals import Arrived, read_arrivals
from services.reporting.read_model.overview import read_overview
from services.reporting.read_model.payment_state import Standing, State, read_payments, with_payment
from services.reporting.read_model.responses import (
    Answer,
    Overview,
    Remittance,
    Sheet,
    StatementLineShown,
)
from services.reporting.read_model.sent_reports import AnyReport, ReportListed, find_report, list_reports
from services.reporting.read_model.sheets import read_sheet
from services.reporting.read_model.statements import StatementFilter, find_statement, list_remittances, list_statements
from services.reporting.reader_scope import (
    READERS,
    AnyDay,
    AnyIndustry,
    AnyPeriod,
    AnyProvince,
    AnyUscc,
    Limit,
    place_of,
    span_of,
)
from services.reporting.service_clients import Sources
from shared.domain.calendar import FIRST_DAY, LAST_DAY, insured_day
from shared.runtime import clock
from shared.runtime.http.problem_schema import problem_responses
from shared.runtime.http.types import StrictDay

StatementId = Annotated[str, Path(pattern=r"^[A-Za-z0-9_.:-]{1,128}$", examples=["2026-10.44.91110000MA0BLUE021"])]
ReportId = Annotated[str, Path(pattern=r"^[A-Za-z0-9_.:-]{1,128}$", examples=["coverage.2026-10-03.44"])]
After = Annotated[str | None, Query(pattern=r"^[A-Za-z0-9_.:-]{1,128}$", description="`next` of the answer before")]
Kind = Annotated[str | None, Query(pattern=r"^(coverage|registration|declaration|payment)$", examples=["coverage"])]
AnyState = Annotated[
    State | None, Query(description="only these of a page, which then has fewer; `next` leads on all the same")
]
PROBLEMS: Final = problem_responses(401, 403, 422)
ONE: Final = problem_responses(404)
MINUTES: Final = 24 * 60


class Statements(Answer):
    """A page of the list."""

    statements: list[Standing]
    next: str | None


class StatementWhole(Answer):
    """A statement with its lines, and what its enterprise remitted in that province."""

    statement: Standing
    lines: list[StatementLineShown]
    remittances: list[Remittance]


class Remittances(Answer):
    """A page of the list, newest first."""

    remittances: list[Remittance]
    next: str | None


class Evidence(Answer):
    """The evidence log's entries: all, those a checkpoint signs, those a witness has cosigned."""

    entries: Annotated[int, Field(examples=[912])]
    signed: int | None
    cosigned: int | None
    witness: Annotated[str | None, Field(description="who cosigned last", examples=["witness.example"])]


class Arrivals(Answer):
    """The minutes before `as_of`, newest first."""

    as_of: datetime
    arrivals: list[Arrived]


class Reports(Answer):
    """A page of the list, newest first."""

    reports: list[ReportListed]
    next: str | None


@dataclass(frozen=True, slots=True)
class PortalContext:
    """What the routes need. `joined` says when each province's first insured day began; `names` are enterprises'."""

    engine: AsyncEngine
    access: Access
    sources: Sources
    joined: Mapping[str, datetime]
    names: Mapping[str, str]


def make_read_router(portal: PortalContext) -> APIRouter:
    """Every route under /v1 that only reads the model and the reports."""
    router = APIRouter(prefix="/v1", responses=PROBLEMS)
    _add_figures(router, portal)
    _add_statements(router, portal)
    _add_money_and_arrivals(router, portal)
    _add_reports(router, portal)
    _add_evidence(router, portal)
    return router


def _add_figures(router: APIRouter, portal: PortalContext) -> None:
    Allowed = Annotated[Viewer, Depends(portal.access.require(*READERS))]  # noqa: N806 - a type that holds the engine
    tables = Tables(portal.names)

    @router.get("/overview", tags=["figures"])
    async def overview(viewer: Allowed, day: AnyDay = None) -> Overview:
        """The last closed day (or `day`) with the map of the country, thirteen months and what is open."""
        async with viewing(portal.engine, viewer) as connection:
            return await read_overview(connection, portal.joined, place_of(viewer), day)

    @router.get("/sheets", tags=["figures"], response_model=Sheet, responses=DOWNLOADS)
    async def sheet(
        viewer: Allowed,
        first: Annotated[
            StrictDay, Query(ge=FIRST_DAY, le=LAST_DAY, description="first insured day", examples=["2026-10-01"])
        ],
        last: Annotated[StrictDay | None, Query(ge=FIRST_DAY, le=LAST_DAY, description="`first` by default")] = None,
        province: AnyProvince = None,
        enterprise: AnyUscc = None,
        industry: AnyIndustry = None,
        format: Format = "json",  # noqa: A002 - the name in the address
    ) -> Sheet | Response:
        """Insured days of a province, enterprise, industry, of some of them, or of all: figures to date, and what they
        are made of."""
        where, span = place_of(viewer, province, enterprise, industry), span_of(first, last or first)
        async with viewing(portal.engine, viewer) as connection:
            shown = await read_sheet(connection, where, span)
        name = "-".join(filter(None, ("sheet", str(span.first), str(span.last), province, enterprise, industry)))
        return in_format(format, shown, name, tables.sheet)


def _add_statements(router: APIRouter, portal: PortalContext) -> None:
    Allowed = Annotated[Viewer, Depends(portal.access.require(*READERS))]  # noqa: N806 - a type that holds the engine
    tables = Tables(portal.names)

    @router.get("/statements", tags=["statements"], response_model=Statements, responses=DOWNLOADS)
    async def statements(
        viewer: Allowed,
        period: AnyPeriod = None,
        province: AnyProvince = None,
        enterprise: AnyUscc = None,
        state: AnyState = None,
        after: After = None,
        limit: Limit = 100,
        as_of: AnyDay = None,
        format: Format = "json",  # noqa: A002 - as above
    ) -> Statements | Response:
        """By month (the newest first), enterprise and province, each with its payment state at the end of `as_of`."""
        where = place_of(viewer, province, enterprise)
        chosen = StatementFilter(
            period=period, province=where.province, enterprise=where.enterprise, after=after, limit=limit
        )
        async with viewing(portal.engine, viewer) as connection:
            listed = await list_statements(connection, chosen)
        day = as_of or insured_day(clock.now())
        payments = await read_payments(portal.sources, {statement.period for statement in listed}, day)
        standing = [with_payment(statement, payments, day) for statement in listed]
        page = Statements(
            statements=[statement for statement in standing if state in {None, statement.state}],
            next=listed[-1].statement_id if len(listed) == limit else None,
        )
        return in_format(
            format, page, f"statements-{period or 'all'}", lambda listing: [_rows(tables, listing.statements)]
        )

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
        payments = await read_payments(portal.sources, {shown.statement.period}, day)
        whole = StatementWhole(
            statement=with_payment(shown.statement, payments, day), lines=shown.lines, remittances=shown.remittances
        )
        return in_format(
            format,
            whole,
            f"statement-{statement_id}",
            lambda whole_statement: tables.statement(
                whole_statement.statement.model_dump(by_alias=True), whole_statement.lines, whole_statement.remittances
            ),
        )


def _add_money_and_arrivals(router: APIRouter, portal: PortalContext) -> None:
    Allowed = Annotated[Viewer, Depends(portal.access.require(*READERS))]  # noqa: N806 - a type that holds the engine
    tables = Tables(portal.names)

    @router.get("/remittances", tags=["statements"], response_model=Remittances, responses=DOWNLOADS)
    async def remittances(
        viewer: Allowed,
        province: AnyProvince = None,
        enterprise: AnyUscc = None,
        after: After = None,
        limit: Limit = 100,
        format: Format = "json",  # noqa: A002 - as above
    ) -> Remittances | Response:
        """Money that arrived, the newest first."""
        where = place_of(viewer, province, enterprise)
        async with viewing(portal.engine, viewer) as connection:
            listed = await list_remittances(connection, where.enterprise, where.province, after, limit)
        page = Remittances(remittances=listed, next=listed[-1].remittance_id if len(listed) == limit else None)
        return in_format(format, page, "remittances", lambda listing: [_rows(tables, listing.remittances)])

    @router.get("/arrivals", tags=["figures"])
    async def arrivals(
        viewer: Allowed,
        enterprise: AnyUscc = None,
        minutes: Annotated[int, Query(ge=1, le=MINUTES)] = 60,
    ) -> Arrivals:
        """Events that arrived in the last minutes, by enterprise, minute and outcome; none for a province."""
        where, now = place_of(viewer, None, enterprise), clock.now()
        async with viewing(portal.engine, viewer) as connection:
            return Arrivals(as_of=now, arrivals=await read_arrivals(connection, now, minutes, where.enterprise))


def _add_evidence(router: APIRouter, portal: PortalContext) -> None:
    Allowed = Annotated[Viewer, Depends(portal.access.require(*READERS))]  # noqa: N806 - a type that holds the engine

    @router.get("/evidence", tags=["evidence"], responses=problem_responses(503))
    async def evidence(_: Allowed) -> Evidence:
        """The state of the log, from the books."""
        return Evidence(**msgspec.structs.asdict(await portal.sources.log_state()))


def _add_reports(router: APIRouter, portal: PortalContext) -> None:
    Allowed = Annotated[Viewer, Depends(portal.access.require(*READERS))]  # noqa: N806 - a type that holds the engine
    tables = Tables(portal.names)

    @router.get("/reports", tags=["reports"], response_model=Reports, responses=DOWNLOADS)
    async def reports(
        viewer: Allowed,
        kind: Kind = None,
        period: AnyPeriod = None,
        province: AnyProvince = None,
        after: Annotated[int | None, Query(ge=1, lt=2**63, description="`next` of the answer before")] = None,
        limit: Limit = 100,
        format: Format = "json",  # noqa: A002 - as above
    ) -> Reports | Response:
        """Reports sent to the national platform, the newest first, with its receipts. An enterprise sees its
        declarations; other reports hold several enterprises' rows."""
        async with viewing(portal.engine, viewer) as connection:
            listed = await list_reports(connection, kind, period, province, after, limit)
        page = Reports(reports=listed, next=str(listed[-1].number) if len(listed) == limit else None)
        return in_format(format, page, "reports", lambda listing: [_rows(tables, listing.reports)])

    @router.get("/reports/{report_id}", tags=["reports"], response_model=AnyReport, responses={**DOWNLOADS, **ONE})
    async def report(
        viewer: Allowed,
        report_id: ReportId,
        format: Format = "json",  # noqa: A002 - as above
    ) -> AnyReport | Response:
        """A report as it was sent. That somebody read workers' tokens in one is noted."""
        async with viewing(portal.engine, viewer) as connection:
            document = await find_report(connection, report_id)
        if document is None:
            raise HTTPException(404, f"no report {report_id} within what {viewer.name!r} sees")
        if getattr(document, "employee_exclusions", None) or document.kind == "registration":
            await log_access(portal.engine, viewer, "report", report_id)
        return in_format(format, document, report_id, tables.report)


def _rows(tables: Tables, rows: Sequence[BaseModel]) -> Table:
    return tables.rows("rows", [row.model_dump(by_alias=True) for row in rows])
