"""Encodes structs as JSON answers of routes."""

import msgspec
from fastapi import Response


def as_json(content: object) -> Response:
    """Answer with structs, or what holds them, as JSON."""
    return Response(msgspec.json.encode(content), media_type="application/json")
