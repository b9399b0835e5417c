"""Query the first page: the last closed day, the map of the country, the months, the open discrepancies."""

from collections.abc import Mapping
from datetime import date, datetime

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.reporting.read_model.projector import last_day
from services.reporting.read_model.responses import MapPart, Overview, Sheet, Where
from services.reporting.read_model.sheets import Span, read_months, read_sheet, read_since_start
from services.reporting.tables import DISCREPANCY_STANDING
from shared.domain.calendar import insured_day
from shared.domain.scheme.province import PROVINCES

Joined = Mapping[str, datetime]
"""When each province's first insured day began, from the scheme files."""


async def read_overview(
    connection: AsyncConnection, joined: Joined, where: Where | None = None, day: date | None = None
) -> Overview:
    """Of the last closed day, or of the one given; `where` is the reader's own province or enterprise."""
    place = where or Where()
    shown = day or await last_day(connection)
    sheet = await read_sheet(connection, place, Span.of_day(shown)) if shown else None
    return Overview(
        day=shown,
        sheet=sheet,
        map=draw_map(joined, sheet),
        months=await read_months(connection, place),
        since_start=await read_since_start(connection, place),
        open_discrepancies=await count_open(connection),
    )


async def count_open(connection: AsyncConnection) -> int:
    """Open discrepancies that the reader may see."""
    query = select(func.count()).select_from(DISCREPANCY_STANDING).where(DISCREPANCY_STANDING.c.state == "open")
    return int(await connection.scalar(query) or 0)


def draw_map(joined: Joined, sheet: Sheet | None) -> list[MapPart]:
    """Every reporting unit in the order of the codes, with its figures of the sheet."""
    parts = {part.code: part for part in sheet.provinces} if sheet else {}
    return [
        MapPart(
            province=code,
            chinese=unit.chinese,
            english=unit.english,
            joined_on=insured_day(joined[code]) if code in joined else None,
            is_in_pilot=code in joined and (sheet is None or insured_day(joined[code]) <= sheet.figures.last),
            figures=parts.get(code),
        )
        for code, unit in PROVINCES.items()
    ]
