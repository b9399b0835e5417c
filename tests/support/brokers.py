"""One suite, two brokers: which tests a run takes, and where Apache Kafka and the embedded broker differ.

Every difference is listed here with its reason. A test that shows one is marked `@differs(...)`: on that broker it has
to fail, and an unexpected pass is an error.
"""

import os
from dataclasses import dataclass
from typing import Final

import pytest

from tests.support.apache_kafka import complaint
from tests.support.servers import Kind

NAMED: Final = pytest.StashKey[str | None]()
"""The cluster that the environment named when the run began."""
USES_A_BROKER: Final = {"broker", "fresh_broker"}
SAME_ON_BOTH: Final = {
    # file: why a run on the second broker would show nothing more
    "test_crash_at_every_step.py": "its logs are in memory; the broker only returns its cluster id",
    "test_crash_while_closing.py": "likewise",
    "test_crash_while_reporting.py": "likewise",
    "test_demo.py": "starts its own embedded parts; the month on Apache Kafka is test_month.py",
    "test_portal_forms.py": "reads a month that is over; how it is made is test_month.py",
    "test_portal_roles.py": "likewise",
    "test_portal_ways.py": "likewise",
    "test_enterprises_page.py": "its program has no login; with one it is test_compose.py",
    "test_tampering.py": "changes rows when the month is over; the broker has no part in it",
}


@dataclass(frozen=True, slots=True)
class Difference:
    """What is otherwise on one broker than on the other, and why."""

    on: Kind
    because: str


NO_TRANSACTIONS: Final = Difference(
    "embedded", "Tansu answers aiokafka's InitProducerId with UnknownError, and delivers what was aborted"
)
NOTHING_ON_DISK: Final = Difference(
    "embedded", "Tansu keeps everything in memory: a restart makes another cluster, at which workers must stop"
)
NO_CONFIGURED_TIMES: Final = Difference(
    "embedded", "Tansu stamps records with its own time and ignores the topic's setting"
)
NO_SETTINGS: Final = Difference("embedded", "Tansu knows no settings of topics")
NO_RETENTION: Final = Difference("embedded", "Tansu neither deletes records nor lets them expire")


def differs(difference: Difference) -> pytest.MarkDecorator:
    """Mark a test that must fail on the broker of this difference."""
    return pytest.mark.differs(difference)


def choose(config: pytest.Config) -> None:
    """Read the requested broker once: tests change the environment for the services they start."""
    config.stash[NAMED] = os.environ.get("DANBAO_KAFKA")
    if kind_of(config) == "apache" and not config.stash[NAMED] and (reason := complaint()):
        raise pytest.UsageError(reason)


def kind_of(config: pytest.Config) -> Kind:
    """The broker of this run; a cluster named in the environment is an Apache Kafka."""
    kind: Kind = "apache" if config.stash[NAMED] else config.getoption("--kafka")
    return kind


def select(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what is expected to fail here; with `--kafka=apache` leave out what uses no broker."""
    kind = kind_of(config)
    for item in items:
        for mark in item.iter_markers("differs"):
            (difference,) = mark.args
            if difference.on == kind:
                item.add_marker(pytest.mark.xfail(strict=True, reason=difference.because))
    if config.getoption("--kafka") == "apache":
        _leave_out(config, items)


def _leave_out(config: pytest.Config, items: list[pytest.Item]) -> None:
    is_ours = [
        bool(USES_A_BROKER & set(getattr(item, "fixturenames", ()))) and item.path.name not in SAME_ON_BOTH
        for item in items
    ]
    config.hook.pytest_deselected(items=[item for item, ours in zip(items, is_ours, strict=True) if not ours])
    items[:] = [item for item, ours in zip(items, is_ours, strict=True) if ours]
