"""Puts the pages together; a page that cannot be shown says so in the reader's language."""

from collections.abc import Sequence
from typing import Final

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from services.reporting.pages import bills, doors, findings, proofs, reports, sheets, streams
from services.reporting.pages.desk import Desk
from services.reporting.pages.site import Site
from services.reporting.read_api.problems import tell_problem

SAID: Final = frozenset({401, 403, 404, 409, 422, 503})


def page_routers(desk: Desk) -> Sequence[APIRouter]:
    """Every page, and the files beside them."""
    rooms = (sheets, bills, findings, proofs, reports, streams, doors)
    return [desk.site.files(), *(room.make_router(desk) for room in rooms)]


def is_page(request: Request) -> bool:
    """Whether a person looks: what is under /v1/ is for programs, and what asks for no HTML."""
    return not request.url.path.startswith("/v1/") and "text/html" in request.headers.get("accept", "")


def show_error(site: Site, request: Request, error: HTTPException | RequestValidationError) -> Response:
    """The page for an answer that is none; a way elsewhere (to the sign-in) stays one."""
    status = error.status_code if isinstance(error, HTTPException) else 422
    headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
    if "Location" in headers:
        return Response(status_code=status, headers=headers)
    t, name = site.speech(request), str(status) if status in SAID else "other"
    detail = str(error.detail) if isinstance(error, HTTPException) and name in {"409", "other"} else ""
    page = site.page(
        request, "error.html", status, heading=t(f"error.heading_{name}"), why=t(f"error.why_{name}"), detail=detail
    )
    page.headers.update(headers)
    return page


def install(app: FastAPI, desk: Desk) -> None:
    """Add the pages to the app; people are told of errors in a page, programs in a problem."""
    for router in page_routers(desk):
        app.include_router(router)

    @app.exception_handler(HTTPException)
    @app.exception_handler(RequestValidationError)
    async def say(request: Request, error: HTTPException | RequestValidationError) -> Response:
        return show_error(desk.site, request, error) if is_page(request) else await tell_problem(request, error)

    app.add_exception_handler(Exception, tell_problem)
