"""Days, months and clocks of the scheme: everything in Asia/Shanghai, a day is cut at 00:00."""

from calendar import monthrange
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from typing import Final

from shared.domain.errors import Refused
from shared.domain.money import Amount, round_fraction_to_fen

SHANGHAI: Final = timezone(timedelta(hours=8), "Asia/Shanghai")
"""A fixed offset: China has kept +08:00 without summer time since 1991, so no time zone data are needed."""

DUE_DAY: Final = 15
"""Day of the next month on which a statement is due; no text read gives one, this is our default."""

LATE_FEE_PER_10_000_A_DAY: Final = 5
"""0.05 % a day: Social Insurance Law, article 86. That it applies to this scheme is not confirmed."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_LONGEST_HOLIDAY_DAYS: Final = 31


def insured_day(instant: datetime) -> date:
    """The date in Asia/Shanghai of an aware instant: an order accepted at 23:59 belongs to that day."""
    if instant.tzinfo is None:
        raise ValueError(f"a time without an offset has no insured day: {instant.isoformat()}")
    return instant.astimezone(SHANGHAI).date()


def day_start(day: date) -> datetime:
    """00:00 of the day in Asia/Shanghai."""
    return datetime.combine(day, time(), SHANGHAI)


def day_bounds(day: date) -> tuple[datetime, datetime]:
    """First instant of the day and first instant after it, both aware."""
    return day_start(day), day_start(day + timedelta(days=1))


def epoch_microseconds(instant: datetime) -> int:
    """Whole microseconds since 1970-01-01T00:00Z, exact; negative before that."""
    return (instant - _EPOCH) // _MICROSECOND


def epoch_instant(microseconds: int) -> datetime:
    """The instant so many microseconds after 1970-01-01T00:00Z, in Asia/Shanghai; `OverflowError` beyond year 9999."""
    return (_EPOCH + microseconds * _MICROSECOND).astimezone(SHANGHAI)


@dataclass(frozen=True, order=True, slots=True)
class Month:
    """A calendar month, the billing period (费款所属期)."""

    year: int
    month: int

    def __post_init__(self) -> None:
        if not (1 <= self.month <= 12 and 1 <= self.year <= 9998):
            raise Refused(f"not a month: year {self.year}, month {self.month}")

    @classmethod
    def parse(cls, text: str) -> "Month":
        """The month of "2026-10"; raises `Refused` for any other shape."""
        year, dash, month = text.partition("-")
        if not (dash and len(year) == 4 and len(month) == 2 and text.isascii() and (year + month).isdigit()):
            raise Refused(f"not a month of the form 2026-10: {text!r}")
        return cls(int(year), int(month))

    @classmethod
    def of(cls, day: date) -> "Month":
        """The month in which a day lies."""
        return cls(day.year, day.month)

    def __str__(self) -> str:
        return f"{self.year:04d}-{self.month:02d}"

    @property
    def first_day(self) -> date:
        return date(self.year, self.month, 1)

    @property
    def last_day(self) -> date:
        return date(self.year, self.month, monthrange(self.year, self.month)[1])

    def next(self) -> "Month":
        return Month(self.year + self.month // 12, self.month % 12 + 1)

    def contains(self, day: date) -> bool:
        return (day.year, day.month) == (self.year, self.month)

    def days(self) -> Iterator[date]:
        """Every day of the month in order."""
        for number in range(self.last_day.day):
            yield self.first_day + timedelta(days=number)


def due_on(period: Month, is_working_day: Callable[[date], bool]) -> date:
    """The 15th of the month after the period, or the next working day."""
    day = period.next().first_day.replace(day=DUE_DAY)
    for later in range(_LONGEST_HOLIDAY_DAYS + 1):
        if is_working_day(day + timedelta(days=later)):
            return day + timedelta(days=later)
    raise Refused(f"no working day within {_LONGEST_HOLIDAY_DAYS} days of {day.isoformat()}")


def late_fee(principal: Amount, due_on: date, as_of: date) -> Amount:
    """Late fee (滞纳金) on arrears that are still unpaid at the end of `as_of`, in 0.0001 yuan.

    0.05 % of the principal for each day from the day after `due_on`, simple, capped at the principal,
    rounded half away from zero to the fen, once. Nothing owed, or an advance, bears nothing.
    """
    days = (as_of - due_on).days
    if days <= 0 or principal <= 0:
        return Amount(0)
    return round_fraction_to_fen(principal * min(days * LATE_FEE_PER_10_000_A_DAY, 10_000), 10_000)
