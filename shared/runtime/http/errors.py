"""Answers to errors, for every route of every service: a problem (RFC 9457) that says what to do and nothing of us.

Refused                409  conflicts with the current state; the message says why
Archived               410  in rows that have left for files; the message says how they come back
Retry, a full pool     503  with Retry-After
a value no column has  422
anything else          500  its text goes to the log only
"""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from shared.domain.errors import Archived, Refused, RefusedValue, Retry
from shared.runtime.observability import without_addresses

log = structlog.get_logger(__name__)
MEDIA_TYPE: Final = "application/problem+json"
MOST_FAULTS: Final = 20
BUSY_SECONDS: Final = "2"
"""Retry-After of what passes by itself."""
BAD_VALUE: Final = "a value is out of range"
_TITLES: Final = {status.value: status.phrase for status in HTTPStatus}
Handler = Callable[[Request, Exception], Awaitable[Response]]


def make_problem(error: HTTPException, faults: Sequence[dict[str, str]] | None = None) -> Response:
    """The answer to an error that has a status."""
    problem: dict[str, str | int | list[dict[str, str]]] = {
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
    """List the faults of a request, without its values; then how many more there are than MOST_FAULTS."""
    faults = error.errors()
    named = [{"where": ".".join(map(str, fault["loc"])), "what": _say_fault(fault)} for fault in faults[:MOST_FAULTS]]
    more = len(faults) - MOST_FAULTS
    return named + ([{"where": "", "what": f"{more} more faults"}] if more > 0 else [])


def _say_fault(fault: Mapping[str, Any]) -> str:
    """A fault in words; a form is said by the parameter's description, not by a pattern."""
    return "does not have the required form" if fault["type"] == "string_pattern_mismatch" else str(fault["msg"])


@dataclass(frozen=True, slots=True)
class DriverErrors:
    """Exceptions of the database's driver that have an answer."""

    bad_values: tuple[type[Exception], ...] = ()
    """A value that no column takes."""
    away: tuple[type[Exception], ...] = ()
    """The database is away or full, which is expected to pass."""


class ErrorAnswers:
    """Answers exceptions of routes, the driver's among them."""

    def __init__(self, driver: DriverErrors) -> None:
        self._bad_values: tuple[type[Exception], ...] = (RefusedValue, *driver.bad_values)
        self.passing: tuple[type[Exception], ...] = (Retry, TimeoutError, *driver.away)
        """What passes by itself: a service or the database that is away or busy."""

    def as_http(self, error: Exception) -> HTTPException:
        """The error with the status it is answered with."""
        match error:
            case HTTPException():
                return error
            case RequestValidationError():
                faults = list_faults(error)
                return HTTPException(422, "; ".join(f"{fault['where']}: {fault['what']}" for fault in faults))
            case _ if isinstance(error, self._bad_values):
                return HTTPException(422, BAD_VALUE)
            case Archived():
                return HTTPException(410, str(error))
            case Refused():
                return HTTPException(409, str(error))
            case Retry():
                return HTTPException(503, without_addresses(str(error)), {"Retry-After": BUSY_SECONDS})
            case _ if isinstance(error, self.passing):
                return HTTPException(503, "busy: try again later", {"Retry-After": BUSY_SECONDS})
            case _:
                return HTTPException(500, "an error of ours; it is in the log")

    async def answer(self, _: Request, error: Exception) -> Response:
        """A handler of exceptions."""
        faults = list_faults(error) if isinstance(error, RequestValidationError) else None
        answer = self.as_http(error)
        if answer.status_code == HTTPStatus.SERVICE_UNAVAILABLE and not isinstance(error, HTTPException):
            log.warning("a request is answered 503", error=without_addresses(repr(error)))
        return make_problem(answer, faults)

    def install(self, app: FastAPI, answer: Handler | None = None) -> None:
        """Answer every error of the app's routes, by `answer` where given; an unexpected one always with a problem."""
        for kind in (HTTPException, RequestValidationError, Refused, *self._bad_values, *self.passing):
            app.add_exception_handler(kind, answer or self.answer)
        app.add_exception_handler(Exception, self.answer)
