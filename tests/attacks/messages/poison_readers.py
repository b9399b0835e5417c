"""The readers of the internal topics of each service, put together as the services do, without a log."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from services.charging.close.take_closing import ClosingRules, take_closing
from services.ledger.compose import subscribe
from services.ledger.operations.metrics import Metrics
from services.reporting.compose import read_topics
from services.reporting.message_intake import Intake
from services.reporting.settings import ReportingSettings
from shared.adapters.crypto.signing import AuthorSigner
from shared.adapters.kafka.internal.internal_topics import InternalTopics
from shared.adapters.kafka.internal.message_authors import verify_by
from shared.adapters.kafka.internal.message_handling import Fault
from shared.adapters.postgres.engine import open_engine
from shared.adapters.postgres.outbox import Outbox
from shared.adapters.postgres.pool import Pool, open_pool
from shared.adapters.postgres.topic_store import TopicStore
from shared.contracts.quarantine import Message
from shared.contracts.topics import DAYS_CLOSING
from shared.runtime.settings import Settings
from tests.integration.charging.charging_harness import House
from tests.integration.ledger.ledger_harness import ANY_TIME, COUNTERS, Ledger, open_ledger
from tests.integration.reporting.reporting_harness import migrate_reporting
from tests.support.authors import AUTHORS, CHARGING, headers_of

RECORDED_AT = datetime(2026, 11, 1, tzinfo=UTC)
SETTINGS = ReportingSettings(message_wait_seconds=0.3, message_attempts=2)


@dataclass
class Readers:
    """A service's readers, its quarantine, and how many messages were handed in."""

    topics: InternalTopics
    pool: Pool
    ledger: Ledger | None = None
    count: int = field(default=0)

    async def read(
        self,
        topic: str,
        body: bytes | msgspec.Struct,
        recorded_at: datetime = RECORDED_AT,
        signer: AuthorSigner | None = None,
    ) -> Fault | None:
        """Hand in a message, signed by who may send it or by another; None when it was taken, else the fault."""
        self.count += 1
        payload = body if isinstance(body, bytes) else msgspec.json.encode(body)
        headers = headers_of(topic, payload, signer)
        return await self.topics.deliver(Message(topic, 0, self.count, payload, recorded_at, headers))

    async def kept(self) -> list[Any]:
        """The quarantine."""
        return await self.topics.store.list_messages(0, 1_000)


@asynccontextmanager
async def ledger_readers(database: str, settings: Settings = SETTINGS) -> AsyncIterator[Readers]:
    """The ledger's."""
    async with open_ledger(database) as ledger, open_pool(ledger.url, size=2) as pool:
        topics = InternalTopics(TopicStore(pool, "ledger"), settings, verify_by(AUTHORS))
        outbox = Outbox(pool, "ledger", _publish_nothing)
        subscribe(topics, ledger.engine, Metrics.make(CollectorRegistry()), outbox.wake, COUNTERS, ANY_TIME)
        yield Readers(topics, pool, ledger)


@asynccontextmanager
async def reporting_readers(database: str) -> AsyncIterator[Readers]:
    """Reporting's."""
    url = await migrate_reporting(database)
    async with open_engine(url) as engine, open_pool(url, size=2) as pool:
        yield Readers(read_topics(Intake(engine, lambda: None, ANY_TIME.span), pool, SETTINGS, AUTHORS), pool)


def charging_readers(house: House, rules: ClosingRules | None = None) -> Readers:
    """Charging's."""
    topics = InternalTopics(TopicStore(house.pool, "charging"), SETTINGS, verify_by(AUTHORS))

    async def close(message: Message) -> None:
        await take_closing(house.pool, house.scheme, message, CHARGING, rules or ClosingRules())

    topics.add(DAYS_CLOSING, close)
    return Readers(topics, house.pool)


@pytest.fixture
async def ledger(database: str) -> AsyncIterator[Readers]:
    """This fixture and the next two are of the files that name them: `ledger = poison_readers.ledger`."""
    async with ledger_readers(database) as opened:
        yield opened


@pytest.fixture
async def reporting(database: str) -> AsyncIterator[Readers]:
    async with reporting_readers(database) as opened:
        yield opened


@pytest.fixture
async def charging(house: House) -> Readers:
    return charging_readers(house)


async def _publish_nothing(topic: str, key: str, payload: bytes) -> None:
    raise AssertionError(f"nothing is published here: {topic} {key} {payload!r}")
