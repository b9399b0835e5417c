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
        self.checkpoints = Counter(
            "danbao_platform_checkpoints",
            "Checkpoints of logs that were to be cosigned, by what became of them",
            ["outcome"],
            registry=registry,
        )
        self.witness_alarms = Counter(
            "danbao_platform_witness_alarms",
            "Checkpoints that contradict what was cosigned, by reason",
            ["reason"],
            registry=registry,
        )
