"""Topic pauses: which topics are not read, and why; above all those of which too many events were parked.

One bad event is parked and the rest is charged. When more than a share of an enterprise's last events is parked, the
fault lies in a release of charging or of that enterprise, and draining the topic would hide it: the topic is paused.
Its position stays behind the batch that went over the limit, the others are read on, and an operator resumes it after
the fault is mended.

The pause is written in the transaction of that batch, so it holds for every worker and outlives all of them. The counts
towards the limit are in memory: they begin at zero after a restart and after a resumption.
"""

from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from services.charging.metrics import Metrics
from services.charging.rows.batch import Batch
from services.charging.settings import ChargingSettings
from services.charging.store.batch_writer import Overrun
from services.charging.store.positions import Move
from shared.adapters.postgres.pool import Pool
from shared.domain.errors import Refused

log = structlog.get_logger(__name__)
_LAST: Final = "select distinct on (topic) topic, is_paused, reason from charging.pause order by topic, id desc"
_MOVED: Final = "select topic, max(id) as id from charging.moved_on group by topic"


@dataclass(frozen=True, slots=True)
class ParkRateLimit:
    """More than `share` of the last `window_events` parked, and at least `count` of them, is too much."""

    window_events: int
    share: float
    count: int

    @classmethod
    def of(cls, settings: ChargingSettings) -> "ParkRateLimit":
        """The limit as it is set."""
        return cls(settings.park_window_events, settings.park_limit_share, settings.park_limit_count)


class ParkRateWindow:
    """Of each topic's last events, how many were parked; a window is whole batches, as few as hold its events."""

    def __init__(self, limit: ParkRateLimit) -> None:
        self._limit = limit
        self._windows: dict[str, deque[tuple[int, int]]] = {}

    def note(self, events: Counter[str], parked: Counter[str]) -> None:
        """Count a batch that was committed, by topic."""
        for topic, count in events.items():
            self._windows[topic] = self._after(topic, count, parked[topic])

    def forget(self, topic: str) -> None:
        """Count this topic from zero."""
        self._windows.pop(topic, None)

    def overruns(self, events: Counter[str], parked: Counter[str]) -> list[Overrun]:
        """The topics that a batch takes over the limit."""
        overruns = []
        for topic in parked:
            window = self._after(topic, events[topic], parked[topic])
            sums = sum(count for count, _ in window), sum(count for _, count in window)
            if sums[1] >= self._limit.count and sums[1] > self._limit.share * sums[0]:
                overruns.append(Overrun(topic, *sums))
        return overruns

    def _after(self, topic: str, events: int, parked: int) -> deque[tuple[int, int]]:
        window = deque([*self._windows.get(topic, ()), (events, parked)])
        total = sum(count for count, _ in window)
        while total - window[0][0] >= self._limit.window_events:
            total -= window.popleft()[0]
        return window


class TopicPauses:
    """The paused topics that this worker knows: by the limit (stored), or since a log does not fit its position."""

    def __init__(self, pool: Pool, limit: ParkRateLimit, metrics: Metrics) -> None:
        self._pool, self._metrics = pool, metrics
        self._windows = ParkRateWindow(limit)
        self._stored: set[str] = set()
        self._moved: dict[str, int] = {}
        self._unfit: set[str] = set()
        self.reasons: dict[str, str] = {}

    def overruns(self, moves: Sequence[Move], batch: Batch) -> list[Overrun]:
        """Topics that a batch, before it is written, takes over the limit."""
        return self._windows.overruns(*_by_topic(moves, batch))

    def note(self, moves: Sequence[Move], batch: Batch, overruns: Iterable[Overrun]) -> None:
        """The batch is committed, and what it paused is paused."""
        self._windows.note(*_by_topic(moves, batch))
        for overrun in overruns:
            self._stored.add(overrun.topic)
            self.add(overrun.topic, overrun.reason)

    def add(self, topic: str, reason: str) -> None:
        """Note a topic that is not read."""
        self.reasons[topic] = reason
        self._metrics.paused.labels(topic=topic).set(1)
        log.error("topic paused", topic=topic, reason=reason)

    def remove(self, topics: Iterable[str]) -> None:
        """Note topics that are read again."""
        for topic in list(topics):
            self._stored.discard(topic)
            self.reasons.pop(topic, None)
            self._windows.forget(topic)
            self._metrics.paused.labels(topic=topic).set(0)

    def set_unfit(self, reasons: Mapping[str, str]) -> None:
        """Record the topics whose settings forbid reading; those whose settings were corrected are read again."""
        self.remove(self._unfit & self.reasons.keys() - reasons.keys())
        self._unfit.clear()
        self.add_unfit(reasons)

    def add_unfit(self, reasons: Mapping[str, str]) -> None:
        """Note some more of them."""
        self._unfit |= reasons.keys()
        for topic in sorted(reasons.keys() - self.reasons.keys()):
            self.add(topic, reasons[topic])

    def words(self) -> str:
        """All paused topics and reasons in one line."""
        return "; ".join(f"{topic}: {reason}" for topic, reason in self.reasons.items())

    async def follow(self) -> None:
        """Read what any worker has stored; after a decision to move on a log is checked again."""
        moved = {row["topic"]: row["id"] for row in await self._pool.fetch(_MOVED)}
        decided = {topic for topic, last in moved.items() if self._moved.get(topic) != last}
        self.remove(decided & self.reasons.keys() - self._stored)
        self._moved = moved
        stored = {row["topic"]: row["reason"] for row in await self._pool.fetch(_LAST) if row["is_paused"]}
        self.remove(self._stored - stored.keys())
        for topic in sorted(stored.keys() - self.reasons.keys()):
            self._stored.add(topic)
            self.add(topic, stored[topic])

    async def resume(self, topic: str, note: str) -> bool:
        """Store that a topic is to be read again; False when it was not paused. Raises Refused for a broken log."""
        if topic in self.reasons and topic not in self._stored:
            raise Refused(f"{topic} is not paused by the limit and cannot be resumed: {self.reasons[topic]}")
        written = await self._pool.execute(
            f"""insert into charging.pause (topic, is_paused, events, parked, reason)
            select topic, false, 0, 0, $2 from ({_LAST}) last where topic = $1 and is_paused""",
            topic,
            note,
        )
        return bool(written == "INSERT 0 1")


def _by_topic(moves: Sequence[Move], batch: Batch) -> tuple[Counter[str], Counter[str]]:
    events: Counter[str] = Counter()
    for move in moves:
        events[move.topic] += move.events
    # What an operator sent again was counted when it was parked first: sending in vain pauses no topic.
    return events, Counter(kept.record.topic for kept in batch.parked if kept.leaf_index not in batch.arrivals)
