"""Charging (计费): one worker. Start as many as there are partitions to share."""

import asyncio
import functools
import gc
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from faststream.kafka import KafkaBroker

from services.charging.api.adjustment_routes import make_adjustment_router
from services.charging.api.charging_routes import make_router
from services.charging.api.proof_routes import make_proof_router
from services.charging.api.rerate_routes import Rerater, make_rerating_router
from services.charging.api.series_routes import make_series_router
from services.charging.api.worker_day_routes import make_worker_days_router
from services.charging.close.order_findings import DayFinder
from services.charging.close.settlement import settle
from services.charging.close.take_closing import ClosingRules, take_closing
from services.charging.close.worker_days import WorkerDays
from services.charging.ingest.batch_reader import EventReader
from services.charging.ingest.consumer import Consumer
from services.charging.ingest.skip_lost_events import LostEventSkipper, make_skip_router
from services.charging.ingest.topics_watch import TopicsWatch, client_id_of
from services.charging.metrics import Metrics
from services.charging.queries.days import Lookup
from services.charging.queries.dry_run import Trials, make_trial_router
from services.charging.queries.orders import OrderLookup
from services.charging.queries.parked_events import ParkedEvents
from services.charging.queries.proofs import Proofs
from services.charging.rerate.reverse_outside import Adjustments
from services.charging.settings import ChargingSettings
from services.charging.store.day_partitions import PartitionsAhead
from services.charging.store.deployment import claim_database
from services.charging.store.manifests import Run, signed_payload, start_run
from services.charging.store.partition_queries import open_asking
from shared.adapters.crypto.author_keys import load_authors, load_signer
from shared.adapters.crypto.hashing import check_hashing
from shared.adapters.crypto.signing import AuthorSigner
from shared.adapters.files.regions import known_regions
from shared.adapters.files.scheme import load_scheme
from shared.adapters.http.decision_routes import make_decisions_router
from shared.adapters.http.quarantine_routes import make_quarantine_router
from shared.adapters.kafka.admin.topic_metrics import TopicMetrics
from shared.adapters.kafka.clients import ensure_topics, open_broker
from shared.adapters.kafka.internal_topics import InternalTopics
from shared.adapters.kafka.message_authors import verify_by
from shared.adapters.kafka.security import client_options
from shared.adapters.kafka.signed_messages import publish_signed
from shared.adapters.postgres.decisions import Decisions
from shared.adapters.postgres.outbox import Outbox
from shared.adapters.postgres.pool import Pool, Waits, open_pool
from shared.adapters.postgres.sealing.kept_keys import KeptKeys
from shared.adapters.postgres.topic_store import TopicStore
from shared.adapters.run_service import run_service, running_broker
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

DOOR_POOL = 3
"""Connections for requests; the consumer's own are never taken by them."""


@asynccontextmanager
async def compose(service: Service[ChargingSettings]) -> AsyncIterator[None]:
    """Put the worker together."""
    settings = service.settings
    check_hashing()
    scheme, author = load_scheme(settings.scheme), load_signer(settings, Role.CHARGING, settings.deployment)
    url = settings.database.get_secret_value()
    quick, long = Waits.of(settings), Waits.long(settings)
    async with (
        open_pool(url, size=6, waits=quick) as pool,
        open_pool(url, size=2, waits=long) as whole_days,
        open_pool(url, size=1, waits=quick) as outgoing,
        open_pool(url, size=2, waits=quick) as reading,
        open_pool(url, size=DOOR_POOL, waits=quick, wait_seconds=settings.pool_wait_seconds) as door,
        open_asking(url, quick, settings.pool_wait_seconds) as asking,
    ):
        metrics = Metrics(service.registry)
        run, settlement_run = await _start_runs(pool, settings, author)
        broker = open_broker(settings, client_id_of(run.run))
        outbox = Outbox(outgoing, "charging", functools.partial(_publish, broker, author))
        ids = await _register(pool, scheme)

        def make_reader() -> EventReader:
            return EventReader(scheme, known_regions(), ids, _limits(settings))

        consumer = Consumer(settings, pool, make_reader(), run, metrics, service.die, outbox.wake)
        topics = load_deployments(settings).topics_pattern(settings.deployment)
        consumer.subscribe(broker, topics)
        _watch_topics(service, TopicsWatch(settings, pool, consumer, topics, scheme.enterprises, metrics), consumer)

        internal = _read_closings(service, TopicStore(reading, "charging"), whole_days, scheme, author, outbox)
        settling = asyncio.Lock()

        async def settle_once() -> int | None:
            async with settling:
                count = await settle(pool, scheme, settlement_run)
            metrics.reversed.inc(count or 0)
            outbox.wake()
            return count

        async def settle_due() -> None:
            await settle_once()

        finder = DayFinder(pool, settings.late_acceptance_seconds, settings.acceptance_wait_days)
        decisions = Decisions(door, "charging")
        service.app.include_router(make_decisions_router(service.keys, decisions))
        lookup, orders, parked = Lookup(door, author), OrderLookup(asking), ParkedEvents(door, broker)
        service.app.include_router(
            make_router(service.keys, consumer, lookup, orders, finder, parked, settle_once, decisions)
        )
        service.app.include_router(make_quarantine_router(service.keys, internal, decisions))
        service.app.include_router(make_proof_router(service.keys, Proofs(asking)))
        service.app.include_router(make_trial_router(service.keys, Trials(door, make_reader)))
        service.app.include_router(make_worker_days_router(service.keys, WorkerDays(whole_days)))
        service.app.include_router(make_series_router(service.keys, door))
        rerater, adjustments = (
            Rerater(whole_days, scheme, author, metrics, outbox.wake),
            Adjustments(whole_days, author),
        )
        for correcting in (
            make_rerating_router(service.keys, decisions, rerater),
            make_adjustment_router(service.keys, decisions, adjustments, outbox.wake),
            make_skip_router(service.keys, decisions, LostEventSkipper(door, consumer, client_options(settings))),
        ):
            service.app.include_router(correcting)
        service.add_readiness("charging", consumer.readiness)
        service.background("topics", _prepare_topics(settings, scheme))
        _watch(service, consumer, whole_days)
        ahead = PartitionsAhead(pool, metrics, settings.days_ahead, settings.least_days_ahead)
        service.add_readiness("parts", ahead.readiness)
        service.repeat(ahead.periodic(lambda: clock.now().astimezone(SHANGHAI).date()))
        if settings.settle_seconds:
            service.repeat(Periodic("settling", settle_due, settings.settle_seconds, pauses_first=True))
        gc.disable()
        async with running_broker(service, broker):
            service.background("outbox", outbox.run())
            yield


