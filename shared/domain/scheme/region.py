"""Places of acceptance: six-digit codes with the list that has them and the time for which it does. Pure.

Only the first two digits, the province, decide about money. So a code that is no longer valid, that another list has,
or that no list has yet is charged like any other of its province; what is odd about it is a remark, never a fault.
"""

from dataclasses import dataclass
from datetime import date
from enum import StrEnum


class RegionStandard(StrEnum):
    """The list that has a code."""

    GB2260 = "gb2260"
    """GB/T 2260, with the changes that the ministry announces."""
    STATISTICS = "statistics"
    """The statistics bureau's twelve-digit codes, which number development zones, too."""
    OTHER = "other"
    """In use, in neither list."""


@dataclass(frozen=True, slots=True)
class Region:
    """A code; it is valid from `valid_from` until before `valid_to`, as far as those are known."""

    code: str
    name: str
    standard: RegionStandard
    valid_from: date | None
    valid_to: date | None

    def remark(self, day: date) -> str | None:
        """What is odd about the code on that day, in words; None for a valid one of GB/T 2260."""
        if self.standard is RegionStandard.STATISTICS:
            return f"{self.code} ({self.name}) is a code of the statistics bureau and not of GB/T 2260"
        if self.standard is RegionStandard.OTHER:
            return f"{self.code} ({self.name}) is in use and not in GB/T 2260"
        if self.valid_to is not None and day >= self.valid_to:
            return f"{self.code} ({self.name}) has not been valid since {self.valid_to}"
        if self.valid_from is not None and day < self.valid_from:
            return f"{self.code} ({self.name}) is valid from {self.valid_from} on"
        return None
