"""Defines who takes part, and since when: provinces join, enterprises are enrolled by province and industry."""

from dataclasses import dataclass
from datetime import date, datetime

from shared.domain.scheme.industry import Industry


@dataclass(frozen=True, slots=True)
class ProvinceJoining:
    """The first insured day of a province (two-digit code), with the notice it comes from."""

    province: str
    joined_on: date
    notice: str = ""


@dataclass(frozen=True, slots=True)
class Enrolment:
    """An enterprise takes part in one industry, in one province or (None) in every province that has joined.

    From `enrolled_from` until before `enrolled_to` (None: still enrolled), both aware instants. Enrolments of
    one enterprise add up: one for every province and one for a single province may coexist.
    """

    uscc: str
    province: str | None
    industry: Industry
    enrolled_from: datetime
    enrolled_to: datetime | None = None
    notice: str = ""

    def holds(self, province: str, instant: datetime) -> bool:
        is_there = self.province is None or self.province == province
        has_ended = self.enrolled_to is not None and self.enrolled_to <= instant
        return is_there and self.enrolled_from <= instant and not has_ended
