"""Records as the Kafka client hands them over, for what is measured without a broker."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from services.charging.store.positions import Move
from shared.intake.limits import IntakeLimits

LIMITS: Final = IntakeLimits(max_event_bytes=65_536, max_skew_seconds=300, max_age_days=30)
"""Of the reader, as charging has them unless set otherwise."""


@dataclass
class Record:
    """As the Kafka client hands it over."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()


def moves(records: Sequence[Record]) -> list[Move]:
    """How a batch of one partition of each topic moves the positions."""
    ends: dict[str, list[Record]] = {}
    for record in records:
        ends.setdefault(record.topic, []).append(record)
    return [Move(topic, own[0].partition, own[0].offset, own[-1].offset + 1, len(own)) for topic, own in ends.items()]
