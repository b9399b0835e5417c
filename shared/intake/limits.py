"""Limits of the intake: what is parked instead of taken, for its size or its time. Pure."""

from dataclasses import dataclass
from typing import Final

FIRST_RECORD_MS: Final = 1_640_995_200_000
"""2022-01-01T00:00Z: no order was insured before."""
LAST_RECORD_MS: Final = 4_102_444_800_000
"""2100-01-01T00:00Z: a later record time is of a clock in another unit, or false."""


@dataclass(frozen=True, slots=True)
class IntakeLimits:
    """The settings `max_event_bytes`, `max_skew_seconds` and `max_age_days` of a deployment."""

    max_event_bytes: int
    max_skew_seconds: int
    max_age_days: int

    @property
    def max_skew_us(self) -> int:
        """Microseconds that an event may be ahead of its record's time."""
        return self.max_skew_seconds * 1_000_000

    @property
    def max_age_us(self) -> int:
        """Microseconds that an acceptance may be behind its record's time."""
        return self.max_age_days * 86_400 * 1_000_000


def is_possible_record_time(time_ms: int) -> bool:
    """Whether a record can have come at this time, milliseconds since 1970."""
    return FIRST_RECORD_MS <= time_ms < LAST_RECORD_MS
