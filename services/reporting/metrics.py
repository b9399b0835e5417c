"""Names of reporting's metrics."""

from prometheus_client import CollectorRegistry, Counter, Gauge


class Metrics:
    """One instance a process, in the service's own registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.built = Counter("danbao_reporting_built", "Reports built, by kind", ["kind"], registry=registry)
        self.build_failures = Counter(
            "danbao_reporting_build_failures", "Turns of the builder that could not finish", registry=registry
        )
        self.answers = Counter(
            "danbao_reporting_answers",
            "Answers to reports: receipt, refusal, wrong_receipt, no_answer",
            ["answer"],
            registry=registry,
        )
        self.discrepancies = Counter(
            "danbao_reporting_discrepancies", "Discrepancies found, by kind", ["kind"], registry=registry
        )
        self.set_aside = Gauge(
            "danbao_reporting_set_aside",
            "Items set aside because their content cannot be worked on, by step: an alarm while above 0",
            ["step"],
            registry=registry,
        )