def _watch(service: Service[ChargingSettings], consumer: Consumer, pool: Pool) -> None:
    """Look after the lag, the open day's summaries, and the keys of kept bytes, which are destroyed in time."""
    service.repeat(consumer.periodic())
    service.repeat(consumer.partitions.periodic())
    keys = KeptKeys(pool, "charging", service.settings.kept_bytes_days)
    service.add_readiness("kept_keys", keys.readiness)
    service.repeat(keys.periodic())


def _read_closings(
    service: Service[ChargingSettings],
    store: TopicStore,
    pool: Pool,
    scheme: Scheme,
    author: AuthorSigner,
    outbox: Outbox,
) -> InternalTopics:
    """Start to answer what the ledger asks at a close; of several workers one does it."""
    settings = service.settings
    rules = ClosingRules(settings.gap_days, is_alone=settings.deployments is None, by_clock=settings.scheduler)

    async def close(message: Message) -> None:
        await take_closing(pool, scheme, message, author, rules)
        outbox.wake()

    topics = InternalTopics(store, settings, verify_by(load_authors(settings, Role.LEDGER)))
    # The count of a large day takes as long as the ledger waits for it.
    reader = topics.add(DAYS_CLOSING, close, is_sole=True, limit_seconds=settings.close_timeout_seconds)
    service.add_readiness(DAYS_CLOSING, reader.readiness)
    service.background(DAYS_CLOSING, reader.run())
    service.repeat(TopicMetrics(topics, service.registry).periodic())
    return topics


def _limits(settings: ChargingSettings) -> IntakeLimits:
    return IntakeLimits(settings.max_event_bytes, settings.max_skew_seconds, settings.max_age_days)


async def _start_runs(pool: Pool, settings: ChargingSettings, author: AuthorSigner) -> tuple[Run, Run]:
    """One for order events and one for settling."""
    async with pool.acquire() as connection:
        await claim_database(connection, settings.deployment)
        run = await start_run(connection, "orders", author, limit_seconds=settings.transaction_seconds)
        settlement_run = await start_run(connection, "settlement", author, limit_seconds=settings.transaction_seconds)
    return run, settlement_run


def _watch_topics(service: Service[ChargingSettings], watch: TopicsWatch, consumer: Consumer) -> None:
    consumer.find_unfit = watch.find_unfit
    service.add_readiness("order topics", watch.readiness)
    service.repeat(watch.periodic())


async def _register(pool: Pool, scheme: Scheme) -> dict[str, int]:
    """Every enterprise of the scheme gets its small number once."""
    await pool.execute(
        "insert into charging.enterprise (uscc) select u from unnest($1::text[]) u"
        " where not exists (select 1 from charging.enterprise e where e.uscc = u) order by u on conflict do nothing",
        sorted(scheme.enterprises),
    )
    return {row["uscc"]: row["id"] for row in await pool.fetch("select uscc, id from charging.enterprise")}


async def _prepare_topics(settings: ChargingSettings, scheme: Scheme) -> None:
    """Topics are made when an enterprise is registered: a new one later is a rebalance of the whole group."""
    wanted = dict.fromkeys(topics_used_by("charging"), 1)
    wanted |= dict.fromkeys(map(orders_topic, scheme.enterprises), settings.order_partitions)
    await until_done("topics", lambda: ensure_topics(settings, wanted))


async def _publish(broker: KafkaBroker, author: AuthorSigner, topic: str, key: str, payload: bytes) -> None:
    value = signed_payload(payload, author) if topic == MANIFESTS else payload
    await publish_signed(broker, author, topic, key, value)


if __name__ == "__main__":
    sys.exit(run_service("charging", ChargingSettings, compose))
