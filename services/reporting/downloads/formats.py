"""Answer in one of three formats, JSON, CSV or XLSX, as `?format=` says.

A download is written while it is sent, page by page: it holds every row, or its headers and its last table say that it
is a part.
"""

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Final, Literal, TypeVar
from urllib.parse import quote

from fastapi import Query
from fastapi.responses import Response, StreamingResponse

from services.reporting.downloads.spreadsheet_cells import LongTable, Table, write_csv, write_xlsx
from services.reporting.read_model.responses import Where
from shared.domain.calendar import insured_day
from shared.runtime import clock

Format = Annotated[Literal["json", "csv", "xlsx"], Query(description="JSON, or a download for spreadsheets")]
CSV: Final = "text/csv; charset=utf-8"
XLSX: Final = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
DOWNLOADS: Final[dict[int | str, dict[str, Any]]] = {
    200: {"content": {CSV: {"schema": {"type": "string"}}, XLSX: {"schema": {"type": "string", "format": "binary"}}}}
}
"""For `responses=` of a route that has the three forms."""
WHOLE: Final = "a download without `limit` holds every row"
Document = TypeVar("Document")


def name_file(what: str, where: Where, *when: object) -> str:
    """What a file holds: whose figures, of when, and the day on which it is made."""
    scope = [value for _, value in where if value is not None] or ["country"]
    return "-".join([what, *scope, *(str(part) for part in when if part), "made", str(insured_day(clock.now()))])


def in_format(
    form: Format, document: Document, name: str, tables: Callable[[Document], Sequence[Table]]
) -> Document | Response:
    """The document itself, or a download under this name."""
    return document if form == "json" else download(form, name, tables(document))


def download(
    form: Literal["csv", "xlsx"], name: str, tables: Sequence[Table | LongTable], following: str | None = None
) -> Response:
    """A download under this name; one that ends before the list does names the address where the list goes on."""
    headers = {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}.{form}"}
    written = [*tables]
    if following is not None:
        headers["Link"] = f'<{following}>; rel="next"'
        written.append(make_note(f"This is a part, by `limit`. The next rows: {following}. Also, {WHOLE}."))
    body = write_csv(written) if form == "csv" else write_xlsx(written)
    return StreamingResponse(body, 200, headers, CSV if form == "csv" else XLSX)


def make_note(words: str) -> Table:
    """A remark on the other tables of a file."""
    return Table("note", ["note"], [{"note": words}])
