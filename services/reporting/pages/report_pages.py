"""Show a day's coverage report as it was sent, with its receipt, to those who see the whole province."""

from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import Response

from services.reporting.access.access_log import log_access
from services.reporting.access.viewers import Role, Viewer, viewing
from services.reporting.read_model.sent_reports import find_coverage
from services.reporting.rendering.layout import EVERYWHERE
from services.reporting.rendering.page_context import PageContext, PathDay, Province


def make_router(context: PageContext) -> APIRouter:
    """`/reports/{day}/{province}`."""
    router = APIRouter(include_in_schema=False)

    @router.get("/reports/{day}/{code}")
    async def report(
        request: Request,
        viewer: Annotated[Viewer, Depends(context.access.require(*EVERYWHERE, Role.PROVINCE))],
        day: PathDay,
        code: Province,
    ) -> Response:
        async with viewing(context.engine, viewer) as connection:
            view = await find_coverage(connection, day, code)
        if view is None:
            raise HTTPException(404, "no such report in your share")
        if view.report.employee_exclusions:
            await log_access(context.engine, viewer, "employee_exclusions", view.report.report_id)
        links = [(form.upper(), f"/v1/reports/{view.report.report_id}?format={form}") for form in ("xlsx", "csv")]
        return context.renderer.page(request, "coverage.html", viewer=viewer, view=view, links=links)

    return router
