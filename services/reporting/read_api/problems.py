"""Errors for programs: application/problem+json (RFC 9457), from every route, whatever went wrong."""

from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

MEDIA_TYPE: Final = "application/problem+json"
MOST_FAULTS: Final = 20


class Fault(BaseModel):
    """One thing that is wrong with a request."""

    where: Annotated[str, Field(examples=["query.province"])]
    what: Annotated[str, Field(examples=["String should match pattern '^[0-9]{2}$'"])]


class Problem(BaseModel):
    """What went wrong."""

    type: Annotated[str, Field(examples=["about:blank"])] = "about:blank"
    title: Annotated[str, Field(examples=["Not Found"])]
    status: Annotated[int, Field(examples=[404])]
    detail: Annotated[str, Field(examples=["no statement 2026-10.44.91110000MA0BLUE021 within what this key sees"])]
    errors: list[Fault] | None = None


def told(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """For `responses=` of a route: these statuses come with a problem."""
    return {each: _documented(each) for each in statuses}


def _documented(status: int) -> dict[str, Any]:
    title = HTTPStatus(status).phrase
    example = {"type": "about:blank", "title": title, "status": status, "detail": "..."}
    return {"description": title, "content": {MEDIA_TYPE: {"schema": _SCHEMA, "example": example}}}


_SCHEMA: Final = {
    "type": "object",
    "title": "Problem",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {"type": "object", "properties": {"where": {"type": "string"}, "what": {"type": "string"}}},
        },
    },
}


async def tell_problem(_: Request, error: Exception) -> JSONResponse:
    """A handler of exceptions; of what nobody expected nothing is told but that it happened."""
    match error:
        case HTTPException():
            return _problem(error.status_code, str(error.detail), dict(error.headers or {}))
        case RequestValidationError():
            faults = [
                Fault(where=".".join(map(str, each["loc"])), what=str(each["msg"]))
                for each in error.errors()[:MOST_FAULTS]
            ]
            detail = "; ".join(f"{each.where}: {each.what}" for each in faults)
            return _problem(422, detail, {}, faults)
        case _:
            return _problem(500, "an error of ours; it is in the log", {})


def _problem(status: int, detail: str, headers: dict[str, str], faults: list[Fault] | None = None) -> JSONResponse:
    titles = {each.value: each.phrase for each in HTTPStatus}
    problem = Problem(title=titles.get(status, "Error"), status=status, detail=detail, errors=faults)
    return JSONResponse(problem.model_dump(exclude_none=True), status, headers, MEDIA_TYPE)
