"""Describes errors in the OpenAPI document: application/problem+json (RFC 9457)."""

from http import HTTPStatus
from typing import Any, Final

from shared.runtime.http.errors import MEDIA_TYPE


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """For `responses=` of a route: these statuses come with a problem."""
    return {status: _documented(status) for status in statuses}


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
