"""Compose the pages; a page that cannot be shown says so in the reader's language."""

from collections.abc import Sequence
from typing import Final

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from services.reporting.pages import (
    enterprise_pages,
    evidence_pages,
    finding_pages,
    key_pages,
    parked_pages,
    report_pages,
    sheet_pages,
    statement_pages,
)
from services.reporting.rendering.layout import PageRenderer
from services.reporting.rendering.page_context import PageContext
from shared.runtime.http.errors import ErrorAnswers

SAID: Final = frozenset({401, 403, 404, 409, 422, 503})


def page_routers(context: PageContext) -> Sequence[APIRouter]:
    """Routers of every page and of the static files."""
    rooms = (
        sheet_pages, statement_pages, finding_pages, evidence_pages, report_pages, enterprise_pages, parked_pages,
        key_pages,
    )  # fmt: skip
    return [context.renderer.files(), *(room.make_router(context) for room in rooms)]


def is_page(request: Request) -> bool:
    """Whether a person made the request: paths under /v1/ and requests that do not accept HTML are programs'."""
    return not request.url.path.startswith("/v1/") and "text/html" in request.headers.get("accept", "")


def show_error(renderer: PageRenderer, request: Request, error: HTTPException) -> Response:
    """The page for an answer that is none; a way elsewhere (to the sign-in) stays one."""
    status, headers = error.status_code, dict(error.headers or {})
    if "Location" in headers:
        return Response(status_code=status, headers=headers)
    t, name = renderer.translator(request), str(status) if status in SAID else "other"
    detail = str(error.detail) if name in {"409", "other"} else ""
    page = renderer.page(
        request, "error.html", status, heading=t(f"error.heading_{name}"), why=t(f"error.why_{name}"), detail=detail
    )
    page.headers.update(headers)
    return page


def install(app: FastAPI, context: PageContext, errors: ErrorAnswers) -> None:
    """Add the pages to the app; people get errors as a page, programs as a problem document."""
    for router in page_routers(context):
        app.include_router(router)

    async def say(request: Request, error: Exception) -> Response:
        if is_page(request):
            return show_error(context.renderer, request, errors.as_http(error))
        return await errors.answer(request, error)

    errors.install(app, say)
