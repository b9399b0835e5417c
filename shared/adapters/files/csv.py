"""Read data files in CSV: UTF-8, a header, one record a line, and refusals that name file and line."""

import csv
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Final, NoReturn, TypeVar

from shared.adapters.files.spreadsheets import changed_by_spreadsheet, shortened_by_spreadsheet
from shared.adapters.files.text_lines import read_text_lines
from shared.domain.calendar import day_start
from shared.domain.errors import Refused, RefusedLine
from shared.domain.money import Amount, parse_yuan
from shared.domain.times import read_day, read_instant

MOST_LINES: Final = 100_000
"""Far above any tariff; a file beyond it is some other file."""

_NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,8}")

Choice = TypeVar("Choice", bound=StrEnum)


@dataclass(frozen=True, slots=True)
class Record:
    """One line of a data file; reading a field that is missing or not well formed raises `RefusedLine`."""

    file: str
    line: int
    fields: Mapping[str, str]

    @property
    def place(self) -> str:
        """`file:line`, for messages."""
        return f"{self.file}:{self.line}"

    def refuse(self, reason: str) -> NoReturn:
        raise RefusedLine(self.file, self.line, reason)

    def optional_text(self, column: str) -> str:
        """The field, or "" where it is empty or the file has no such column."""
        return self.fields.get(column, "")

    def text(self, column: str) -> str:
        return self.optional_text(column) or self.refuse(f"{column} is empty")

    def number(self, column: str, smallest: int, largest: int) -> int:
        """A whole number, written without sign or leading zeros, between both bounds or equal to one."""
        text = self.text(column)
        if not _NUMBER.fullmatch(text) or not smallest <= int(text) <= largest:
            self.refuse(f"{column} is not a whole number from {smallest} to {largest}: {text!r}")
        return int(text)

    def amount(self, column: str) -> Amount:
        """An amount in yuan with at most four places."""
        try:
            return parse_yuan(self.text(column))
        except Refused as error:
            self.refuse(f"{column}: {error}")

    def flag(self, column: str) -> bool:
        """`true` or `false`; an empty field is false."""
        text = self.optional_text(column) or "false"
        if text not in ("true", "false"):
            self.refuse(f"{column} is neither true nor false: {text!r}")
        return text == "true"

    def choice(self, column: str, choices: type[Choice]) -> Choice:
        text = self.text(column)
        try:
            return choices(text)
        except ValueError:
            self.refuse(f"unknown {column} {text!r}; known: {', '.join(choices)}")

    def instant(self, column: str) -> datetime:
        """An aware instant: a date means its 00:00 in Asia/Shanghai, else RFC 3339 with an offset."""
        text = self.text(column)
        try:
            return read_instant(text) if "T" in text else day_start(read_day(text))
        except Refused as error:
            self.refuse(f"{column}: {error}")

    def optional_instant(self, column: str) -> datetime | None:
        return self.instant(column) if self.optional_text(column) else None


def read_records(path: Path, required: Sequence[str], optional: Sequence[str] = ()) -> Iterator[Record]:
    """The records of a file, in order; blank lines are passed over.

    Raises `RefusedLine` where the file cannot be read, is not UTF-8, lacks a required column, has one that is
    neither required nor optional, or has a line with more or fewer fields than the header.
    """
    for record in _records(path, required, {*required, *optional}, ","):
        if record.line > MOST_LINES:
            record.refuse(f"more than {MOST_LINES} lines")
        yield record


def read_table(path: Path, required: Collection[str], delimiter: str = ",") -> Iterator[Record]:
    """Yield the records of a file with these columns and any others; raises `RefusedLine` as `read_records` does."""
    return _records(path, required, None, delimiter)


def read_intact_table(
    path: Path, required: Collection[str], identifiers: Collection[str], delimiter: str = ","
) -> list[Record]:
    """Read a table whose identifiers are as their writer wrote them.

    Raises `RefusedLine` as `read_table` does, and naming the first line with an identifier that is empty or that a
    spreadsheet has changed.
    """
    records = list(read_table(path, required, delimiter))
    for record in records:
        for column in identifiers:
            if words := changed_by_spreadsheet(record.text(column)):
                record.refuse(f"{column} {record.text(column)[:80]!r}: {words}")
    for column in identifiers:
        if shortened := shortened_by_spreadsheet(record.fields[column] for record in records):
            index, words = shortened
            records[index].refuse(f"{column} {records[index].fields[column][:80]!r}: {words}")
    return records


def _records(path: Path, required: Collection[str], known: set[str] | None, delimiter: str) -> Iterator[Record]:
    file = str(path)
    reader = csv.reader(read_text_lines(path), strict=True, delimiter=delimiter)
    header: list[str] = []
    try:
        for fields in reader:
            if not header:
                header = _checked_header(file, reader.line_num, fields, required, known)
            elif fields:
                yield _record(file, reader.line_num, header, fields)
    except csv.Error as error:
        words = "line ends that are carriage returns alone" if "new-line" in str(error) else str(error)
        raise RefusedLine(file, reader.line_num, f"not CSV: {words}; save it as CSV UTF-8") from error
    if not header:
        raise RefusedLine(file, 0, "the file is empty")


def _checked_header(
    file: str, line: int, header: list[str], required: Collection[str], known: set[str] | None
) -> list[str]:
    missing = [column for column in required if column not in header]
    strange = known is not None and set(header) - known
    if known is None and missing:
        raise RefusedLine(file, line, f"no column {', '.join(sorted(missing))}; the columns are {','.join(header)}")
    if missing or strange or len(set(header)) != len(header):
        raise RefusedLine(file, line, f"columns must be {','.join(required)}, not {','.join(header)}")
    return header


def _record(file: str, line: int, header: list[str], fields: list[str]) -> Record:
    if len(fields) != len(header):
        raise RefusedLine(file, line, f"{len(fields)} fields where the header has {len(header)}")
    if line > MOST_LINES:
        raise RefusedLine(file, line, f"more than {MOST_LINES} lines")
    return Record(file, line, dict(zip(header, (field.strip() for field in fields), strict=True)))
