"""Types of parameters and fields of requests, bounded as the columns and calendars behind them.

A value outside is answered 422 by the type; nothing that a route does with one of these can overflow.
"""

from datetime import date
from typing import Annotated, Final

from fastapi import Path, Query
from pydantic import AfterValidator, AwareDatetime, Field

from shared.domain.calendar import FIRST_DAY, LAST_DAY, day_start
from shared.domain.scheme.enterprise import USCC_FORM

USCC: Final = f"^{USCC_FORM}$"
PROVINCE: Final = r"^[0-9]{2}$"
PERIOD: Final = r"^20[2-9][0-9]-(0[1-9]|1[0-2])$"
ORDER_ID: Final = r"^[A-Za-z0-9_.:-]{1,64}$"
DOCUMENT_ID: Final = r"^[A-Za-z0-9_.:-]{1,128}$"
WORKER: Final = r"^[0-9a-f]{64}$"
"""A worker's token."""
_BOUNDS = Field(ge=FIRST_DAY, le=LAST_DAY)


def _without_nul(text: str) -> str:
    if "\x00" in text:
        raise ValueError("has a NUL in it")
    return text


Day = Annotated[date, _BOUNDS]
Instant = Annotated[AwareDatetime, Field(ge=day_start(FIRST_DAY), lt=day_start(LAST_DAY))]
Period = Annotated[str, Field(pattern=PERIOD)]
Int4 = Annotated[int, Field(ge=0, lt=2**31)]
Int8 = Annotated[int, Field(ge=0, lt=2**63)]
Words = Annotated[str, AfterValidator(_without_nul)]
"""Text that a person wrote; its route gives it a length."""
PathDay = Annotated[date, Path(ge=FIRST_DAY, le=LAST_DAY)]
QueryDay = Annotated[date, Query(ge=FIRST_DAY, le=LAST_DAY)]
AnyDay = Annotated[date | None, Query(ge=FIRST_DAY, le=LAST_DAY)]
AnyInstant = Annotated[AwareDatetime | None, Query(ge=day_start(FIRST_DAY), lt=day_start(LAST_DAY))]
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
