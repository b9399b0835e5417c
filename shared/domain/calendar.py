"""Days, months and clocks of the scheme: everything in Asia/Shanghai, a day is cut at 00:00."""

from calendar import monthrange
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from typing import Final

from shared.domain.errors import Refused

SHANGHAI: Final = timezone(timedelta(hours=8), "Asia/Shanghai")
"""A fixed offset: China has kept +08:00 without summer time since 1991, so no time zone data are needed."""

LATE_FEE_PER_10_000_A_DAY: Final = 5
"""0.05 % a day: Social Insurance Law, article 86. That it applies to this scheme is not confirmed."""

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
SHANGHAI_EPOCH: Final = datetime(1970, 1, 1, tzinfo=SHANGHAI)
"""00:00 of 1970-01-01 in Asia/Shanghai."""
EPOCH_DAY: Final = EPOCH.date()
FIRST_DAY, LAST_DAY = date(2022, 1, 1), date(2099, 12, 31)
"""Days of the books, of statements and of money: from the scheme's first year to the end of the century."""
PERIOD_FORM: Final = r"20(2[2-9]|[3-9][0-9])-(0[1-9]|1[0-2])"
"""A billing period as text: each month from FIRST_DAY to LAST_DAY, and no other."""

_EPOCH_IN_SHANGHAI: Final = EPOCH.astimezone(SHANGHAI)
_MILLISECOND: Final = timedelta(milliseconds=1)


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


def since_epoch_us(instant: datetime) -> int:
    """Whole microseconds since 1970-01-01T00:00Z, exact; negative before that."""
    span = instant - EPOCH
    return (span.days * 86_400 + span.seconds) * 1_000_000 + span.microseconds


def since_epoch_ms(instant: datetime) -> int:
    """Whole milliseconds since 1970-01-01T00:00Z, as Kafka keeps them."""
    return (instant - EPOCH) // _MILLISECOND


def instant_of(since_us: int) -> datetime:
    """The instant so many microseconds after 1970-01-01T00:00Z, in Asia/Shanghai; `OverflowError` beyond year 9999."""
    return _EPOCH_IN_SHANGHAI + timedelta(microseconds=since_us)


def day_number(day: date) -> int:
    """Days since 1970-01-01."""
    return (day - EPOCH_DAY).days


def numbered_day(number: int) -> date:
    """The day so many days after 1970-01-01."""
    return EPOCH_DAY + timedelta(days=number)


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
