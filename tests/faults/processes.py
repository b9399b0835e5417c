"""The four services in one process, put together from their own parts as their `__main__` does, each step counted.

Instead of a broker there are logs in memory that outlive every process: what is published is appended, and delivered
again until it is acknowledged. Order events are polled from such logs, too, through the methods of the client.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from functools import cached_property, partial
from typing import Any, cast

import asyncpg
import httpx
from fastapi import APIRouter, FastAPI
from faststream.kafka import KafkaBroker
from prometheus_client import CollectorRegistry
from sqlalchemy.ext.asyncio import AsyncEngine

from services.charging.api.day_routes import make_day_router
from services.charging.api.progress_routes import make_progress_router
from services.charging.close.count_workers import WorkerDays
from services.charging.close.order_findings import DayFinder
from services.charging.close.settlement import settle
from services.charging.close.take_closing import ClosingRules, take_closing
from services.charging.compose import intake_limits
from services.charging.ingest.batch_charger import BatchCharger
from services.charging.ingest.batch_reader import EventReader
from services.charging.ingest.consumer import GROUP, Consumer
from services.charging.ingest.held_positions import HeldPositions
from services.charging.ingest.lag_watch import Progress
from services.charging.ingest.topic_pauses import ParkRateLimit, TopicPauses
from services.charging.metrics import Metrics as ChargingMetrics
from services.charging.queries.days import DayQueries
from services.charging.queries.progress import ProgressQueries
from services.charging.settings import ChargingSettings
from services.charging.store.day_partitions import DayPartitions
from services.charging.store.deployment import register_enterprises
from services.charging.store.manifests import start_run
from services.ledger.api import ledger_routes as ledger_api
from services.ledger.api.log_routes import make_public_router
from services.ledger.billing.remittances import take_remittance
from services.ledger.books.booking import book_all_waiting, take_manifest
from services.ledger.books.missing_manifests import fill_gaps
from services.ledger.books.open_days import open_books
from services.ledger.close.compare_count import take_count
from services.ledger.close.deployment_counts import CountingDeployments
from services.ledger.log.checkpoints import sign_due_checkpoint
from services.ledger.log.witness import request_cosignature
from services.ledger.settings import LedgerSettings
from services.national_platform.api.platform_routes import PlatformAccess
from services.national_platform.api.platform_routes import routes as platform_routes
from services.national_platform.api.witness_routes import make_witness_router
from services.national_platform.fault_knobs import FaultKnobs
from services.national_platform.metrics import Metrics as PlatformMetrics
from services.national_platform.reports.reception import Reception
from services.national_platform.reports.roster import Roster
from services.national_platform.settings import PlatformSettings
from services.national_platform.witnessing.entry_authors import EntryAuthors, fetch_from
from services.national_platform.witnessing.witness import Witness
from services.reporting.api import internal_routes as reporting_api
from services.reporting.delivery.build import Builder
from services.reporting.delivery.send import Sender
from services.reporting.message_intake import Intake
from services.reporting.metrics import Metrics as ReportingMetrics
from services.reporting.read_model.projector import Projector
from services.reporting.register.examine_days import Examiner
from services.reporting.service_clients import Charging, InternalApi, Sources
from shared.adapters.crypto.signing import Signer, Verifier
from shared.adapters.files.regions import known_regions
from shared.adapters.http.national_platform import NationalPlatform
from shared.adapters.kafka.faststream_broker import as_read
from shared.adapters.kafka.security import client_options
from shared.adapters.postgres.decisions import Decisions
from shared.adapters.postgres.outbox import Outbox
from shared.adapters.postgres.pool import Pool
from shared.contracts.quarantine import Message
from shared.contracts.topics import (
    DAYS_CLOSED,
    DAYS_CLOSING,
    DAYS_COUNTED,
    MANIFESTS,
    REMITTANCES,
    STATEMENTS,
)
from shared.runtime.access import AccessKeys
from tests.faults.demo_town import PLATFORM_KEY, SERVICE_KEY, Handler, Place, Start, Town
from tests.faults.logs import LogBroker, LogConsumer, Logs, LogSubscriber
from tests.faults.steps import Process, Steps
from tests.integration.ledger.ledger_harness import ANY_TIME
from tests.support.access_keys import opened_by
from tests.support.authors import AUTHORS, CHARGING
from tests.support.deployed_calendar import deployed_calendar

ARRIVED_AT = datetime(2026, 11, 1, 5, tzinfo=UTC)
"""The record time of every manifest: logs in memory keep none."""
ONLY_FOR_CLOSED_DAYS = 1e9
"""Seconds after which a checkpoint is old: what is signed does not hang on how long a run takes."""


def app_of(*routers: APIRouter) -> FastAPI:
    """Made when the first request comes: it takes no steps, and takes its time."""
    app = FastAPI()
    for router in routers:
        app.include_router(router)
    return app


def never_dies(error: BaseException) -> None:
    raise AssertionError(f"a service wants to stop: {error!r}") from error


async def open_pool(process: Process, url: str, size: int) -> asyncpg.Pool:
    """A pool as the adapter opens it, with connections whose statements are counted; it ends with the process."""
    pool: asyncpg.Pool = await asyncpg.create_pool(
        url, min_size=1, max_size=size, connection_class=process.connection_class(), server_settings={"timezone": "UTC"}
    )
    process.pools.append(pool)
    return pool


class ChargingService:
    """A worker of charging."""

    def __init__(self, town: Town, process: Process, pool: asyncpg.Pool) -> None:
        self.town, self.process, self.pool = town, process, pool
        self.outbox = Outbox(pool, "charging", town.publisher(process))
        self.subscriber = LogSubscriber(LogConsumer(process, town.logs))
        self.may_settle = True

    @classmethod
    async def start(cls, town: Town, process: Process) -> "ChargingService":
        settings = town.place.settings("charging", ChargingSettings)
        made = cls(town, process, await open_pool(process, settings.database.get_secret_value(), 3))
        await made._compose(settings)
        return made

    async def _compose(self, settings: ChargingSettings) -> None:
        scheme = self.town.place.scheme
        async with self.pool.acquire() as connection:
            self.run = await start_run(connection, "orders", CHARGING)
            self.settlement_run = await start_run(connection, "settlement", CHARGING)
        ids = await register_enterprises(self.pool, scheme.enterprises)
        reader = EventReader(scheme, known_regions(), ids, intake_limits(settings))
        metrics = ChargingMetrics(CollectorRegistry())
        pauses, partitions = (
            TopicPauses(self.pool, ParkRateLimit.of(settings), metrics),
            DayPartitions(self.pool, settings.days_ahead),
        )
        self.positions = HeldPositions(self.pool, client_options(settings), pauses)
        charger = BatchCharger(self.pool, reader, self.run, partitions, pauses, metrics)
        consumer = Consumer(self.positions, charger, Progress(), metrics, never_dies, self.outbox.wake)
        self.broker = cast("KafkaBroker", LogBroker(self.subscriber))
        consumer.subscribe(self.broker, settings, GROUP)
        await consumer.on_partitions_assigned(self.subscriber.consumer.assignment())

    @cached_property
    def app(self) -> FastAPI:
        keys, settings = opened_by(SERVICE_KEY, "charging"), self.town.place.settings("charging", ChargingSettings)
        finder = DayFinder(self.pool, settings.late_acceptance_seconds, settings.acceptance_wait_days)
        progress, decisions = ProgressQueries(self.pool, CHARGING, known_regions()), Decisions(self.pool, "charging")
        days = make_day_router(keys, DayQueries(self.pool), finder, WorkerDays(self.pool))
        return app_of(make_progress_router(keys, self.positions, progress, self._settle, decisions, list), days)

    async def _settle(self) -> int | None:
        return await settle(self.pool, self.town.place.scheme, self.settlement_run)

    async def _count(self, payload: bytes) -> None:
        message = Message(DAYS_CLOSING, 0, 0, payload, ARRIVED_AT)
        await take_closing(self.pool, self.town.place.scheme, message, CHARGING, ClosingRules(by_clock=False))

    async def turn(self) -> bool:
        has_moved = False
        assert self.subscriber.handle is not None
        if records := self.subscriber.consumer.poll():
            await self.subscriber.handle(await as_read(records))
            has_moved = True
        if self.may_settle:
            has_moved |= bool(await self._settle())
        has_moved |= await self.town.take(self.process, "charging", DAYS_CLOSING, self._count)
        while await self.outbox.publish_once():
            has_moved = True
        return has_moved

    async def let_go(self) -> None:
        self.pool.terminate()


class LatestPool:
    """The pool of the latest start of the ledger: its app outlives a start."""

    pool: asyncpg.Pool

    async def fetchval(self, sql: str, *values: object) -> Any:
        return await self.pool.fetchval(sql, *values)


class LedgerService:
    """The ledger."""

    def __init__(self, town: Town, process: Process, engine: AsyncEngine, pool: asyncpg.Pool) -> None:
        self.town, self.process, self.engine, self.pool = town, process, engine, pool
        self.outbox = Outbox(pool, "ledger", town.publisher(process))
        self.charging = town.client(process, "charging", SERVICE_KEY)
        self.witness = town.client(process, "national_platform", PLATFORM_KEY)
        self.may_sign = False

    @classmethod
    async def start(cls, town: Town, process: Process) -> "LedgerService":
        url = town.place.settings("ledger", LedgerSettings).database.get_secret_value()
        engine = town.place.engines.open(process)
        made = cls(town, process, engine, await open_pool(process, url, 1))
        town.place.once("ledger's pool", LatestPool).pool = made.pool
        await open_books(made.engine, town.place.first_day)
        await book_all_waiting(made.engine)
        return made

    @property
    def app(self) -> FastAPI:
        return self.town.place.once("ledger", self._make_app)

    def _make_app(self) -> FastAPI:
        settings, keys = self.town.place.settings("ledger", LedgerSettings), opened_by(SERVICE_KEY, "ledger")
        decisions = Decisions(cast("Pool", self.town.place.once("ledger's pool", LatestPool)), "ledger")
        more = deployed_calendar(), lambda: None, decisions, ANY_TIME
        app = app_of(ledger_api.make_router(keys, self.engine, settings, *more))
        app.include_router(make_public_router(self.engine, self.town.place.log_keys))
        return app

    async def turn(self) -> bool:
        handlers: dict[str, Handler] = {
            MANIFESTS: partial(take_manifest, self.engine, authors=AUTHORS),
            DAYS_COUNTED: partial(take_count, self.engine, deployments=CountingDeployments(AUTHORS)),
            REMITTANCES: partial(take_remittance, self.engine, clocks=ANY_TIME),
        }
        has_moved = False
        for topic, handle in handlers.items():
            has_moved |= await self.town.take(self.process, "ledger", topic, handle)
        has_moved |= await fill_gaps(self.engine, AUTHORS, self.charging) > 0
        if self.may_sign:
            has_moved |= await self._keep_log()
        while await self.outbox.publish_once():
            has_moved = True
        return has_moved

    async def let_go(self) -> None:
        self.pool.terminate()
        await self.engine.dispose(close=False)

    async def _keep_log(self) -> bool:
        keys = self.town.place.log_keys
        assert self.app is not None  # the witness reads the log from it
        signed = await sign_due_checkpoint(self.engine, keys, ONLY_FOR_CLOSED_DAYS)
        heard = await request_cosignature(self.engine, keys, self.witness)
        assert heard in {"nothing", "cosigned"}, heard
        return signed is not None or heard == "cosigned"


class ReportingService:
    """Reporting."""

    def __init__(self, town: Town, process: Process, engine: AsyncEngine) -> None:
        self.town, self.process, self.engine = town, process, engine
        metrics = ReportingMetrics(CollectorRegistry())
        apis = [InternalApi(name, town.client(process, name, SERVICE_KEY)) for name in ("charging", "ledger")]
        self.platform = platform = NationalPlatform(
            town.client(process, "national_platform", PLATFORM_KEY), Signer(town.place.private)
        )
        self.sender = Sender(engine, platform, metrics, attempts=200, retry_seconds=0.0)
        self.sources = Sources(Charging.alone(apis[0]), apis[1])
        self.builder = Builder(engine, self.sources, metrics, most_tokens=2)
        self.intake = Intake(engine, lambda: None, ANY_TIME.span)
        self.may_show = False
        self.projector = Projector(engine)
        self.examiner = Examiner(engine, self.sources, metrics, deployed_calendar().is_regular_day, wait_days=30)

    @classmethod
    async def start(cls, town: Town, process: Process) -> "ReportingService":
        return cls(town, process, town.place.engines.open(process))

    @cached_property
    def app(self) -> FastAPI:
        keys = opened_by(SERVICE_KEY)
        return app_of(reporting_api.routes(keys, self.engine, self.sources, self.platform, lambda: None, ANY_TIME.span))

    async def turn(self) -> bool:
        return await self._show() if self.may_show else await self._report()

    async def _report(self) -> bool:
        town, process = self.town, self.process
        has_moved = await town.take(process, "reporting", DAYS_CLOSED, self.intake.take_day_closed)
        has_moved |= await town.take(process, "reporting", STATEMENTS, self.intake.take_statement)
        has_moved |= await self.builder.step() > 0
        while await self.sender.step():
            has_moved = True
            if (platform := town.at("national_platform")) is None or platform[0].is_dead:
                break  # it is started again between two turns, and attempts have a limit
        return has_moved

    async def _show(self) -> bool:
        """What feeds pages and register, which wait for nothing that is reported."""
        town, process = self.town, self.process
        has_moved = await town.take(process, "reporting", REMITTANCES, self.intake.take_remittance)
        has_moved |= await town.take(process, "reporting", MANIFESTS, self._take_manifest)
        has_moved |= await self.projector.step() > 0
        return await self.examiner.step() > 0 or has_moved

    async def _take_manifest(self, body: bytes) -> None:
        await self.intake.take(Message(MANIFESTS, 0, 0, body, ARRIVED_AT))

    async def let_go(self) -> None:
        await self.sender.close()
        await self.engine.dispose(close=False)


class PlatformService:
    """The national platform: it only answers."""

    def __init__(self, town: Town, process: Process) -> None:
        self.town, self.process, self.engine = town, process, town.place.engines.open(process)

    @classmethod
    async def start(cls, town: Town, process: Process) -> "PlatformService":
        return cls(town, process)

    @property
    def app(self) -> FastAPI:
        return self.town.place.once("national_platform", self._make_app)

    def _make_app(self) -> FastAPI:
        reception = Reception(self.engine, Verifier(self.town.place.public), Roster.load(None))
        access = PlatformAccess(AccessKeys.load(None, ""), PLATFORM_KEY)
        knobs = FaultKnobs(self.town.place.settings("national_platform", PlatformSettings))
        metrics = PlatformMetrics(CollectorRegistry())
        app = app_of(platform_routes(access, reception, self.engine, knobs, metrics))
        keys = [signer.verifier for signer in self.town.place.log_keys.signers]
        app.include_router(
            make_witness_router(Witness(self.engine, self.town.place.witness, keys, self._entries()), metrics)
        )
        return app

    def _entries(self) -> EntryAuthors:
        """Authors read from the running ledger's log; reading is no step, for it leaves nothing behind."""
        place = self.town.place

        async def log(scope: Any, receive: Any, send: Any) -> None:
            await place.made["ledger"](scope, receive, send)

        client = httpx.AsyncClient(transport=httpx.ASGITransport(log), base_url="http://ledger/log/")
        return EntryAuthors(fetch_from(client), AUTHORS)

    async def turn(self) -> bool:
        return False

    async def let_go(self) -> None:
        await self.engine.dispose(close=False)


STARTS: Mapping[str, Start] = {
    "charging": ChargingService.start,
    "ledger": LedgerService.start,
    "reporting": ReportingService.start,
    "national_platform": PlatformService.start,
}


@asynccontextmanager
async def open_town(place: Place, steps: Steps, logs: Logs) -> AsyncIterator[Town]:
    """All services over these logs; none is left running."""
    async with AsyncExitStack() as stack:
        town = Town(place, steps, logs, STARTS)
        stack.push_async_callback(town.stop)
        yield town
