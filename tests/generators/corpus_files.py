"""Nasty input that is kept: `tests/corpus` holds a file for each, with what it is and where it has to end.

`value` is written as in the histories of `tests/seeds` (`bytes_of` in `tests/generators/workload.py`); `key` and the
values of `headers` are hex. Each ends alone: none is a repeat of another or in conflict with it. A new finding
becomes a file.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.generators.workload import bytes_of
from tests.integration.charging.charging_harness import NOON, RIDES, Record, Sent

FILES = sorted((Path(__file__).parents[1] / "corpus").glob("*.json"))
NOON_MS = round(NOON.timestamp() * 1000)


@dataclass(frozen=True)
class Nasty:
    """One event, and its end: an outcome and, where it has one, a reason."""

    name: str
    sent: Sent
    ends: tuple[str, str]

    def record(self, topic: str, offset: int = 0) -> Record:
        """As a Kafka client hands it over."""
        time_ms = NOON_MS if self.sent.time_ms is None else self.sent.time_ms
        return Record(topic, 0, offset, time_ms, self.sent.key, self.sent.value, self.sent.headers)


def read_corpus() -> list[Nasty]:
    """All files, in order of their names."""
    return [_read(file.stem, json.loads(file.read_text(encoding="utf-8"))) for file in FILES]


def _read(name: str, reported: dict[str, Any]) -> Nasty:
    assert reported["what"]
    headers = [
        (header, None if value is None else bytes.fromhex(value)) for header, value in reported.get("headers", [])
    ]
    key = reported.get("key", "6b")
    sent = Sent(
        bytes_of(reported["value"]),
        uscc=RIDES,
        time_ms=reported.get("record_time_ms"),
        headers=headers,
        key=None if key is None else bytes.fromhex(key),
    )
    return Nasty(name, sent, (reported["ends"], reported.get("reason", "")))
