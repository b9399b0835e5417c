"""Types of parameters and fields of requests, bounded as the columns and calendars behind them.

A value outside is answered 422 by the type; nothing that a route does with one of these can overflow.
"""

from collections.abc import Callable
from datetime import date
from typing import Annotated, Final

from fastapi import Path, Query
from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field

from shared.domain.calendar import FIRST_DAY, LAST_DAY, PERIOD_FORM, day_start
from shared.domain.errors import Refused
from shared.domain.scheme.enterprise import USCC_FORM
from shared.domain.times import read_day, read_instant

USCC: Final = f"^{USCC_FORM}$"
PROVINCE: Final = r"^[0-9]{2}$"
PERIOD: Final = f"^{PERIOD_FORM}$"
ORDER_ID: Final = r"^[A-Za-z0-9_.:-]{1,64}$"
DOCUMENT_ID: Final = r"^[A-Za-z0-9_.:-]{1,128}$"
WORKER: Final = r"^[0-9a-f]{64}$"
"""A worker's token."""
_BOUNDS = Field(ge=FIRST_DAY, le=LAST_DAY)


def _without_nul(text: str) -> str:
    if "\x00" in text:
        raise ValueError("has a NUL in it")
    return text


def _day(value: object) -> object:
    return _read(read_day, value)


def _instant(value: object) -> object:
    return _read(read_instant, value)


def _read(read: Callable[[str], date], value: object) -> object:
    """Read a text strictly; pydantic alone would take numbers and other forms, too."""
    if not isinstance(value, str):
        assert isinstance(value, date), "not a text"
        return value
    try:
        return read(value)
    except Refused as error:
        raise ValueError(str(error)) from error


StrictDay = Annotated[date, BeforeValidator(_day)]
StrictInstant = Annotated[AwareDatetime, BeforeValidator(_instant)]
Day = Annotated[StrictDay, _BOUNDS]
Instant = Annotated[StrictInstant, Field(ge=day_start(FIRST_DAY), lt=day_start(LAST_DAY))]
Period = Annotated[str, Field(pattern=PERIOD)]
Int4 = Annotated[int, Field(ge=0, lt=2**31)]
Int8 = Annotated[int, Field(ge=0, lt=2**63)]
Words = Annotated[str, AfterValidator(_without_nul)]
"""Text that a person wrote; its route gives it a length."""
PathDay = Annotated[StrictDay, Path(ge=FIRST_DAY, le=LAST_DAY)]
QueryDay = Annotated[StrictDay, Query(ge=FIRST_DAY, le=LAST_DAY)]
AnyDay = Annotated[StrictDay | None, Query(ge=FIRST_DAY, le=LAST_DAY)]
AnyInstant = Annotated[StrictInstant | None, Query(ge=day_start(FIRST_DAY), lt=day_start(LAST_DAY))]
PathPeriod = Annotated[str, Path(pattern=PERIOD)]
QueryPeriod = Annotated[str, Query(pattern=PERIOD)]
AnyPeriod = Annotated[str | None, Query(pattern=PERIOD)]
PathUscc = Annotated[str, Path(pattern=USCC)]
AnyUscc = Annotated[str | None, Query(pattern=USCC)]
QueryProvince = Annotated[str, Query(pattern=PROVINCE)]
AnyProvince = Annotated[str | None, Query(pattern=PROVINCE)]
PathOrderId = Annotated[str, Path(pattern=ORDER_ID)]
PathDocumentId = Annotated[str, Path(pattern=DOCUMENT_ID)]
PathToken = Annotated[str, Path(pattern=WORKER)]
PageLimit = Annotated[int, Query(ge=1, le=10_000)]
PathInt4 = Annotated[int, Path(ge=0, lt=2**31)]
PathInt8 = Annotated[int, Path(ge=0, lt=2**63)]
Cursor = Annotated[int, Query(ge=0, lt=2**63, description="`next` of the answer before")]
