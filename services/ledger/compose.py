"""Puts the ledger together."""

import functools
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

import httpx
from sqlalchemy.ext.asyncio import AsyncEngine

from services.ledger.api.evidence_routes import make_evidence_router
from services.ledger.api.ledger_routes import make_router
from services.ledger.api.log_routes import make_proof_router, make_public_router
from services.ledger.billing.due_dates import adopt_calendar
from services.ledger.billing.remittances import handle_remittance
from services.ledger.books.booking import book_all_waiting, handle_manifest
from services.ledger.books.clocks import Clocks
from services.ledger.books.missing_manifests import QUERY_SECONDS, fill_gaps
from services.ledger.books.open_days import open_books
from services.ledger.books.set_aside import open_quarantine
from services.ledger.close.compare_count import handle_count
from services.ledger.close.deployment_counts import CountingDeployments
from services.ledger.close.retry_close import CloseRetry
from services.ledger.log.checkpoints import LogKeys, load_log_keys, sign_due_checkpoint
from services.ledger.log.witness import request_cosignature
from services.ledger.operations.metrics import REFRESH_SECONDS, Metrics, refresh_gauges
from services.ledger.operations.readiness import check_clocks, check_progress
from services.ledger.operations.scheduler import TICK_SECONDS, do_duties_now
from services.ledger.settings import LedgerSettings
from shared.adapters.crypto.author_keys import load_authors, load_signer
from shared.adapters.files.holiday_calendar import load_calendar
from shared.adapters.http.charging_deployments import ChargingWorkers, open_charging
from shared.adapters.http.clients import make_client
from shared.adapters.http.decision_routes import make_decisions_router
from shared.adapters.http.quarantine_routes import make_quarantine_router
from shared.adapters.http.set_aside_routes import make_set_aside_router
from shared.adapters.kafka.clients import ensure_topics
from shared.adapters.kafka.faststream_broker import open_broker, publish_signed
from shared.adapters.kafka.internal.internal_topics import InternalTopics
from shared.adapters.kafka.internal.message_authors import verify_by
from shared.adapters.kafka.internal.record_clock import RecordClock
from shared.adapters.kafka.internal.topic_metrics import TopicMetrics
from shared.adapters.postgres.decisions import Decisions
from shared.adapters.postgres.engine import open_engine
from shared.adapters.postgres.faults import describe
from shared.adapters.postgres.outbox import Outbox
from shared.adapters.postgres.pool import Pool, Waits, open_pool
from shared.adapters.postgres.sealing.kept_keys import KeptKeys
from shared.adapters.postgres.topic_store import TopicStore
from shared.adapters.run_service import running_broker
from shared.contracts.quarantine import Message
from shared.contracts.topic_rights import topics_used_by
from shared.contracts.topics import DAYS_COUNTED, MANIFESTS, REMITTANCES
from shared.domain.calendar import insured_day
from shared.domain.evidence.authors import Authors, Role
from shared.domain.working_days import WorkingDays
from shared.runtime.clock import now
from shared.runtime.deployments import load_deployments
from shared.runtime.periodic import Periodic, Step, until_done
from shared.runtime.service import Service

WORK_CONNECTIONS = 8
REQUEST_CONNECTIONS = 4
"""Connections for requests; what books, closes and signs has its own."""
WITNESS_SECONDS = 5.0
"""A witness that takes longer gets the request again; a transaction is open meanwhile."""
LOG_SECONDS = 1.0
"""Pause between two checks whether a checkpoint is due, and whether one is without a cosignature."""


@dataclass(frozen=True, slots=True)
class Connections:
    """Connections opened once: two database pools for its work, one for requests, and other services."""

    engine: AsyncEngine
    requests: AsyncEngine
    outgoing: Pool
    reading: Pool
    charging: Mapping[str, httpx.AsyncClient]
    witness: httpx.AsyncClient


