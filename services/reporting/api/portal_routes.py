"""Serve the portal's data over HTTP, version 1: figures, arrivals, reports; for every reader.

The database limits what a reader sees: every query runs over `viewing`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Final

import msgspec
from fastapi import APIRouter, Depends, HTTPException, Path, Query, Request
from fastapi.responses import Response
from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncEngine

from services.reporting.access.access_log import log_access
from services.reporting.access.authentication import Access
from services.reporting.access.viewers import Viewer, viewing
from services.reporting.downloads.formats import DOWNLOADS, Format, in_format, name_file
from services.reporting.downloads.lists import LongList
from services.reporting.downloads.report_tables import Tables
from services.reporting.read_model.arrivals import Arrived, read_arrivals
from services.reporting.read_model.overview import read_overview
from services.reporting.read_model.responses import Answer, Overview, Sheet, Where
from services.reporting.read_model.sent_reports import AnyReport, ReportListed, find_report, list_reports
from services.reporting.read_model.sheets import read_sheet
from services.reporting.reader_scope import (
    READERS,
    AnyDay,
    AnyIndustry,
    AnyPeriod,
    AnyProvince,
    AnyUscc,
    Limit,
    narrowed,
    place_of,
    span_of,
)
from services.reporting.service_clients import Sources
from shared.domain.calendar import FIRST_DAY, LAST_DAY
from shared.runtime import clock
from shared.runtime.http.problem_schema import problem_responses
from shared.runtime.http.types import StrictDay

ReportId = Annotated[str, Path(pattern=r"^[A-Za-z0-9_.:-]{1,128}$", examples=["coverage.2026-10-03.44"])]
Kind = Annotated[str | None, Query(pattern=r"^(coverage|registration|declaration|payment)$", examples=["coverage"])]
PROBLEMS: Final = problem_responses(401, 403, 422)
ONE: Final = problem_responses(404)
MINUTES: Final = 24 * 60


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
    _add_arrivals(router, portal)
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
        name = name_file("sheet", where, span.first, None if span.is_day else span.last)
        return in_format(format, shown, name, tables.sheet)


def _add_arrivals(router: APIRouter, portal: PortalContext) -> None:
    Allowed = Annotated[Viewer, Depends(portal.access.require(*READERS))]  # noqa: N806 - a type that holds the engine

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
        request: Request,
        viewer: Allowed,
        kind: Kind = None,
        period: AnyPeriod = None,
        province: AnyProvince = None,
        after: Annotated[int | None, Query(ge=1, lt=2**63, description="`next` of the answer before")] = None,
        limit: Limit = None,
        format: Format = "json",  # noqa: A002 - as above
    ) -> Reports | Response:
        """Reports sent to the national platform, the newest first, with its receipts. An enterprise sees its
        declarations; other reports hold several enterprises' rows."""

        async def fetch(after: int | None, limit: int) -> list[ReportListed]:
            async with viewing(portal.engine, viewer) as connection:
                return await list_reports(connection, kind, period, province, after, limit)

        listing = LongList(fetch, lambda report: report.number)
        if format == "json":
            page = await listing.read(after, limit or 100)
            return Reports(reports=list(page.rows), next=None if page.next is None else str(page.next))
        name = name_file("reports", narrowed(viewer, Where(province=province)), period, kind)
        return await listing.as_file(
            request, format, name, after, limit, tables.columns_of(ReportListed), tables.row_of
        )

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
        return in_format(format, document, name_file(report_id, Where()), tables.report)
