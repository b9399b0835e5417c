"""The ledger (记账): books manifests, closes days, bills months, settles remittances."""

import functools
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import httpx
from sqlalchemy.ext.asyncio import AsyncEngine

from services.ledger.api.evidence_routes import make_evidence_router
from services.ledger.api.ledger_routes import make_router
from services.ledger.api.log_routes import make_proof_router, make_public_router
from services.ledger.billing.remittances import handle_remittance
from services.ledger.books.booking import book_all_waiting, handle_manifest
from services.ledger.books.missing_manifests import ASK_SECONDS, fill_gaps
from services.ledger.books.open_days import open_books
from services.ledger.books.set_aside import open_quarantine
from services.ledger.close.compare_count import handle_count
from services.ledger.close.deployment_counts import Counters
from services.ledger.close.retry_close import Overdue
from services.ledger.log.checkpoints import LogKeys, load_log_keys, sign_what_is_due
from services.ledger.log.witness import ask_witness
from services.ledger.operations.metrics import LOOK_SECONDS, Metrics, look
from services.ledger.operations.readiness import check_progress
from services.ledger.operations.scheduler import TICK_SECONDS, keep_time
from shared.adapters.crypto.author_keys import load_authors, load_signer
from shared.adapters.http.charging_deployments import ChargingWorkers, open_charging
from shared.adapters.http.quarantine_routes import make_quarantine_router
from shared.adapters.http.set_aside_routes import make_set_aside_router
from shared.adapters.kafka.admin.topic_metrics import TopicMetrics
from shared.adapters.kafka.clients import ensure_topics, open_broker
from shared.adapters.kafka.internal_topics import InternalTopics
from shared.adapters.kafka.message_authors import verify_by
from shared.adapters.kafka.signed_messages import publish_signed
from shared.adapters.postgres.engine import open_engine
from shared.adapters.postgres.faults import describe
from shared.adapters.postgres.kept_keys import KeptKeys
from shared.adapters.postgres.outbox import Outbox
from shared.adapters.postgres.pool import Waits, open_pool
from shared.adapters.postgres.topic_store import TopicStore
from shared.adapters.working_days import is_working_day
from shared.contracts.quarantine import Message
from shared.contracts.topic_rights import topics_used_by
from shared.contracts.topics import DAYS_COUNTED, MANIFESTS, REMITTANCES
from shared.domain.calendar import insured_day
from shared.domain.evidence.authors import Role
from shared.runtime.clock import now
from shared.runtime.deployments import load_deployments
from shared.runtime.periodic import Periodic, Step, until_done
from shared.runtime.service import Service, run_service
from shared.runtime.settings import Settings

ENGINE_SIZE = 8
DOOR_SIZE = 4
"""Connections for requests; what books, closes and signs has its own."""
WITNESS_SECONDS = 5.0
"""A witness that takes longer is asked again; a transaction is open meanwhile."""
LOG_SECONDS = 1.0
"""Pause between two looks whether a checkpoint is due, and whether one is without a cosignature."""


