"""Reads the rows of a query as structs, so that the type checker knows the columns of a row that crosses a function."""

from collections.abc import AsyncIterator, Sequence
from datetime import date, timedelta
from typing import TypeVar

from msgspec import Struct

from shared.adapters.postgres.pool import Connection

Row = TypeVar("Row", bound=Struct)
Value = str | int | bytes | date | timedelta | Sequence[str] | Sequence[date] | None
"""A parameter of a query."""


async def fetch_structs(connection: Connection, kind: type[Row], query: str, *values: Value) -> list[Row]:
    """The rows as `kind`, whose fields are columns of the query by name; other columns are left out.

    Raises `KeyError` for a field that is no column. Values are taken as the driver gives them.
    """
    names = kind.__struct_fields__
    return [kind(**{name: row[name] for name in names}) for row in await connection.fetch(query, *values)]


async def stream_structs(
    connection: Connection, kind: type[Row], query: str, *values: Value, prefetch: int
) -> AsyncIterator[Row]:
    """The rows as `kind`, `prefetch` at a time; needs a transaction."""
    names = kind.__struct_fields__
    async for row in connection.cursor(query, *values, prefetch=prefetch):
        yield kind(**{name: row[name] for name in names})
