"""The tier that the payout ratio proposes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.money import Amount
from shared.domain.payout import TierReason, propose_tier


@pytest.mark.parametrize(
    ("paid", "received", "base_amount", "reason"),
    [
        (0, 0, 700, TierReason.NEW_ENTERPRISE),
        (10**9, 0, 700, TierReason.NEW_ENTERPRISE),
        (0, 10_000, 700, TierReason.BELOW_THRESHOLD),
        (19_999, 10_000, 700, TierReason.BELOW_THRESHOLD),
        (20_000, 10_000, 2_500, TierReason.AT_OR_ABOVE_THRESHOLD),  # equality goes to the higher amount
        (20_001, 10_000, 2_500, TierReason.AT_OR_ABOVE_THRESHOLD),
    ],
)
def test_the_threshold_is_200_percent(paid: int, received: int, base_amount: int, reason: TierReason) -> None:
    proposal = propose_tier(Amount(paid), Amount(received))
    assert (proposal.base_amount, proposal.reason) == (base_amount, reason)


@given(st.integers(0, 10**15), st.integers(1, 10**15))
def test_the_comparison_is_exact(paid: int, received: int) -> None:
    assert (propose_tier(Amount(paid), Amount(received)).base_amount == 2_500) == (paid >= 2 * received)


@pytest.mark.parametrize(("paid", "received"), [(-1, 1), (1, -1)])
def test_sums_of_a_window_are_not_negative(paid: int, received: int) -> None:
    with pytest.raises(ValueError, match="not negative"):
        propose_tier(Amount(paid), Amount(received))
