"""Recognise identifiers that a spreadsheet has changed: rounded, made a date, or shortened.

A spreadsheet takes what looks like a number or a date for one. What it has lost cannot be worked out again, so such a
value is refused: the column has to be formatted as text in the original, and exported again.
"""

import re
from collections.abc import Iterable
from typing import Final

_MENDED: Final = "format the column as text in the original and export it again"
_MONTH: Final = "(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
_CHANGED: Final = (
    (re.compile(r"[+-]?[0-9](\.[0-9]+)?[eE][+-][0-9]{2,3}"), "rounded it (scientific notation)"),
    (re.compile(r"[0-9]+\.0+"), "made it a decimal number"),
    (re.compile(r"[0-9]{1,3}(,[0-9]{3})+(\.[0-9]+)?"), "put separators into it"),
    (re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}([T ].*)?|[0-9]{1,4}/[0-9]{1,2}(/[0-9]{1,4})?( .*)?"), "made it a date"),
    (re.compile(rf"[0-9]{{1,2}}-{_MONTH}(-[0-9]{{2,4}})?|{_MONTH}-[0-9]{{2,4}}"), "made it a date"),
    (re.compile(r"([0-9]{2,4}年)?[0-9]{1,2}月([0-9]{1,2}日)?"), "made it a date"),
    (re.compile(r"#+|#[A-Z/0!?]+"), "shows an error, or a column too narrow, in its place"),
    (re.compile(r"['=`].*"), "wrote a sign before it"),
)
DIGITS_KEPT: Final = 15
"""Digits of a whole number that a spreadsheet keeps; it writes zeros in place of those behind."""
FEWEST_LOST: Final = 3
"""Zeros behind the fifteenth digit that are no chance: a random column of ids has them once in a thousand."""


def changed_by_spreadsheet(value: str) -> str | None:
    """Return what a spreadsheet did to an identifier, with how to mend it, or None if nothing is seen."""
    words = next((words for form, words in _CHANGED if form.fullmatch(value)), None)
    return None if words is None else f"a spreadsheet {words}: {_MENDED}"


def shortened_by_spreadsheet(values: Iterable[str]) -> tuple[int, str] | None:
    """Return index and words for the first of a column's identifiers that lost digits, as only the column shows.

    Either every number of more than fifteen digits ends in zeros from there on, or some numbers begin with zeros
    and others of the column are shorter than they.
    """
    numbers = [(index, value) for index, value in enumerate(values) if value.isascii() and value.isdigit()]
    long = [(index, value[DIGITS_KEPT:]) for index, value in numbers if len(value) > DIGITS_KEPT]
    lost = "".join(rest for _, rest in long)
    if len(lost) >= FEWEST_LOST and not lost.strip("0"):
        return long[0][0], f"a spreadsheet made zeros of the digits behind the fifteenth: {_MENDED}"
    width = max((len(value) for _, value in numbers if value[0] == "0" and len(value) > 1), default=0)
    for index, value in numbers:
        if len(value) < width:
            return index, f"a spreadsheet took zeros from its front ({width} digits elsewhere): {_MENDED}"
    return None
