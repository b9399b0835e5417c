"""Write tables as CSV and XLSX without formulas: received values stay text, and control characters are shown.

CSV is UTF-8 with a byte order mark; a cell that a spreadsheet would take for a formula gets an apostrophe, and a month
is written 2026-M10, which no spreadsheet takes for a day. In XLSX every text is a text cell. Counts are numbers in
both, money has all its places, and times are in Asia/Shanghai to the second, with their offset. Rows are written page
by page, so that a file may have more of them than memory holds.
"""

import asyncio
import csv
import io
import re
import unicodedata
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import xlsxwriter
from xlsxwriter.workbook import Workbook
from xlsxwriter.worksheet import Worksheet

from shared.domain.times import shown_time

LONGEST: Final = 32_767
"""Characters that a cell of a spreadsheet holds; of a longer text the beginning is shown, and how long it is."""
MOST_ROWS: Final = 1_048_575
"""Rows that a sheet holds below its header; more of them are on another sheet."""
MOST_DIGITS: Final = 15
"""A spreadsheet keeps no more digits of a number; one that is longer is written as text."""
CHUNK_BYTES: Final = 64 * 1024
_NUMBER: Final = re.compile(r"-?[0-9]+(\.[0-9]+)?")
_RUN_BY_SPREADSHEETS: Final = ("=", "+", "-", "@", "＝", "＋", "－", "＠", "\t", "\r", "\n")
"""The wide ones count, too: a spreadsheet in Chinese takes them for the narrow."""
_BEHIND_A_SEMICOLON: Final = re.compile(r";(?=\s*[=+\-@＝＋－＠])")
"""Where a semicolon separates cells, as in some countries, what follows one begins a cell."""
_NOT_SHOWN: Final = frozenset({"Cc", "Cf", "Cs", "Cn", "Zl", "Zp"})
_MONEY: Final = "_yuan"
_MONTHS: Final = frozenset({"period", "insured_month", "month"})
"""Columns of months."""


Cell = str | int | Decimal | date | Sequence["Cell"] | Mapping[str, "Cell"] | None
Row = Mapping[str, Cell]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under the names of their columns; a value that is not there is an empty cell."""

    name: str
    columns: Sequence[str]
    rows: Sequence[Row]


@dataclass(frozen=True, slots=True)
class LongTable:
    """A table whose rows come page by page."""

    name: str
    columns: Sequence[str]
    pages: AsyncIterator[Sequence[Row]]


def visible(text: str) -> str:
    """The text with characters that are not seen written out: control characters, marks of direction, line ends."""
    if text.isprintable():
        return text
    return "".join(
        _shown(character) if unicodedata.category(character) in _NOT_SHOWN else character for character in text
    )


def _shown(character: str) -> str:
    code = ord(character)
    if code < 0x20:
        return chr(0x2400 + code)
    return "␡" if code == 0x7F else f"\\u{code:04x}"


def csv_cell(column: str, value: Cell) -> str:
    """A cell of a column; a month is written 2026-M10."""
    return str(value).replace("-", "-M") if column in _MONTHS and value is not None else guarded(value)


def guarded(value: Cell) -> str:
    """A cell of CSV in which no spreadsheet runs anything."""
    text = _plain(value)
    is_run = text.startswith(_RUN_BY_SPREADSHEETS) and not _NUMBER.fullmatch(text)
    return ("'" if is_run else "") + _BEHIND_A_SEMICOLON.sub(";'", visible(text))


def _plain(value: Cell) -> str:
    match value:
        case None:
            return ""
        case datetime():
            return shown_time(value)
        case date():
            return value.isoformat()
        case _:
            return str(value)


async def write_csv(tables: Sequence[Table | LongTable]) -> AsyncIterator[bytes]:
    """One after the other under one header: the first column, `record`, says of which table a line is."""
    columns = list(dict.fromkeys(column for table in tables for column in table.columns))
    yield b"\xef\xbb\xbf" + _csv_lines([["record", *columns]])
    for table in tables:
        async for rows in _pages(table):
            yield _csv_lines([[table.name, *(csv_cell(column, row.get(column)) for column in columns)] for row in rows])


def _csv_lines(lines: Sequence[Sequence[str]]) -> bytes:
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerows(lines)
    return out.getvalue().encode("utf-8")


async def write_xlsx(tables: Sequence[Table | LongTable], most_rows: int = MOST_ROWS) -> AsyncIterator[bytes]:
    """A sheet each, with its header frozen; the rows lie in a file until the book is complete."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "book.xlsx"
        book = xlsxwriter.Workbook(str(path), {"constant_memory": True, "tmpdir": folder})
        try:
            for table in tables:
                await _write_table(book, table, most_rows)
            await asyncio.to_thread(book.close)
        finally:
            book.fileclosed = True  # what was given up is not written when the object goes
        with path.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                yield chunk


async def _write_table(book: Workbook, table: Table | LongTable, most_rows: int) -> None:
    sheet, sheets, written = _add_sheet(book, table, 1), 1, 0
    async for rows in _pages(table):
        for row in rows:
            if written == most_rows:
                sheets, written = sheets + 1, 0
                sheet = _add_sheet(book, table, sheets)
            written += 1
            for at, column in enumerate(table.columns):
                _write(sheet, written, at, column, row.get(column))


def _add_sheet(book: Workbook, table: Table | LongTable, number: int) -> Worksheet:
    sheet = book.add_worksheet(table.name if number == 1 else f"{table.name} {number}")
    sheet.freeze_panes(1, 0)
    bold = book.add_format({"bold": True})
    for at, column in enumerate(table.columns):
        sheet.set_column(at, at, max(12, len(column) + 2))
        sheet.write_string(0, at, column, bold)
    return sheet


def _write(sheet: Worksheet, row: int, at: int, column: str, value: Cell) -> None:
    if value is None:
        return
    text = _plain(value)
    is_number = isinstance(value, int) and not isinstance(value, bool)
    if len(text) <= MOST_DIGITS and (is_number or (column.endswith(_MONEY) and _NUMBER.fullmatch(text))):
        sheet.write_number(row, at, float(text))
    else:
        sheet.write_string(row, at, _fitting(visible(text)))


def _fitting(text: str) -> str:
    """The text as far as a cell holds it; one that is longer says so at its end."""
    if len(text) <= LONGEST:
        return text
    end = f" … ({len(text)} characters)"
    return text[: LONGEST - len(end)] + end


async def _pages(table: Table | LongTable) -> AsyncIterator[Sequence[Row]]:
    if isinstance(table, Table):
        yield table.rows
        return
    async for rows in table.pages:
        yield rows
