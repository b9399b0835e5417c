"""Answer in one of three formats, JSON, CSV or XLSX, as `?format=` says."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Final, Literal, TypeVar
from urllib.parse import quote

from fastapi import Query
from fastapi.responses import Response

from services.reporting.downloads.spreadsheet_cells import Table, write_csv, write_xlsx

Format = Annotated[Literal["json", "csv", "xlsx"], Query(description="JSON, or a download for spreadsheets")]
CSV: Final = "text/csv; charset=utf-8"
XLSX: Final = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
DOWNLOADS: Final[dict[int | str, dict[str, Any]]] = {
    200: {"content": {CSV: {"schema": {"type": "string"}}, XLSX: {"schema": {"type": "string", "format": "binary"}}}}
}
"""For `responses=` of a route that has the three forms."""
Document = TypeVar("Document")


def in_format(
    form: Format, document: Document, name: str, tables: Callable[[Document], Sequence[Table]]
) -> Document | Response:
    """The document itself, or a download under this name."""
    if form == "json":
        return document
    body, media_type = (write_csv(tables(document)), CSV) if form == "csv" else (write_xlsx(tables(document)), XLSX)
    headers = {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}.{form}"}
    return Response(body, 200, headers, media_type)
