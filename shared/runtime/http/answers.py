"""Encodes structs as JSON answers of routes."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import msgspec
from fastapi import Response

Item = TypeVar("Item")
Cursor = TypeVar("Cursor", int, str)


def as_json(content: object) -> Response:
    """Answer with structs, or what holds them, as JSON."""
    return Response(msgspec.json.encode(content), media_type="application/json")


def cut_page(
    rows: Sequence[Item], limit: int, cursor_of: Callable[[Item], Cursor]
) -> tuple[Sequence[Item], Cursor | None]:
    """The rows of a page and its `next`, out of rows that were read with one more than the limit."""
    shown = rows[:limit]
    return shown, cursor_of(shown[-1]) if len(rows) > limit else None
