"""Orders that lie outside the signed declaration of their enterprise, as a close counts them (docs/decisions/0022)."""

from datetime import date
from typing import Annotated

from msgspec import Meta, Struct

from shared.contracts.bounds import (
    LARGEST_AMOUNT,
    LARGEST_COUNT,
    MOST_TOTALS,
    IndustryWord,
    Province,
    TariffLine,
    Uscc,
    check_insured_days,
)


class OutsideOrders(Struct, frozen=True, kw_only=True):
    """Charged orders of one insured day and tariff line that lie outside; of an earlier day what changed since."""

    insured_on: date
    enterprise: Uscc
    province: Province
    industry: IndustryWord
    tariff_line: TariffLine
    base_amount: Annotated[int, Meta(ge=1, le=LARGEST_AMOUNT, description="0.0001 yuan an order")]
    orders: Annotated[int, Meta(ge=-LARGEST_COUNT, le=LARGEST_COUNT, description="below zero: they lie within now")]

    def __post_init__(self) -> None:
        check_insured_days(self.insured_on)


Outside = Annotated[list[OutsideOrders], Meta(max_length=MOST_TOTALS)]
