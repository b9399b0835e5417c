"""Puts one worker of charging together."""

import asyncio
import functools
import gc
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import date
from typing import Final

from fastapi import APIRouter
from faststream.kafka import KafkaBroker

from services.charging.api.adjustment_routes import make_adjustment_router
from services.charging.api.day_routes import make_day_router
from services.charging.api.dry_run_routes import make_dry_run_router
from services.charging.api.order_routes import make_order_router
from services.charging.api.parked_routes import make_parked_router
from services.charging.api.progress_routes import make_progress_router
from services.charging.api.rerate_routes import Rerater, make_rerating_router
from services.charging.api.series_routes import make_series_router
from services.charging.api.topic_routes import make_topic_router
from services.charging.close.count_workers import WorkerDays
from services.charging.close.order_findings import DayFinder
from services.charging.close.settlement import settle
from services.charging.close.take_closing import ClosingRules, take_closing
from services.charging.ingest.batch_charger import BatchCharger
from services.charging.ingest.batch_reader import EventReader
from services.charging.ingest.consumer import GROUP, Consumer
from services.charging.ingest.held_positions import HeldPositions
from services.charging.ingest.lag_watch import LagWatch, Progress
from services.charging.ingest.skip_lost_events import LostEventSkipper
from services.charging.ingest.topic_pauses import ParkRateLimit, TopicPauses
from services.charging.ingest.topics_watch import TopicSettings, TopicsWatch, client_id_of
from services.charging.metrics import Metrics
from services.charging.queries.days import DayQueries
from services.charging.queries.dry_run import DryRun
from services.charging.queries.orders import OrderQueries
from services.charging.queries.parked_events import ParkedEvents
from services.charging.queries.progress import ProgressQueries
from services.charging.queries.proofs import Proofs
from services.charging.rerate.reverse_outside import Adjustments
from services.charging.settings import ChargingSettings
from services.charging.store.day_partitions import DayPartitions, PartitionsAhead
from services.charging.store.deployment import claim_database, own_group, register_enterprises
from services.charging.store.manifests import Run, signed_payload, start_run
from services.charging.store.partition_queries import open_query_pool
from shared.adapters.crypto.author_keys import load_authors, load_signer
from shared.adapters.crypto.hashing import check_hashing
from shared.adapters.crypto.signing import AuthorSigner
from shared.adapters.files.regions import known_regions, load_regions
from shared.adapters.files.scheme import load_scheme
from shared.adapters.http.decision_routes import make_decisions_router
from shared.adapters.http.quarantine_routes import make_quarantine_router
from shared.adapters.kafka.admin.topic_survey import TopicSurvey
from shared.adapters.kafka.clients import ensure_topics
from shared.adapters.kafka.faststream_broker import open_broker, publish_signed
from shared.adapters.kafka.internal.internal_topics import InternalTopics
from shared.adapters.kafka.internal.message_authors import verify_by
from shared.adapters.kafka.internal.topic_metrics import TopicMetrics
from shared.adapters.kafka.security import client_options
from shared.adapters.postgres.decisions import Decisions
from shared.adapters.postgres.outbox import Outbox
from shared.adapters.postgres.pool import Pool, Waits, open_pool
from shared.adapters.postgres.sealing.kept_keys import KeptKeys
from shared.adapters.postgres.topic_store import TopicStore
from shared.adapters.run_service import running_broker
from shared.contracts.quarantine import Message
from shared.contracts.topic_rights import topics_used_by
from shared.contracts.topics import DAYS_CLOSING, MANIFESTS, orders_topic
from shared.domain.calendar import SHANGHAI
from shared.domain.evidence.authors import Role
from shared.domain.scheme.rating import Scheme
from shared.intake.limits import IntakeLimits
from shared.runtime import clock
from shared.runtime.deployments import load_deployments
from shared.runtime.periodic import Periodic, until_done
from shared.runtime.service import Service

REQUEST_CONNECTIONS: Final = 3
"""Connections for requests; the consumer's own are never taken by them."""
COLLECT_EVERY: Final = 200
"""Batches between two garbage collections; the collector is off otherwise."""


@dataclass(frozen=True, slots=True)
class _Pools:
    """Connections by what they are for, so that one use never takes those of another."""

    batches: Pool
    whole_days: Pool
    outbox: Pool
    topics: Pool
    requests: Pool
    lookups: Pool


@dataclass(frozen=True, slots=True)
class _Worker:
    """Objects that the parts of one worker share."""

    service: Service[ChargingSettings]
    pools: _Pools
    scheme: Scheme
    author: AuthorSigner
    enterprise_ids: dict[str, int]
    run: Run
    settlement_run: Run
    broker: KafkaBroker
    outbox: Outbox
    metrics: Metrics
    decisions: Decisions
    collector: "Collector"

    def note_commit(self) -> None:
        """A batch was committed."""
        self.outbox.wake()
        self.collector.note_batch()

    def make_reader(self) -> EventReader:
        """A reader with its own templates."""
        limits = intake_limits(self.service.settings)
        return EventReader(self.scheme, known_regions(self.service.settings.regions), self.enterprise_ids, limits)


