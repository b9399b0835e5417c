"""Reporting as it is run: the ledger's topics in, receipts out."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date
from pathlib import Path

import msgspec
from aiokafka import AIOKafkaProducer
from pydantic import SecretStr

from services.demo.running.system import read_settings, settings_of
from services.national_platform.compose import compose as compose_platform
from services.reporting.compose import compose as compose_reporting
from services.reporting.settings import ReportingSettings
from shared.adapters.kafka.clients import ensure_topics
from shared.adapters.run_service import make_service
from shared.contracts.topics import DAYS_CLOSED, STATEMENTS
from tests.integration.reporting.reporting_harness import (
    PLATFORM_KEY,
    SERVICE_KEY,
    closed_day,
    make_keys,
    migrate_platform,
    migrate_reporting,
    platform_settings,
    portal_url,
    running_app,
    serving,
    statement,
    total,
)
from tests.support.authors import LEDGER, headers_of, write_author_files
from tests.support.servers import Broker, client_of, client_settings, make_topics_of
from tests.support.waiting import eventually_async

DAY = date(2026, 10, 3)


@asynccontextmanager
async def open_parts(
    broker: Broker, database: str, platform_database: str, folder: Path
) -> AsyncIterator[ReportingSettings]:
    """The national platform, and reporting's settings for it."""
    keys = make_keys(folder)
    platform = make_service(
        "national_platform", platform_settings(await migrate_platform(platform_database), keys), compose_platform
    )
    async with serving(platform.server) as platform_url:
        own = {
            "database": SecretStr(await migrate_reporting(database)),
            "portal_database": SecretStr(portal_url(database)),
            "signing_key": keys.private,
            "access_keys": keys.access,
            "platform_key": SecretStr(PLATFORM_KEY),
            "platform_url": platform_url,
            "vkeys": Path(write_author_files(folder, LEDGER)["VKEYS"]),
        }
        yield read_settings(ReportingSettings, client_settings(broker, "reporting")).model_copy(update=own)


async def test_it_may_start_before_anybody_has_made_its_topics(
    fresh_broker: Broker, database: str, platform_database: str, tmp_path: Path
) -> None:
    async with (
        open_parts(fresh_broker, database, platform_database, tmp_path) as settings,
        running_app(make_service("reporting", settings, compose_reporting), SERVICE_KEY) as client,
    ):

        async def is_ready() -> bool:
            return (await client.get("/readyz")).status_code == 200

        await make_topics_of(client_settings(fresh_broker))
        await eventually_async(is_ready, "readiness")


async def test_topics_are_read_from_the_start_and_repeats_change_nothing(
    fresh_broker: Broker, database: str, platform_database: str, tmp_path: Path
) -> None:
    async with open_parts(fresh_broker, database, platform_database, tmp_path) as settings:
        await ensure_topics(settings_of(client_settings(fresh_broker)), {DAYS_CLOSED: 1, STATEMENTS: 1})
        await make_topics_of(client_settings(fresh_broker))
        closed, issued = (
            msgspec.json.encode(message) for message in (closed_day(DAY, [total(DAY, "charged", 90)]), statement(90))
        )
        async with AIOKafkaProducer(**client_of(fresh_broker)) as producer:
            for _ in range(2):
                await producer.send_and_wait(DAYS_CLOSED, closed, headers=[*headers_of(DAYS_CLOSED, closed)])
                await producer.send_and_wait(STATEMENTS, issued, headers=[*headers_of(STATEMENTS, issued)])
            await producer.send_and_wait(STATEMENTS, b"{}", headers=[*headers_of(STATEMENTS, b"{}")])
        async with running_app(make_service("reporting", settings, compose_reporting), SERVICE_KEY) as client:

            async def is_done() -> bool:
                status = (await client.get("/v1/status")).json()
                return bool(status["receipts"] == 2 and status["discrepancies"] == 1)

            await eventually_async(is_done, "two receipts, and one message that is none")

            async def is_ready() -> bool:
                return (await client.get("/readyz")).status_code == 200

            await eventually_async(is_ready, "readiness")
            assert (await client.post("/v1/reconciliations", json={"period": "2026-10"})).json() == {"differences": 0}
