"""Estimates what the broker's clock says from records that arrive as they are written, to compare it with others."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

TRUSTED_SECONDS: Final = 600.0
"""A record that arrived longer ago says nothing about the broker's clock any more: it may have been corrected."""


@dataclass(frozen=True, slots=True)
class _Arrival:
    recorded_at: datetime
    arrived_at: float
    waited_seconds: float


class RecordClock:
    """The record times of one topic; instants of arrival are those of a clock that never goes back."""

    def __init__(self) -> None:
        self._newest: _Arrival | None = None

    def note(self, recorded_at: datetime, arrived_at: float, waited_seconds: float) -> None:
        """Keep the time of a record that arrived; it may have waited in the log for at most so long."""
        self._newest = _Arrival(recorded_at, arrived_at, waited_seconds)

    def read(self, at: float) -> tuple[datetime, datetime] | None:
        """The earliest and the latest time that the clock can show now; None where no record arrived lately."""
        newest = self._newest
        if newest is None or at - newest.arrived_at > TRUSTED_SECONDS:
            return None
        earliest = newest.recorded_at + timedelta(seconds=at - newest.arrived_at)
        return earliest, earliest + timedelta(seconds=newest.waited_seconds)
