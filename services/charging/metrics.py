"""Catalogue of charging's metrics; docs/operating.md says what to do about each alarm."""

from prometheus_client import CollectorRegistry, Counter, Gauge

from shared.contracts.manifests import PremiumsCharged


class Metrics:
    """Metrics of one process, on the registry that is given."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.events = Counter(
            "danbao_charging_events_total",
            "Events by where they ended",
            ["outcome", "reason"],
            registry=registry,
        )
        self.batches = Counter("danbao_charging_batches_total", "Batches committed", registry=registry)
        self.dropped = Counter(
            "danbao_charging_batches_dropped_total",
            "Batches dropped and read again",
            ["why"],
            registry=registry,
        )
        self.lag = Gauge(
            "danbao_charging_lag_events", "Offsets not yet charged in all order topics, over all workers",
            registry=registry,
        )  # fmt: skip
        self.topic_alarms = Gauge(
            "danbao_charging_topic_alarms", "Alarms about order topics and their group; /readyz says which", ["alarm"],
            registry=registry,
        )  # fmt: skip
        self.paused = Gauge(
            "danbao_charging_topic_paused", "1: not read; /readyz says why", ["topic"],
            registry=registry,
        )  # fmt: skip
        self.parts_ahead = Gauge(
            "danbao_charging_parts_ahead_days", "Days after today whose rows have a part", registry=registry
        )
        self.reversed = Counter("danbao_charging_reversed_total", "Orders reversed", registry=registry)
        self.unlisted = Counter(
            "danbao_charging_unlisted_region_orders_total", "Orders whose region code is in no list", registry=registry
        )
        self.rerated = Counter("danbao_charging_rerated_total", "Orders corrected by a re-rating", registry=registry)

    def note_batch(self, manifest: PremiumsCharged) -> None:
        """Count one committed batch."""
        self.batches.inc()
        for total in manifest.totals:
            self.events.labels(outcome=total.outcome.value, reason=total.reason or "").inc(total.orders)
