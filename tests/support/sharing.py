"""How the suite is shared out among processes (`make test` is `pytest -n auto`): whole files, long ones first.

A file stays in one process: its tests may share a system that took long to start, and may build on one another. So do
the files that read one month. Each process has its own PostgreSQL and broker.
"""

import os
from typing import Final

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

ONE_MONTH: Final = {
    "test_month.py": "it is played once for all of them",
    "test_demo.py": "its figures must come out again",
    "test_evidence.py": "what it proves is that month",
    "test_evidence_log.py": "the log is what it wrote",
    "test_portal_forms.py": "it reads that month's portal",
    "test_portal_roles.py": "each role reads that month",
    "test_portal_ways.py": "its answers are that month's",
    "test_enterprises_page.py": "its order is one more in that month",
    "test_tampering.py": "what it changes, it changes after the others have read it",
}


def count_processes() -> int:
    """What `-n auto` means: one more than cores, because tests wait more than they work.

    0 (no other process than pytest's own) on servers of the environment: roles, and the right to erase topics, are one
    for a whole server.
    """
    if {"DANBAO_DATABASE", "DANBAO_KAFKA"} & set(os.environ):
        return 0
    return len(os.sched_getaffinity(0)) + 1 if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1) + 1


class WholeFiles(LoadScopeScheduling):
    """Hands a process one file after the other, in the order in which they were collected."""

    def __init__(self, config: pytest.Config, log: Producer) -> None:
        config.option.loadscopereorder = False  # many tests in a file do not make it a long one
        super().__init__(config, log)

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return "the month" if file.rpartition("/")[2] in ONE_MONTH else file


def is_shared(config: pytest.Config) -> bool:
    """Whether this process has only a share of the tests."""
    return hasattr(config, "workerinput")


def long_ones_first(items: list[pytest.Item]) -> None:
    """Sort files with slow tests to the front: a long one that begins last would be waited for."""
    slow = {item.path for item in items if item.get_closest_marker("slow") or item.get_closest_marker("exhaustive")}
    items.sort(key=lambda item: item.path not in slow)
