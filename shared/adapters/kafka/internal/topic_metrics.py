"""Measures the internal topics that a service reads, by names that all services share."""

from typing import Final

from prometheus_client import CollectorRegistry, Gauge

from shared.adapters.kafka.internal.internal_topics import InternalTopics
from shared.runtime.periodic import Periodic

REFRESH_SECONDS: Final = 5.0


class TopicMetrics:
    """`danbao_<service>_topic_lag_records` and `danbao_<service>_refused_messages`."""

    def __init__(self, topics: InternalTopics, registry: CollectorRegistry) -> None:
        self._topics, name = topics, topics.store.schema
        self._lag = Gauge(
            f"danbao_{name}_topic_lag_records", "Records of a topic, committed or not, that are not handled yet",
            ["topic"], registry=registry,
        )  # fmt: skip
        self._refused = Gauge(
            f"danbao_{name}_refused_messages", "Quarantined messages that nobody has reviewed", ["topic", "reason"],
            registry=registry,
        )  # fmt: skip

    async def refresh(self) -> None:
        """Set all of them; a reason that has none any more is set to 0."""
        for reader in self._topics.readers:
            self._lag.labels(topic=reader.topic).set(reader.lag)
        open_counts = await self._topics.store.count_open()
        for (topic, reason), count in open_counts.items():
            self._refused.labels(topic=topic, reason=reason).set(count)
        for metric in self._refused.collect():
            for sample in metric.samples:
                key = sample.labels["topic"], sample.labels["reason"]
                if key not in open_counts:
                    self._refused.labels(*key).set(0)

    def periodic(self) -> Periodic:
        """The work to run next to the server."""
        return Periodic("topic metrics", self.refresh, REFRESH_SECONDS)
