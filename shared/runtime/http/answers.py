"""How routes answer with structs."""

import msgspec
from fastapi import Response


def as_json(content: object) -> Response:
    """Answer with structs, or what holds them, as JSON."""
    return Response(msgspec.json.encode(content), media_type="application/json")
