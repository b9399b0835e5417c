"""The calculator that proposes a tier (浮动档次) of instant delivery from the payout ratio (支缴率).

It only proposes. A tier is a decision of the authority, entered as a tariff line with its notice.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from shared.domain.calendar import Month
from shared.domain.money import Amount

FIRST_WINDOW: Final = (Month(2022, 7), Month(2024, 12))
"""First and last month that the starting provinces may look at (人社部发〔2025〕24号)."""

THRESHOLD_PERCENT: Final = 200
"""A ratio of 200 % or more goes to the higher amount: the one threshold found, Shanghai's, second hand."""

LOWER_AMOUNT: Final = Amount(700)
HIGHER_AMOUNT: Final = Amount(2_500)


class TierReason(StrEnum):
    NEW_ENTERPRISE = "new_enterprise"
    BELOW_THRESHOLD = "below_threshold"
    AT_OR_ABOVE_THRESHOLD = "at_or_above_threshold"


@dataclass(frozen=True, slots=True)
class TierProposal:
    """A proposed base amount, in 0.0001 yuan an order, and why."""

    base_amount: Amount
    reason: TierReason


def propose_tier(paid: Amount, received: Amount) -> TierProposal:
    """The tier for benefits paid and premium received in the window, both in cash terms.

    One enterprise in one province; both old delivery industries together. No premium received means a new
    enterprise. That a ratio below the threshold means the lower amount follows only from there being two.
    """
    if paid < 0 or received < 0:
        raise ValueError("benefits paid and premium received in a window are not negative")
    if received == 0:
        return TierProposal(LOWER_AMOUNT, TierReason.NEW_ENTERPRISE)
    if paid * 100 >= received * THRESHOLD_PERCENT:
        return TierProposal(HIGHER_AMOUNT, TierReason.AT_OR_ABOVE_THRESHOLD)
    return TierProposal(LOWER_AMOUNT, TierReason.BELOW_THRESHOLD)
