"""Names of everything that the national platform measures."""

from prometheus_client import CollectorRegistry, Counter


class Metrics:
    """One instance a process, in the service's own registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.deliveries = Counter(
            "danbao_platform_deliveries",
            "Deliveries heard, by outcome and reason",
            ["outcome", "reason"],
            registry=registry,
        )
        self.faults = Counter("danbao_platform_faults", "Faults made on purpose", ["fault"], registry=registry)
