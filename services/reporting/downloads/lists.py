"""Answer lists that may be long: a page with a cursor as JSON, all rows in a download."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Generic, Literal, TypeVar

from fastapi import Request
from fastapi.responses import Response

from services.reporting.downloads.formats import download
from services.reporting.downloads.spreadsheet_cells import LongTable, Row, Table
from shared.runtime.http.gate import prefix_of

PAGE: Final = 1_000
"""Rows of a download that are in memory at the same time."""
Item = TypeVar("Item")
Cursor = TypeVar("Cursor", int, str)


@dataclass(frozen=True, slots=True)
class Slice(Generic[Item, Cursor]):
    """Some rows of a list; `next` leads to those behind, None where there are none."""

    rows: Sequence[Item]
    next: Cursor | None


@dataclass(frozen=True, slots=True)
class LongList(Generic[Item, Cursor]):
    """A list that is read by cursor: `fetch` the rows behind one, at most so many; `cursor_of` a row."""

    fetch: Callable[[Cursor | None, int], Awaitable[Sequence[Item]]]
    cursor_of: Callable[[Item], Cursor]

    async def read(self, after: Cursor | None, limit: int) -> Slice[Item, Cursor]:
        """Read a page, and whether rows follow it."""
        rows = await self.fetch(after, limit + 1)
        shown = rows[:limit]
        return Slice(shown, self.cursor_of(shown[-1]) if len(rows) > limit else None)

    async def pages(self, first: Slice[Item, Cursor]) -> AsyncIterator[Sequence[Item]]:
        """The rows of a page, and of each one that follows it."""
        page = first
        yield page.rows
        while page.next is not None:
            page = await self.read(page.next, PAGE)
            yield page.rows

    async def as_file(
        self,
        request: Request,
        form: Literal["csv", "xlsx"],
        name: str,
        after: Cursor | None,
        limit: int | None,
        columns: Sequence[str],
        row: Callable[[Item], Row],
        more: Sequence[Table | LongTable] = (),
    ) -> Response:
        """A download of all rows; with `limit` of so many at most, and it says where it ends early."""
        first = await self.read(after, limit or PAGE)
        whole = first if limit is None else replace(first, next=None)
        table = LongTable("rows", columns, _as_rows(self.pages(whole), row))
        is_part = limit is not None and first.next is not None
        following = _address(request, first.next) if is_part else None
        return download(form, name, [table, *more], following)


async def _as_rows(pages: AsyncIterator[Sequence[Item]], row: Callable[[Item], Row]) -> AsyncIterator[Sequence[Row]]:
    async for page in pages:
        yield [row(item) for item in page]


def _address(request: Request, cursor: Cursor | None) -> str:
    """This address, behind a cursor."""
    url = request.url.include_query_params(after=cursor)
    return f"{prefix_of(request.scope)}{url.path}?{url.query}"
