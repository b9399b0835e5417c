"""Whether an order that was cancelled after its acceptance stays charged: a dated rule.

No rule was found in any text read, so the rule is data, marked as an assumption, and may change on a date.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import assert_never


class CancellationMode(StrEnum):
    CHARGE_IF_DEPARTED_OR_ELAPSED = "charge_if_departed_or_elapsed"
    """Charged where the worker had set out, or the set time had passed; else reversed."""
    CHARGE_ALL_ACCEPTED = "charge_all_accepted"
    """A cancellation never changes a charge."""
    REVERSE_ALL_CANCELLED = "reverse_all_cancelled"
    """Only orders that were not cancelled stay charged."""


@dataclass(frozen=True, slots=True)
class CancellationRule:
    """The rule for orders accepted from `valid_from` (aware) until the next rule begins.

    `elapsed_seconds` counts from acceptance to cancellation and matters in the first mode only.
    """

    valid_from: datetime
    mode: CancellationMode
    elapsed_seconds: int
    source: str
    is_assumption: bool = False


def reverses(rule: CancellationRule, accepted_at: datetime, cancelled_at: datetime, departed: bool) -> bool:
    """Whether the charge is taken back. `rule` is the one in force when the order was accepted."""
    match rule.mode:
        case CancellationMode.CHARGE_ALL_ACCEPTED:
            return False
        case CancellationMode.REVERSE_ALL_CANCELLED:
            return True
        case CancellationMode.CHARGE_IF_DEPARTED_OR_ELAPSED:
            has_elapsed = cancelled_at - accepted_at >= timedelta(seconds=rule.elapsed_seconds)
            return not (departed or has_elapsed)
    assert_never(rule.mode)
