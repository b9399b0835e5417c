"""Write tables as CSV and XLSX without formulas: received values stay text, and control characters are shown.

CSV is UTF-8 with a byte order mark; a cell that a spreadsheet would take for a formula gets an apostrophe. In XLSX
every text is a text cell. Counts are numbers in both, and money has all its places.
"""

import csv
import io
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final

import xlsxwriter

LONGEST: Final = 32_767
"""Characters that a cell of a spreadsheet holds."""
_NUMBER: Final = re.compile(r"-?[0-9]+(\.[0-9]+)?")
_RUN_BY_SPREADSHEETS: Final = ("=", "+", "-", "@", "＝", "＋", "－", "＠", "\t", "\r", "\n")
"""The wide ones count, too: a spreadsheet in Chinese takes them for the narrow."""
_BEHIND_A_SEMICOLON: Final = re.compile(r";(?=\s*[=+\-@＝＋－＠])")
"""Where a semicolon separates cells, as in some countries, what follows one begins a cell."""
_NOT_SHOWN: Final = frozenset({"Cc", "Cf", "Cs", "Cn", "Zl", "Zp"})
_MONEY: Final = "_yuan"


Cell = str | int | Decimal | date | Sequence["Cell"] | Mapping[str, "Cell"] | None


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under the names of their columns; a value that is not there is an empty cell."""

    name: str
    columns: Sequence[str]
    rows: Sequence[Mapping[str, Cell]]


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


def guarded(value: Cell) -> str:
    """A cell of CSV."""
    text = "" if value is None else str(value)
    is_run = text.startswith(_RUN_BY_SPREADSHEETS) and not _NUMBER.fullmatch(text)
    return ("'" if is_run else "") + _BEHIND_A_SEMICOLON.sub(";'", visible(text))


def write_csv(tables: Sequence[Table]) -> bytes:
    """One after the other under one header: the first column, `record`, says of which table a line is."""
    columns = list(dict.fromkeys(column for table in tables for column in table.columns))
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(["record", *columns])
    for table in tables:
        writer.writerows([table.name, *(guarded(row.get(column)) for column in columns)] for row in table.rows)
    return out.getvalue().encode("utf-8-sig")


def write_xlsx(tables: Sequence[Table]) -> bytes:
    """A sheet each, with its header frozen."""
    out = io.BytesIO()
    with xlsxwriter.Workbook(out, {"in_memory": True}) as book:
        bold = book.add_format({"bold": True})
        for table in tables:
            sheet = book.add_worksheet(table.name[:31])
            sheet.freeze_panes(1, 0)
            for at, column in enumerate(table.columns):
                sheet.write_string(0, at, column, bold)
                sheet.set_column(at, at, max(12, len(column) + 2))
            for number, row in enumerate(table.rows, 1):
                for at, column in enumerate(table.columns):
                    _write(sheet, number, at, column, row.get(column))
    return out.getvalue()


def _write(sheet: Any, row: int, at: int, column: str, value: Cell) -> None:
    if value is None:
        return
    if isinstance(value, int) and not isinstance(value, bool):
        sheet.write_number(row, at, value)
    elif column.endswith(_MONEY) and _NUMBER.fullmatch(str(value)):
        sheet.write_number(row, at, Decimal(str(value)))
    else:
        text = value.isoformat() if isinstance(value, date | datetime) else str(value)
        sheet.write_string(row, at, visible(text)[:LONGEST])
