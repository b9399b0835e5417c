"""Limits of a rate, in memory: one token bucket for each name, and a set of names that were used lately."""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from shared.runtime.http.limits import MOST_REMEMBERED


@dataclass(slots=True)
class _Bucket:
    tokens: float
    filled_at: float


class TokenBuckets:
    """`rate` tokens a second for each name, at most `burst` at once; a name that nobody used has a full bucket."""

    def __init__(self, rate: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._burst, self._clock = rate, burst, clock
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def take(self, name: str) -> bool:
        """Take a token; False where there is none."""
        bucket = self._fill(name)
        if bucket.tokens < 1:
            return False
        bucket.tokens -= 1
        return True

    def give_back(self, name: str) -> None:
        """Put back the token of a request that turned out not to count."""
        bucket = self._fill(name)
        bucket.tokens = min(bucket.tokens + 1, self._burst)

    def _fill(self, name: str) -> _Bucket:
        now = self._clock()
        bucket = self._buckets.pop(name, None) or _Bucket(self._burst, now)
        bucket.tokens = min(bucket.tokens + (now - bucket.filled_at) * self._rate, self._burst)
        bucket.filled_at = now
        self._buckets[name] = bucket
        if len(self._buckets) > MOST_REMEMBERED:
            self._buckets.popitem(last=False)
        return bucket


class Recent:
    """Names noted within the last `seconds`."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds, self._clock = seconds, clock
        self._until: OrderedDict[str, float] = OrderedDict()

    def note(self, name: str) -> None:
        """Remember a name from now on."""
        self._until.pop(name, None)
        self._until[name] = self._clock() + self._seconds
        if len(self._until) > MOST_REMEMBERED:
            self._until.popitem(last=False)

    def __contains__(self, name: str) -> bool:
        return self._until.get(name, 0.0) > self._clock()
