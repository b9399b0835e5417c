"""The industries (行业) of the scheme."""

from datetime import date
from enum import StrEnum
from typing import Final


class Industry(StrEnum):
    """Four until 2025-06-30; then food delivery was merged into instant delivery (人社部发〔2025〕24号)."""

    RIDE_HAILING = "ride_hailing"
    FOOD_DELIVERY = "food_delivery"
    INSTANT_DELIVERY = "instant_delivery"
    INTRACITY_FREIGHT = "intracity_freight"

    @property
    def code(self) -> int:
        """Small number stored in rows; it never changes."""
        return _CODES[self]

    @property
    def chinese(self) -> str:
        return _CHINESE[self]

    @classmethod
    def of_code(cls, code: int) -> "Industry":
        """The industry of a stored number; raises `KeyError` for one that was never given out."""
        return _BY_CODE[code]


_CODES: Final = {
    Industry.RIDE_HAILING: 1,
    Industry.FOOD_DELIVERY: 2,
    Industry.INSTANT_DELIVERY: 3,
    Industry.INTRACITY_FREIGHT: 4,
}
_BY_CODE: Final = {code: industry for industry, code in _CODES.items()}
_CHINESE: Final = {
    Industry.RIDE_HAILING: "出行",
    Industry.FOOD_DELIVERY: "外卖",
    Industry.INSTANT_DELIVERY: "即时配送",
    Industry.INTRACITY_FREIGHT: "同城货运",
}

FOOD_DELIVERY_CLOSED_ON: Final = date(2025, 7, 1)
"""First day on which no order can belong to food delivery any more."""
