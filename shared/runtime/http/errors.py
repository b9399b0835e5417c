"""Answers to errors, for every route of every service: a problem (RFC 9457) that says what to do and nothing of us.

Refused                409  wrong as things stand; the message says why
Retry, a full pool     503  with Retry-After
a value no column has  422
anything else          500  its text goes to the log only
"""

import json
from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus
from typing import Any, Final

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from shared.adapters.postgres.pool import AWAY, BadData
from shared.domain.errors import Refused, RefusedValue, Retry
from shared.runtime.observability import without_addresses

log = structlog.get_logger(__name__)
MEDIA_TYPE: Final = "application/problem+json"
MOST_FAULTS: Final = 20
BUSY_SECONDS: Final = "2"
"""Retry-After of what passes by itself."""
PASSING: Final = (Retry, TimeoutError, *AWAY)
"""What passes by itself: a service or the database that is away or busy."""
BAD_VALUE: Final = "a value is out of range"
_TITLES: Final = {each.value: each.phrase for each in HTTPStatus}


def make_problem(error: HTTPException, faults: Sequence[dict[str, str]] | None = None) -> Response:
    """The answer to an error that has a status."""
    problem: dict[str, Any] = {
        "type": "about:blank",
        "title": _TITLES.get(error.status_code, "Error"),
        "status": error.status_code,
        "detail": error.detail,
    }
    if faults is not None:
        problem["errors"] = list(faults)
    # ASCII: what a caller wrote may hold half a character, which no encoding takes.
    return Response(json.dumps(problem, default=str), error.status_code, dict(error.headers or {}), MEDIA_TYPE)


def list_faults(error: RequestValidationError) -> list[dict[str, str]]:
    """What is wrong with a request, without the values that it came with."""
    return [
        {"where": ".".join(map(str, each["loc"])), "what": str(each["msg"])} for each in error.errors()[:MOST_FAULTS]
    ]


def as_http(error: Exception) -> HTTPException:
    """The error with the status it is answered with."""
    match error:
        case HTTPException():
            return error
        case RequestValidationError():
            return HTTPException(422, "; ".join(f"{each['where']}: {each['what']}" for each in list_faults(error)))
        case RefusedValue() | BadData():
            return HTTPException(422, BAD_VALUE)
        case Refused():
            return HTTPException(409, str(error))
        case Retry():
            return HTTPException(503, without_addresses(str(error)), {"Retry-After": BUSY_SECONDS})
        case _ if isinstance(error, PASSING):
            return HTTPException(503, "busy: ask again later", {"Retry-After": BUSY_SECONDS})
        case _:
            return HTTPException(500, "an error of ours; it is in the log")


async def answer_error(_: Request, error: Exception) -> Response:
    """A handler of exceptions."""
    faults = list_faults(error) if isinstance(error, RequestValidationError) else None
    answer = as_http(error)
    if answer.status_code == HTTPStatus.SERVICE_UNAVAILABLE and not isinstance(error, HTTPException):
        log.warning("a request is answered 503", error=without_addresses(repr(error)))
    return make_problem(answer, faults)


def install_errors(app: FastAPI, answer: Callable[[Request, Exception], Awaitable[Response]] = answer_error) -> None:
    """Answer every error of the app's routes; what nobody expected always with a problem."""
    for kind in (HTTPException, RequestValidationError, Refused, BadData, *PASSING):
        app.add_exception_handler(kind, answer)
    app.add_exception_handler(Exception, answer_error)
