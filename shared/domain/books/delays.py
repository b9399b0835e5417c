"""Defines fixed buckets for the delays of acceptances, so that enterprises, days and months compare."""

from typing import Final

BOUNDS_SECONDS: Final = (60, 600, 3_600, 21_600, 86_400, 259_200, 864_000)
"""Where a bucket ends and the next begins: a minute, ten, an hour, six, a day, three, ten."""
BUCKETS: Final = len(BOUNDS_SECONDS) + 1
"""The first bucket is below the first bound, the last at or above the last."""
