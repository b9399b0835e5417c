"""What somebody has to act on is an alarm, in words of the service that knows it."""

from collections.abc import AsyncIterator, Mapping
from datetime import date
from types import SimpleNamespace
from typing import Any, Final, cast

import pytest
from aiokafka import TopicPartition
from prometheus_client import CollectorRegistry
from sqlalchemy import insert

from services.charging.ingest.held_positions import HeldPositions
from services.charging.ingest.topics_watch import TopicSettings, TopicsWatch
from services.charging.metrics import Metrics
from services.charging.settings import ChargingSettings
from services.ledger import tables
from services.ledger.billing.issue_statements import issue_statements
from services.ledger.billing.remittances import remittance_entry
from services.ledger.books.journal import Source, write_journal_entry
from services.ledger.books.open_days import ledger_lock, read_books
from services.ledger.operations.alarms import read_alarms
from shared.adapters.kafka.admin.topic_survey import Ends, Survey, TopicSurvey
from shared.adapters.postgres.pool import Pool
from shared.contracts.topics import ORDERS_PATTERN, orders_topic
from shared.domain.books.journal import Party
from shared.domain.calendar import Month, day_start
from shared.domain.money import Amount
from tests.integration.ledger.ledger_harness import ENTERPRISE, Ledger, new_run, open_ledger, total
from tests.support.deployed_calendar import deployed_calendar

OPENED_ON: Final = date(2026, 9, 30)
NOON: Final = day_start(date(2026, 10, 2))
TOPIC: Final = orders_topic("91000000FAKE00001F")
PARTITION: Final = TopicPartition(TOPIC, 0)


class AskedBroker:
    """Answers of a broker about order topics."""

    def __init__(self, **ends: Ends) -> None:
        self.ends: Mapping[TopicPartition, Ends] = {PARTITION: ends["of_log"]}

    async def survey(self, _: object) -> Survey:
        return Survey(frozenset(self.ends), self.ends)


class StoredPositions:
    """The position that charging stored."""

    async def fetch(self, _: str, *__: object) -> list[dict[str, Any]]:
        return [{"topic": TOPIC, "partition": 0, "next_offset": 5}]


def watch(broker: AskedBroker) -> TopicsWatch:
    settings = SimpleNamespace(topic_look_seconds=0.01, ready_commit_age_seconds=0.0)
    positions = SimpleNamespace(cluster_id="c", pauses=SimpleNamespace(reasons={}))
    return TopicsWatch(
        cast("ChargingSettings", settings), cast("Pool", StoredPositions()), cast("HeldPositions", positions),
        cast("TopicSurvey", broker), cast("TopicSettings", None), ORDERS_PATTERN, [], Metrics(CollectorRegistry()),
    )  # fmt: skip


async def test_events_behind_an_open_transaction_are_counted_and_named_with_their_time() -> None:
    """Case 15: the committed end is that of the last stable offset; the high watermark is 200 events further."""
    broker = AskedBroker(of_log=Ends(first=0, committed=5, end=205))
    orders = watch(broker)
    await orders._watch()
    (alarm,) = orders.describe_alarms()
    assert alarm.startswith(
        f"open_transaction: {TOPIC}/0: 200 events from 5 on wait behind an open transaction, since "
    )
    assert alarm.endswith("+08:00")
    assert await orders.readiness() == alarm
    broker.ends = {PARTITION: Ends(first=0, committed=5, end=5)}
    await orders._watch()
    assert await orders.readiness() is None


@pytest.fixture
async def ledger(database: str) -> AsyncIterator[Ledger]:
    async with open_ledger(database, OPENED_ON) as opened:
        yield opened


async def test_money_that_is_not_set_against_what_is_owed_is_an_alarm(ledger: Ledger) -> None:
    """Kind M: an overdue statement of a party that has more money than it owes.

    The advance is written without its allocation, as a defect of an earlier version might have done.
    """
    await ledger.charge(new_run(), total(orders=100, base=10_000, day=OPENED_ON))
    await ledger.close(OPENED_ON)
    assert (await issue_statements(ledger.engine, Month(2026, 9), NOON, deployed_calendar())).statements == 1
    assert await alarms(ledger) == []
    async with ledger_lock(ledger.engine) as connection:
        entry = remittance_entry(Party(ENTERPRISE, "44"), [], Amount(2_000_000))
        row = {"remittance_id": "r-1", "enterprise": ENTERPRISE, "province": "44", "amount": 2_000_000}
        row |= {"received_on": date(2026, 10, 1), "content_sha256": bytes(32)}
        await connection.execute(insert(tables.remittance).values(row))
        await write_journal_entry(connection, entry, date(2026, 10, 1), Source(remittance_id="r-1"))
    assert await alarms(ledger) == [f"advance_unused: {ENTERPRISE} in 44: 200.00 yuan in advances, 100.00 owed"]


async def alarms(ledger: Ledger) -> list[str]:
    async with ledger.engine.connect() as connection:
        return await read_alarms(connection, await read_books(connection), 60.0)
