"""Spans of numbers of a series, as a close passes them to the database and reads them back."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Final

from msgspec import Struct
from sqlalchemy import BigInteger, ColumnElement, FromClause, SmallInteger, Text, and_

from shared.adapters.postgres.queries.statements import ArrayTable
from shared.domain.books.number_ranges import Range, Ranges, united

Key = tuple[int, str]
"""Enterprise (this database's number) and series."""


class SeriesSpan(Struct, frozen=True):
    """Numbers of a series, from the first to the last."""

    enterprise: int
    series: str
    first: int
    last: int

    @property
    def key(self) -> Key:
        """The series."""
        return self.enterprise, self.series

    @property
    def numbers(self) -> Range:
        """First and last number."""
        return self.first, self.last


BOXES: Final = ArrayTable("box", SeriesSpan, SmallInteger(), Text(), BigInteger(), BigInteger())
"""Spans that a statement takes as rows."""


def box_parameters(boxes: Mapping[Key, Range]) -> dict[str, list[object]]:
    """Give the parameters of BOXES for these spans."""
    return BOXES.parameters([SeriesSpan(*key, *box) for key, box in boxes.items()])


def overlaps(row: FromClause, box: FromClause = BOXES.rows) -> ColumnElement[bool]:
    """The row's numbers and those of the box have some in common."""
    of_series = and_(row.c.enterprise == box.c.enterprise, row.c.series == box.c.series)
    return and_(of_series, row.c.first <= box.c.last, row.c.last >= box.c.first)


def by_series(spans: Iterable[SeriesSpan]) -> dict[Key, Ranges]:
    """The numbers of each series, united."""
    ranges: dict[Key, list[Range]] = defaultdict(list)
    for span in spans:
        ranges[span.key].append(span.numbers)
    return {key: united(of_series) for key, of_series in ranges.items()}
