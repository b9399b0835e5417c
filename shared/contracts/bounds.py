"""Bounds of what crosses a wire: one type for each kind of value, as wide as the columns that keep it and no wider.

A value outside is refused when a message is decoded, so no statement meets a number, day or text that a column cannot
take. Days have no bound in `Meta`: a message with days checks them in its `__post_init__`.
"""

from datetime import date, datetime
from typing import Annotated, Final, Literal

from msgspec import Meta

from shared.domain.calendar import FIRST_DAY, LAST_DAY, PERIOD_FORM
from shared.domain.scheme.enterprise import USCC_FORM
from shared.domain.scheme.industry import Industry

END: Final = r"(?![\s\S])"
"""End of the text in every regular expression here: `$` would let a trailing line feed pass."""
FIRST_INSURED_DAY, LAST_INSURED_DAY = date(1900, 1, 1), date(2199, 12, 31)
"""Days on which an order may say that it was accepted: wider, because an order of a wrong day is counted, too."""
LARGEST_INT4: Final = 2**31 - 1
LARGEST_NUMBER: Final = 2**32 - 1
"""Manifests of a run, and rows of a batch: charging keeps run and number in one bigint."""
LARGEST_COUNT: Final = 10**12
LARGEST_AMOUNT: Final = 10**13
"""Of one total: a billion yuan. `MOST_TOTALS` of them still fit into a bigint when they are added up."""
LARGEST_SUM: Final = 9 * 10**18
"""Of many totals together, below the end of a bigint."""
MOST_TOTALS: Final = 200_000
"""Totals, worker counts and hours in one message; a message with more is quarantined."""
MOST_RUNS: Final = 200_000
"""Runs in a cut: one for each start of a worker."""
MOST_LINES: Final = 200_000
"""Lines of a statement."""
MOST_PROVINCES: Final = 100
"""Two digits have no more."""

Uscc = Annotated[str, Meta(pattern="^" + USCC_FORM + END, description="unified social credit code")]
Province = Annotated[str, Meta(pattern=r"^[0-9]{2}" + END, description="province, the first two digits of GB/T 2260")]
IndustryName = Annotated[
    Literal["ride_hailing", "food_delivery", "instant_delivery", "intracity_freight"],
    Meta(description="industry: 出行, 外卖 (until 2025-06-30), 即时配送, 同城货运"),
]
IndustryWord = Annotated[str, Meta(pattern=f"^({'|'.join(Industry)}){END}", description="industry")]
"""An industry name read from a database or a file."""
Series = Annotated[
    str,
    Meta(pattern=r"^[A-Za-z0-9_-]{1,16}" + END, description="producer (单号序列) that numbers its acceptances"),
]
Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.:-]{1,64}" + END)]
"""Of a remittance, a statement, a notice, a reason."""
Period = Annotated[str, Meta(pattern=f"^{PERIOD_FORM}{END}", description="month: 2026-10")]
Sha256 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}" + END, description="SHA-256, lower-case hex")]
Instant = Annotated[datetime, Meta(tz=True, description="RFC 3339 with offset; finer than a microsecond is rounded")]
Count = Annotated[int, Meta(ge=0, le=LARGEST_COUNT)]
SomeOrders = Annotated[int, Meta(ge=1, le=LARGEST_COUNT)]
NetOrders = Annotated[int, Meta(ge=-LARGEST_SUM, le=LARGEST_SUM, description="charged less reversed")]
Amount = Annotated[int, Meta(ge=-LARGEST_AMOUNT, le=LARGEST_AMOUNT, description="0.0001 yuan, signed")]
SumAmount = Annotated[int, Meta(ge=-LARGEST_SUM, le=LARGEST_SUM, description="0.0001 yuan, signed")]
TariffLine = Annotated[int, Meta(ge=0, le=LARGEST_INT4)]
Ordinal = Annotated[int, Meta(ge=1, le=LARGEST_INT4)]
"""The number of an attempt or of a line."""


def check_days(*days: date | None) -> None:
    """Raise ValueError for a day, or an instant on a day, outside the scheme's time."""
    _check(FIRST_DAY, LAST_DAY, days)


def check_insured_days(*days: date | None) -> None:
    """Raise ValueError for a day on which no order can have been accepted."""
    _check(FIRST_INSURED_DAY, LAST_INSURED_DAY, days)


def _check(first: date, last: date, days: tuple[date | None, ...]) -> None:
    for day in days:
        if day is not None and not first <= (day.date() if isinstance(day, datetime) else day) <= last:
            raise ValueError(f"Expected a day from {first} to {last}, got {day}")
