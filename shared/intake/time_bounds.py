"""Bounds of the dates that others send: not before the books begin, and not before they have come.

A message with a date outside is quarantined: it would be held against somebody, or settle something, at a time that is
only a slip of the pen.
"""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

from shared.contracts.quarantine import Quarantined, QuarantineReason
from shared.domain.calendar import insured_day
from shared.domain.times import shown_time

SPAN: Final = timedelta(seconds=300)
"""Most that a date may be ahead of the database's clock: the default of DANBAO_CLOCK_SPAN_SECONDS."""


@dataclass(frozen=True, slots=True)
class TimeBounds:
    """`opened_on` is the first day of the books, where it is known; `at` the time by the database's clock."""

    opened_on: date | None
    at: datetime
    span: timedelta = SPAN

    def check_day(self, name: str, day: date) -> None:
        """Raise Quarantined for a day that has not begun, or is before the books."""
        if day > insured_day(self.at + self.span):
            self._refuse(name, str(day), f"has not come yet: the database's clock says {shown_time(self.at)}")
        if self.opened_on is not None and day < self.opened_on:
            self._refuse(name, str(day), f"is before the books, which begin on {self.opened_on}")

    def check_instant(self, name: str, instant: datetime) -> None:
        """Raise Quarantined for an instant that has not come, or is before the books."""
        if instant > self.at + self.span:
            self._refuse(name, shown_time(instant), f"has not come: the database's clock says {shown_time(self.at)}")
        self.check_day(name, insured_day(instant))

    def _refuse(self, name: str, what: str, why: str) -> None:
        raise Quarantined(QuarantineReason.OUT_OF_TIME, f"{name} {what} {why}")