@asynccontextmanager
async def compose(service: Service[LedgerSettings]) -> AsyncIterator[None]:
    """Open the connections, start the background work, add the routes; raises `Refused` for a bad setting."""
    settings, log_keys = service.settings, load_log_keys(service.settings)
    calendar = load_calendar(settings.calendar)
    signer, authors = load_signer(settings, Role.LEDGER), load_authors(settings, Role.CHARGING)
    async with AsyncExitStack() as stack:
        broker, metrics = open_broker(settings), Metrics.make(service.registry)
        connections = await _open_connections(stack, settings)
        await open_books(connections.engine, settings.books_open_on or insured_day(now()))
        await adopt_calendar(connections.engine, calendar)
        outbox = Outbox(connections.outgoing, "ledger", functools.partial(publish_signed, broker, signer))
        topics = InternalTopics(TopicStore(connections.reading, "ledger"), settings, verify_by(authors))
        charging = connections.charging
        deployments = CountingDeployments(authors, frozenset(charging), ChargingWorkers(charging))
        record_clocks: list[RecordClock] = []
        clocks = Clocks(timedelta(seconds=settings.clock_span_seconds), record_clocks)
        scheduler = _schedule(service, connections.engine, outbox, calendar, clocks)

        def wake_after_count() -> None:
            outbox.wake()
            scheduler.wake()

        record_clocks += subscribe(topics, connections.engine, metrics, wake_after_count, deployments, clocks)
        _add_routes(service, connections, log_keys, topics, outbox, calendar, clocks)
        _read_topics(service, topics, connections.engine)
        _repeat_duties(service, connections, metrics, outbox, authors, calendar, clocks)
        _keep_log(service, connections.engine, log_keys, connections.witness)
        _erase_in_time(service, KeptKeys(connections.reading, "ledger", settings.kept_bytes_days))
        async with running_broker(service, broker):
            service.background("outbox", outbox.run())
            yield


async def _open_connections(stack: AsyncExitStack, settings: LedgerSettings) -> Connections:
    url, waits = settings.database.get_secret_value(), Waits.of(settings)
    enter = stack.enter_async_context
    return Connections(
        engine=await enter(open_engine(url, size=WORK_CONNECTIONS, waits=waits)),
        requests=await enter(
            open_engine(url, size=REQUEST_CONNECTIONS, waits=waits, wait_seconds=settings.pool_wait_seconds)
        ),
        outgoing=await enter(open_pool(url, size=1, waits=waits)),
        reading=await enter(open_pool(url, size=3, waits=waits)),
        charging=await enter(open_charging(load_deployments(settings), settings)),
        # No key is shown to the witness: it goes by the signature on the checkpoint.
        witness=await enter(make_client(settings, settings.platform_url, WITNESS_SECONDS)),
    )


def subscribe(
    topics: InternalTopics,
    engine: AsyncEngine,
    metrics: Metrics,
    wake: Callable[[], None],
    deployments: CountingDeployments,
    clocks: Clocks,
) -> list[RecordClock]:
    """Name the handler of each topic that the ledger reads; returns the record times of what charging sends.

    `wake` is called after each answer to a close.
    """

    async def manifest(message: Message) -> None:
        metrics.manifests.labels((await handle_manifest(engine, message.body, deployments.authors)).state).inc()

    async def count(message: Message) -> None:
        metrics.counts.labels(await handle_count(engine, message.body, deployments)).inc()
        wake()

    async def remittance(message: Message) -> None:
        metrics.remittances.labels(await handle_remittance(engine, message.body, clocks)).inc()

    topics.add(REMITTANCES, remittance)
    return [topics.add(MANIFESTS, manifest).record_clock, topics.add(DAYS_COUNTED, count).record_clock]