@asynccontextmanager
async def compose(service: Service[ChargingSettings]) -> AsyncIterator[None]:
    """Put the worker together."""
    check_hashing()
    async with _open_pools(service.settings) as pools:
        worker = await _start_worker(service, pools)
        positions, orders = _start_consumer(worker)
        settler, closings = Settler(worker), _start_close(worker)
        _keep_database(worker, settler)
        _add_routes(worker, positions, orders, settler, closings)
        service.background("topics", _prepare_topics(service.settings, worker.scheme))
        worker.collector.take_over()
        async with running_broker(service, worker.broker):
            service.background("outbox", worker.outbox.run())
            yield


class Collector:
    """The policy of garbage collection: off while batches are charged, and run once in COLLECT_EVERY batches."""

    def __init__(self) -> None:
        self._batches = 0

    def take_over(self) -> None:
        """Turn off what Python does by itself."""
        gc.disable()

    def note_batch(self) -> None:
        """A batch was committed."""
        self._batches += 1
        if self._batches % COLLECT_EVERY == 0:
            gc.collect()


class Settler:
    """Reverses cancelled and resent orders, one settling step at a time."""

    def __init__(self, worker: _Worker) -> None:
        self._worker, self._lock = worker, asyncio.Lock()

    async def settle(self) -> int | None:
        """Settle what is due; returns how many orders were reversed, None where another worker is at it."""
        worker = self._worker
        async with self._lock:
            count = await settle(worker.pools.batches, worker.scheme, worker.settlement_run)
        worker.metrics.reversed.inc(count or 0)
        worker.outbox.wake()
        return count

    def periodic(self, pause_seconds: float) -> Periodic:
        """The work to run next to the server."""

        async def settle_due() -> None:
            await self.settle()

        return Periodic("settling", settle_due, pause_seconds, pauses_first=True)


@asynccontextmanager
async def _open_pools(settings: ChargingSettings) -> AsyncIterator[_Pools]:
    url, wait_seconds = settings.database.get_secret_value(), settings.pool_wait_seconds
    quick, long = Waits.of(settings), Waits.long(settings)
    async with AsyncExitStack() as stack:
        yield _Pools(
            batches=await stack.enter_async_context(open_pool(url, size=6, waits=quick)),
            whole_days=await stack.enter_async_context(open_pool(url, size=2, waits=long)),
            outbox=await stack.enter_async_context(open_pool(url, size=1, waits=quick)),
            topics=await stack.enter_async_context(open_pool(url, size=2, waits=quick)),
            requests=await stack.enter_async_context(
                open_pool(url, size=REQUEST_CONNECTIONS, waits=quick, wait_seconds=wait_seconds)
            ),
            lookups=await stack.enter_async_context(open_query_pool(url, quick, wait_seconds)),
        )


async def _start_worker(service: Service[ChargingSettings], pools: _Pools) -> _Worker:
    """Claim the database, start the two runs, and open the broker under the name of the run."""
    settings = service.settings
    scheme, author = load_scheme(settings.scheme), load_signer(settings, Role.CHARGING, settings.deployment)
    async with pools.batches.acquire() as connection:
        await claim_database(connection, settings.deployment)
        run = await start_run(connection, "orders", author, limit_seconds=settings.transaction_seconds)
        settling = await start_run(connection, "settlement", author, limit_seconds=settings.transaction_seconds)
    broker = open_broker(settings, client_id_of(run.run))
    return _Worker(
        service=service,
        pools=pools,
        scheme=scheme,
        author=author,
        enterprise_ids=await register_enterprises(pools.batches, scheme.enterprises),
        run=run,
        settlement_run=settling,
        broker=broker,
        outbox=Outbox(pools.outbox, "charging", functools.partial(_publish, broker, author)),
        metrics=Metrics(service.registry),
        decisions=Decisions(pools.requests, "charging"),
        collector=Collector(),
    )


def _start_consumer(worker: _Worker) -> tuple[HeldPositions, TopicsWatch]:
    """Charge order events, and watch their topics, the lag and the partitions of the table."""
    service, settings, pool = worker.service, worker.service.settings, worker.pools.batches
    client, group = client_options(settings), own_group(GROUP, settings.deployment)
    survey, pattern = TopicSurvey(client, group), load_deployments(settings).topics_pattern(settings.deployment)
    topic_settings = TopicSettings(survey, settings.order_timestamps)
    pauses = TopicPauses(pool, ParkRateLimit.of(settings), worker.metrics)
    positions = HeldPositions(pool, client, pauses, topic_settings.find_unfit)
    partitions, progress = DayPartitions(pool, settings.days_ahead), Progress()
    charger = BatchCharger(pool, worker.make_reader(), worker.run, partitions, pauses, worker.metrics)

    consumer = Consumer(positions, charger, progress, worker.metrics, service.fail, worker.note_commit)
    consumer.subscribe(worker.broker, settings, group, pattern)
    lag = LagWatch(positions, progress, settings.ready_commit_age_seconds)
    topics = TopicsWatch(
        settings, pool, positions, survey, topic_settings, pattern, worker.scheme.enterprises, worker.metrics
    )
    service.add_readiness("charging", lag.readiness)
    service.add_readiness("order topics", topics.readiness)
    for work in (lag.periodic(), topics.periodic(), partitions.periodic()):
        service.repeat(work)
    return positions, topics


