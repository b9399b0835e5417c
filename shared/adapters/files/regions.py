"""Region codes as data: which six-digit codes are known as the place where an order was accepted.

`deploy/regions/README.md` explains the columns. A code of a known province that is not in the file is charged all the
same, with an alarm until a line is added.
"""

import re
from collections.abc import Mapping
from datetime import date
from functools import cache
from pathlib import Path
from typing import Final

from shared.adapters.files.csv import Record, read_records
from shared.domain.calendar import SHANGHAI
from shared.domain.errors import RefusedLine
from shared.domain.scheme.province import PROVINCES, XPCC
from shared.domain.scheme.region import Region, RegionStandard
from shared.runtime.settings import HOUSE

DELIVERED: Final = HOUSE / "deploy" / "regions" / "regions.csv"
_CODE: Final = re.compile(r"[0-9]{6}")
_YEAR: Final = re.compile(r"(?:19|20)[0-9]{2}")


def load_regions(path: Path) -> Mapping[str, Region]:
    """Load the regions of a file by code; raises `RefusedLine`.

    Refused are: a code that is not six digits, of an unknown province, given twice; an unknown standard; an end that is
    not after the beginning. Of a year alone, the whole year counts.
    """
    regions: dict[str, Region] = {}
    for record in read_records(path, ("code", "name", "standard", "valid_from", "valid_to"), ("note",)):
        code = record.text("code")
        if not _CODE.fullmatch(code) or code[:2] not in PROVINCES:
            record.refuse(f"code is not six digits that begin with a province: {code!r}")
        if code in regions:
            record.refuse(f"{code} is given twice")
        begin, end = _day(record, "valid_from", 0), _day(record, "valid_to", 1)
        if begin and end and end <= begin:
            record.refuse("valid_to is not after valid_from")
        regions[code] = Region(code, record.text("name"), record.choice("standard", RegionStandard), begin, end)
    if not regions:
        raise RefusedLine(str(path), 0, "no region is given")
    return regions


@cache
def known_regions(path: Path = DELIVERED) -> frozenset[str]:
    """Every code of the file, whenever it is valid, and each one of the Xinjiang Production and Construction Corps.

    A device with an old map must not cost a worker the cover. 66 and any four digits mean the Corps, which has no codes
    in the standard.
    """
    return frozenset(load_regions(path)) | {f"{XPCC}{rest:04d}" for rest in range(10_000)}


def _day(record: Record, column: str, years_later: int) -> date | None:
    """A day, or the first day of a year; of an end by its year, the first day after that year."""
    text = record.optional_text(column)
    if _YEAR.fullmatch(text):
        return date(int(text) + years_later, 1, 1)
    instant = record.optional_instant(column)
    return None if instant is None else instant.astimezone(SHANGHAI).date()
