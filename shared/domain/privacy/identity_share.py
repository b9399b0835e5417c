"""Order ids that read as identities, judged by an enterprise's share of a day: chance makes some of them read so.

Of random ids with a run of 11 digits 7 in 90 are a mobile number's form (1, then 3 to 9), of those with a run of 18
4.4 in 10,000 a citizen number's with a possible birthday. A share is beyond chance when so many, or more, would come of
random digits less than once in a million days: the tail of a Poisson distribution with the expected number as its mean.
"""

import math
from typing import Final

MOBILE_CHANCE: Final = 7 / 90
CITIZEN_CHANCE: Final = 4.4e-4
RAREST: Final = 1e-6
MOBILE_RUN: Final = "(^|[^0-9])[0-9]{11}([^0-9]|$)"
MOBILE: Final = "(^|[^0-9])1[3-9][0-9]{9}([^0-9]|$)"
CITIZEN_RUN: Final = "(^|[^0-9])[0-9]{17}[0-9Xx]([^0-9]|$)"
# Born so that they may work: an id that holds a region and the day of its order is not counted.
CITIZEN: Final = (
    "(^|[^0-9])[1-9][0-9]{5}(19[0-9]{2}|200[0-9]|201[0-2])(0[1-9]|1[0-2])([0-2][0-9]|3[01])[0-9]{3}[0-9Xx]([^0-9]|$)"
)
COUNTS_SQL: Final = f"""
    count(*) as orders,
    count(*) filter (where has_digits and order_id ~ '{MOBILE_RUN}') as mobile_runs,
    count(*) filter (where has_digits and order_id ~ '{CITIZEN_RUN}') as citizen_runs,
    count(*) filter (where has_digits and (order_id ~ '{MOBILE}' or order_id ~ '{CITIZEN}')) as alike"""
"""SQL: what `expected_by_chance` needs, over rows with `order_id` and HAS_DIGITS_SQL as `has_digits`."""
HAS_DIGITS: Final = "[0-9]{11}"
HAS_DIGITS_SQL: Final = f"order_id ~ '{HAS_DIGITS}' as has_digits"


def expected_by_chance(mobile_runs: int, citizen_runs: int) -> float:
    """How many of ids with such runs of digits read as identities when the digits are random."""
    return mobile_runs * MOBILE_CHANCE + citizen_runs * CITIZEN_CHANCE


def is_beyond_chance(alike: int, expected: float) -> bool:
    """Whether so many are so unlikely that it is no chance."""
    if alike <= expected:
        return False
    # Terms of the tail from `alike` on; they fall, so what is left out is small.
    term = math.exp(-expected + alike * math.log(expected) - math.lgamma(alike + 1)) if expected else 0.0
    total, count = 0.0, alike
    while term > RAREST / 1e6 and total < RAREST:
        total += term
        count += 1
        term *= expected / count
    return total < RAREST