@asynccontextmanager
async def compose(service: Service) -> AsyncIterator[None]:
    """Put the ledger together."""
    settings = service.settings
    broker, metrics = open_broker(settings), Metrics.make(service.registry)
    url, log_keys = settings.database.get_secret_value(), load_log_keys(settings)
    author, authors = load_signer(settings, Role.LEDGER), load_authors(settings, Role.CHARGING)
    waits = Waits.of(settings)
    async with (
        open_engine(url, size=ENGINE_SIZE, waits=waits) as engine,
        open_engine(url, size=DOOR_SIZE, waits=waits, wait_seconds=settings.pool_wait_seconds) as door,
        open_pool(url, size=1, waits=waits) as outgoing,
        open_pool(url, size=3, waits=waits) as reading,
        open_charging(load_deployments(settings), settings) as charging,
        _witness(settings) as witness,
    ):
        await open_books(engine, settings.books_open_on or insured_day(now()))
        outbox = Outbox(outgoing, "ledger", functools.partial(publish_signed, broker, author))
        internal = InternalTopics(TopicStore(reading, "ledger"), settings, verify_by(authors))
        counters = Counters(authors, frozenset(charging), ChargingWorkers(charging))
        subscribe(internal, engine, metrics, outbox, counters)
        service.app.include_router(make_quarantine_router(service.keys, internal))
        service.app.include_router(make_router(service.keys, door, settings, is_working_day, outbox.wake))
        service.app.include_router(make_set_aside_router(service.keys, door, open_quarantine(door), outbox.wake))
        service.app.include_router(make_public_router(door, log_keys))
        service.app.include_router(make_proof_router(door, log_keys, service.keys))
        service.app.include_router(make_evidence_router(door, log_keys, service.keys))
        service.add_readiness("books", lambda: check_progress(engine, settings.ready_commit_age_seconds))
        topics = dict.fromkeys(topics_used_by("ledger"), 1)
        service.background("topics", until_done("topics", lambda: ensure_topics(settings, topics)))
        service.background("inbox", until_done("inbox", lambda: _catch_up(engine)))
        wait_seconds = settings.message_wait_seconds
        gaps = functools.partial(fill_gaps, engine, authors, *charging.values(), wait_seconds=wait_seconds)
        _repeat(service, engine, metrics, outbox, gaps)
        _keep_log(service, engine, log_keys, witness)
        _erase_in_time(service, KeptKeys(reading, "ledger", settings.kept_bytes_days))
        for reader in internal.readers:
            service.add_readiness(reader.topic, reader.readiness)
            service.background(reader.topic, reader.run())
        service.repeat(TopicMetrics(internal, service.registry).periodic())
        async with service.running(broker):
            service.background("outbox", outbox.run())
            yield


def _repeat(
    service: Service, engine: AsyncEngine, metrics: Metrics, outbox: Outbox, gaps: Callable[[], Awaitable[int]]
) -> None:
    settings = service.settings
    overdue = Overdue(engine, settings.close_timeout_seconds, outbox.wake)

    async def fill() -> None:
        await gaps()

    work: dict[str, tuple[Step, float]] = {
        "gaps": (fill, ASK_SECONDS),
        "overdue": (overdue.look, LOOK_SECONDS),
        "metrics": (lambda: look(engine, metrics, settings), LOOK_SECONDS),
    }
    if settings.scheduler:
        tick = functools.partial(keep_time, engine, settings.close_after_hours, is_working_day, outbox.wake)
        work["scheduler"] = (tick, TICK_SECONDS)
    for name, (step, pause_seconds) in work.items():
        service.repeat(Periodic(name, step, pause_seconds, describe=describe))


def _keep_log(service: Service, engine: AsyncEngine, keys: LogKeys, witness: httpx.AsyncClient) -> None:
    async def sign() -> None:
        await sign_what_is_due(engine, keys, service.settings.checkpoint_seconds)

    async def ask() -> None:
        await ask_witness(engine, keys, witness)

    service.repeat(Periodic("checkpoint", sign, LOG_SECONDS, describe=describe))
    if keys.witnesses:
        service.repeat(Periodic("witness", ask, LOG_SECONDS, describe=describe))


def _erase_in_time(service: Service, keys: KeptKeys) -> None:
    """Destroy the keys of quarantined messages when their time is over; a key that is left too long is an alarm."""
    service.add_readiness("kept_keys", keys.readiness)
    service.repeat(keys.periodic())


def _witness(settings: Settings) -> httpx.AsyncClient:
    """No key is shown: the signature on the checkpoint is what the witness goes by."""
    return httpx.AsyncClient(base_url=settings.platform_url, timeout=WITNESS_SECONDS, trust_env=False)


def subscribe(
    topics: InternalTopics, engine: AsyncEngine, metrics: Metrics, outbox: Outbox, counters: Counters
) -> None:
    """Say what is done with a message of each topic that the ledger reads."""

    async def manifest(message: Message) -> None:
        metrics.manifests.labels((await handle_manifest(engine, message.body, counters.authors)).state).inc()

    async def count(message: Message) -> None:
        metrics.counts.labels(await handle_count(engine, message.body, counters)).inc()
        outbox.wake()

    async def remittance(message: Message) -> None:
        metrics.remittances.labels(await handle_remittance(engine, message.body)).inc()

    topics.add(MANIFESTS, manifest)
    topics.add(DAYS_COUNTED, count)
    topics.add(REMITTANCES, remittance)


async def _catch_up(engine: AsyncEngine) -> None:
    await book_all_waiting(engine)


if __name__ == "__main__":
    sys.exit(run_service("ledger", compose))