def _add_routes(
    service: Service[LedgerSettings],
    connections: Connections,
    log_keys: LogKeys,
    topics: InternalTopics,
    outbox: Outbox,
    calendar: WorkingDays,
    clocks: Clocks,
) -> None:
    requests, decisions = connections.requests, Decisions(connections.reading, "ledger")
    for router in (
        make_decisions_router(service.keys, decisions),
        make_quarantine_router(service.keys, topics, decisions),
        make_router(service.keys, requests, service.settings, calendar, outbox.wake, decisions, clocks),
        make_set_aside_router(service.keys, requests, open_quarantine(requests), outbox.wake, decisions),
        make_public_router(requests, log_keys),
        make_proof_router(requests, log_keys, service.keys),
        make_evidence_router(requests, log_keys, service.keys),
    ):
        service.app.include_router(router)


def _read_topics(service: Service[LedgerSettings], topics: InternalTopics, engine: AsyncEngine) -> None:
    wanted = dict.fromkeys(topics_used_by("ledger"), 1)
    service.background("topics", until_done("topics", lambda: ensure_topics(service.settings, wanted)))
    service.background("inbox", until_done("inbox", lambda: _catch_up(engine)))
    for reader in topics.readers:
        service.add_readiness(reader.topic, reader.readiness)
        service.background(reader.topic, reader.run())
    service.repeat(TopicMetrics(topics, service.registry).periodic())


async def _catch_up(engine: AsyncEngine) -> None:
    await book_all_waiting(engine)


def _repeat_duties(
    service: Service[LedgerSettings],
    connections: Connections,
    metrics: Metrics,
    outbox: Outbox,
    authors: Authors,
    calendar: WorkingDays,
    clocks: Clocks,
) -> None:
    settings, engine = service.settings, connections.engine
    service.add_readiness("books", lambda: check_progress(engine, settings.ready_commit_age_seconds))
    service.add_readiness("clocks", lambda: check_clocks(engine, clocks))
    wait_seconds = settings.message_wait_seconds

    async def fill() -> None:
        await fill_gaps(engine, authors, *connections.charging.values(), wait_seconds=wait_seconds)

    retry = CloseRetry(engine, settings.close_timeout_seconds, outbox.wake)
    duties: dict[str, tuple[Step, float]] = {
        "gaps": (fill, QUERY_SECONDS),
        "overdue": (retry.check, REFRESH_SECONDS),
        "metrics": (lambda: refresh_gauges(engine, metrics, settings, calendar, clocks), REFRESH_SECONDS),
    }
    for name, (duty, pause_seconds) in duties.items():
        service.repeat(Periodic(name, duty, pause_seconds, describe=describe))


def _schedule(
    service: Service[LedgerSettings], engine: AsyncEngine, outbox: Outbox, calendar: WorkingDays, clocks: Clocks
) -> Periodic:
    """Repeat what is due by the clock, if the settings say so; woken when a day was closed, for the next may be due."""
    hours = service.settings.close_after_hours
    tick = functools.partial(do_duties_now, engine, hours, calendar, outbox.wake, clocks)
    scheduler = Periodic("scheduler", tick, TICK_SECONDS, describe=describe)
    if service.settings.scheduler:
        service.repeat(scheduler)
    return scheduler


def _keep_log(service: Service[LedgerSettings], engine: AsyncEngine, keys: LogKeys, witness: httpx.AsyncClient) -> None:
    async def sign() -> None:
        await sign_due_checkpoint(engine, keys, service.settings.checkpoint_seconds)

    async def cosign() -> None:
        await request_cosignature(engine, keys, witness)

    service.repeat(Periodic("checkpoint", sign, LOG_SECONDS, describe=describe))
    if keys.witnesses:
        service.repeat(Periodic("witness", cosign, LOG_SECONDS, describe=describe))


def _erase_in_time(service: Service[LedgerSettings], keys: KeptKeys) -> None:
    """Destroy the keys of quarantined messages when their time is over; a key that is left too long is an alarm."""
    service.add_readiness("kept_keys", keys.readiness)
    service.repeat(keys.periodic())