def _start_close(worker: _Worker) -> InternalTopics:
    """Answer the ledger's questions at a close; of several workers one does it."""
    service, settings = worker.service, worker.service.settings
    rules = ClosingRules(settings.gap_days, is_alone=settings.deployments is None, by_clock=settings.scheduler)

    async def close(message: Message) -> None:
        await take_closing(worker.pools.whole_days, worker.scheme, message, worker.author, rules)
        worker.outbox.wake()

    store = TopicStore(worker.pools.topics, "charging")
    topics = InternalTopics(store, settings, verify_by(load_authors(settings, Role.LEDGER)))
    # The count of a large day takes as long as the ledger waits for it.
    reader = topics.add(DAYS_CLOSING, close, is_sole=True, limit_seconds=settings.close_timeout_seconds)
    service.add_readiness(DAYS_CLOSING, reader.readiness)
    service.background(DAYS_CLOSING, reader.run())
    service.repeat(TopicMetrics(topics, service.registry).periodic())
    return topics


def _keep_database(worker: _Worker, settler: Settler) -> None:
    """Make partitions ahead, destroy the keys of kept bytes in time, settle what is due."""
    service, settings = worker.service, worker.service.settings
    ahead = PartitionsAhead(worker.pools.batches, worker.metrics, settings.days_ahead, settings.least_days_ahead)
    keys = KeptKeys(worker.pools.whole_days, "charging", settings.kept_bytes_days)
    service.add_readiness("parts", ahead.readiness)
    service.add_readiness("kept_keys", keys.readiness)
    service.repeat(ahead.periodic(_today))
    service.repeat(keys.periodic())
    if settings.settle_seconds:
        service.repeat(settler.periodic(settings.settle_seconds))


def _add_routes(
    worker: _Worker, positions: HeldPositions, orders: TopicsWatch, settler: Settler, closings: InternalTopics
) -> None:
    settings, keys, pools = worker.service.settings, worker.service.keys, worker.pools
    decisions, wake = worker.decisions, worker.outbox.wake
    finder = DayFinder(pools.batches, settings.late_acceptance_seconds, settings.acceptance_wait_days)
    progress = ProgressQueries(pools.requests, worker.author, known_regions(settings.regions))
    parked = ParkedEvents(pools.requests, worker.broker)
    rerater = Rerater(pools.whole_days, worker.scheme, worker.author, worker.metrics, wake)
    skipper = LostEventSkipper(
        pools.requests, client_options(settings), lambda: positions.cluster_id, positions.pauses.reasons
    )
    routers: tuple[APIRouter, ...] = (
        make_decisions_router(keys, decisions),
        make_progress_router(keys, positions, progress, settler.settle, decisions, orders.describe_alarms),
        make_day_router(keys, DayQueries(pools.requests), finder, WorkerDays(pools.whole_days)),
        make_order_router(keys, OrderQueries(pools.lookups, worker.scheme.order_spans), Proofs(pools.lookups)),
        make_parked_router(keys, parked, decisions),
        make_topic_router(keys, positions, decisions, skipper),
        make_quarantine_router(keys, closings, decisions),
        make_dry_run_router(keys, DryRun(pools.requests, worker.make_reader, load_regions(settings.regions))),
        make_series_router(keys, pools.requests),
        make_rerating_router(keys, decisions, rerater),
        make_adjustment_router(keys, decisions, Adjustments(pools.whole_days, worker.author), wake),
    )
    for router in routers:
        worker.service.app.include_router(router)


def intake_limits(settings: ChargingSettings) -> IntakeLimits:
    """The limits of the intake as they are set."""
    return IntakeLimits(settings.max_event_bytes, settings.max_skew_seconds, settings.max_age_days)


async def _prepare_topics(settings: ChargingSettings, scheme: Scheme) -> None:
    """Topics are made when an enterprise is registered: a new one later is a rebalance of the whole group."""
    wanted = dict.fromkeys(topics_used_by("charging"), 1)
    wanted |= dict.fromkeys(map(orders_topic, scheme.enterprises), settings.order_partitions)
    await until_done("topics", lambda: ensure_topics(settings, wanted))


async def _publish(broker: KafkaBroker, author: AuthorSigner, topic: str, key: str, payload: bytes) -> None:
    value = signed_payload(payload, author) if topic == MANIFESTS else payload
    await publish_signed(broker, author, topic, key, value)


def _today() -> date:
    return clock.now().astimezone(SHANGHAI).date()
