"""Compose reporting from its parts."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncEngine

from services.reporting.access.authentication import Access
from services.reporting.access.file_keys import register_file_keys
from services.reporting.access.own_password import make_own_password_router
from services.reporting.access.passwords import Passwords
from services.reporting.access.sign_in import make_sign_in_router
from services.reporting.api import internal_routes
from services.reporting.api.account_routes import make_account_router
from services.reporting.api.acknowledgement_routes import KEY_PATH, make_acknowledgement_router
from services.reporting.api.portal_routes import PortalContext, make_read_router
from services.reporting.api.rebuild_routes import make_rebuild_router
from services.reporting.api.receipt_routes import make_receipt_router
from services.reporting.api.register_routes import register_routes
from services.reporting.api.statement_routes import make_statement_router
from services.reporting.delivery.build import Builder
from services.reporting.delivery.send import Sender
from services.reporting.message_intake import Intake
from services.reporting.metrics import Metrics
from services.reporting.pages import portal
from services.reporting.pages.receipt_page import make_page_router
from services.reporting.read_model.projector import Projector
from services.reporting.receipts.order_receipts import OrderReceipts
from services.reporting.register.examine_days import Examiner
from services.reporting.register.set_aside import SetAsideGauge, open_quarantine
from services.reporting.rendering.layout import PageRenderer
from services.reporting.rendering.page_context import PageContext
from services.reporting.service_clients import Charging, InternalApi, Sources, open_apis
from services.reporting.settings import ReportingSettings
from shared.adapters.crypto.author_keys import load_authors
from shared.adapters.crypto.signing import NoteSigner, Signer
from shared.adapters.files.holiday_calendar import load_calendar
from shared.adapters.files.scheme import load_scheme
from shared.adapters.files.vkeys import read_authors, read_vkeys
from shared.adapters.http.national_platform import NationalPlatform, open_national_platform
from shared.adapters.http.quarantine_routes import make_quarantine_router
from shared.adapters.http.set_aside_routes import make_set_aside_router
from shared.adapters.kafka.clients import ensure_topics
from shared.adapters.kafka.internal.internal_topics import InternalTopics
from shared.adapters.kafka.internal.message_authors import verify_by
from shared.adapters.kafka.internal.topic_metrics import TopicMetrics
from shared.adapters.postgres.engine import open_engine
from shared.adapters.postgres.faults import describe
from shared.adapters.postgres.pool import Pool, Waits, open_pool
from shared.adapters.postgres.sealing.kept_keys import KeptKeys
from shared.adapters.postgres.topic_store import TopicStore
from shared.contracts.topic_rights import topics_used_by
from shared.domain.errors import Refused
from shared.domain.evidence.authors import Authors, Role
from shared.domain.evidence.signed_note import ED25519
from shared.domain.scheme.rating import Scheme
from shared.domain.working_days import WorkingDays
from shared.runtime.periodic import Periodic, Step, until_done
from shared.runtime.service import Service

WORK_CONNECTIONS = 8
POLL_SECONDS = 0.5
"""Seconds between checks for due work when nothing wakes them."""
REQUEST_CONNECTIONS = 4
"""Connections for signing in and for the other services."""
PORTAL_CONNECTIONS = 8
"""Connections for pages and the read API; what is built, sent, examined and projected has its own."""


@asynccontextmanager
async def compose(service: Service[ReportingSettings]) -> AsyncIterator[None]:
    """Everything, with its topics; raises `Refused` for a bad setting."""
    settings = service.settings
    url, waits = settings.database.get_secret_value(), Waits.of(settings)
    async with assemble(service) as intake, open_pool(url, size=3, waits=waits) as reading:
        # The first service to start makes the topics.
        wanted = dict.fromkeys(topics_used_by("reporting"), 1)
        service.background("topics", until_done("topics", lambda: ensure_topics(settings, wanted)))
        topics = read_topics(intake, reading, settings, load_authors(settings, Role.CHARGING, Role.LEDGER))
        for reader in topics.readers:
            service.add_readiness(reader.topic, reader.readiness)
            service.background(reader.topic, reader.run())
        service.app.include_router(make_quarantine_router(service.keys, topics, None))
        service.repeat(TopicMetrics(topics, service.registry).periodic())
        yield


def read_topics(intake: Intake, pool: Pool, settings: ReportingSettings, authors: Authors) -> InternalTopics:
    """Everything that reporting reads, not started yet."""
    topics = InternalTopics(TopicStore(pool, "reporting"), settings, verify_by(authors))
    for topic in intake.topics:
        topics.add(topic, intake.take)
    return topics


@dataclass(frozen=True, slots=True)
class Connections:
    """Resources that reporting opens once: pools for work, requests and the portal login; clients of services."""

    engine: AsyncEngine
    requests: AsyncEngine
    portal: AsyncEngine
    charging: Charging
    ledger: InternalApi
    sources: Sources
    platform: NationalPlatform


@dataclass(frozen=True, slots=True)
class Work:
    """The periodic work on what was published."""

    sending: Periodic
    building: Periodic
    examining: Periodic
    projecting: Periodic
    projector: Projector

    def wake(self) -> None:
        """Work on a new message now; what is built wakes the sending."""
        for periodic in (self.building, self.examining, self.projecting):
            periodic.wake()


@asynccontextmanager
async def assemble(service: Service[ReportingSettings]) -> AsyncIterator[Intake]:
    """Open the connections, add the routes, start the work; messages of the topics go into the intake."""
    settings = service.settings
    if settings.signing_key is None:
        raise Refused("DANBAO_SIGNING_KEY is not set: reports could not be signed")
    signer, scheme = Signer(settings.signing_key), load_scheme(settings.scheme)
    calendar = load_calendar(settings.calendar)
    note_signer = NoteSigner(settings.signing_key, settings.acknowledgement_name, ED25519)
    metrics = Metrics(service.registry)
    async with AsyncExitStack() as stack:
        connections = await _open_connections(service, stack, signer)
        await _erase_in_time(service, stack)
        sender = Sender(
            connections.engine, connections.platform, metrics, settings.report_attempts, settings.report_retry_seconds
        )
        stack.push_async_callback(sender.close)
        work = _make_work(connections, settings, metrics, sender, calendar)
        access = Access(connections.portal, service.keys)
        public, page = _open_gate(service, access)
        _add_api(service, connections, work, access, note_signer)
        _add_portal(service, connections, access, scheme, public, page)
        _start(service, connections.requests, metrics, (work.building, work.sending, work.examining, work.projecting))
        yield Intake(connections.engine, work.wake, timedelta(seconds=settings.clock_span_seconds))


async def _open_connections(service: Service[ReportingSettings], stack: AsyncExitStack, signer: Signer) -> Connections:
    settings, enter = service.settings, stack.enter_async_context
    url, waits = settings.database.get_secret_value(), Waits.of(settings)
    engine = await enter(open_engine(url, size=WORK_CONNECTIONS, waits=waits))
    charging, ledger = await enter(open_apis(settings))
    return Connections(
        engine=engine,
        requests=await enter(
            open_engine(url, size=REQUEST_CONNECTIONS, waits=waits, wait_seconds=settings.pool_wait_seconds)
        ),
        portal=await _open_portal(service, stack, engine, waits),
        charging=charging,
        ledger=ledger,
        sources=Sources(charging, ledger),
        platform=await enter(open_national_platform(settings, signer, settings.report_timeout_seconds)),
    )


async def _open_portal(
    service: Service[ReportingSettings], stack: AsyncExitStack, engine: AsyncEngine, waits: Waits
) -> AsyncEngine:
    """Connections of the portal's own login; the service's registers the keys of the file for it."""
    settings = service.settings
    if not (url := settings.portal_database.get_secret_value()):
        raise Refused("DANBAO_PORTAL_DATABASE is not set: the portal logs in as danbao_portal, and as nobody else")
    await register_file_keys(engine, service.keys)
    opening = open_engine(url, size=PORTAL_CONNECTIONS, waits=waits, wait_seconds=settings.pool_wait_seconds)
    return await stack.enter_async_context(opening)


def _make_work(
    connections: Connections, settings: ReportingSettings, metrics: Metrics, sender: Sender, calendar: WorkingDays
) -> Work:
    engine, sources = connections.engine, connections.sources
    sending = _periodic("sending", sender.step)
    builder = Builder(engine, sources, metrics, settings.registration_tokens, lambda: building.beat())  # noqa: PLW0108  # made below

    async def build() -> int:
        try:
            built = await builder.step()
        except Exception:
            sending.wake()  # what was built before the failure
            raise
        if built:
            sending.wake()
        return built

    building = _periodic("building", build)
    examiner = Examiner(
        engine, sources, metrics, calendar.is_regular_day, settings.acceptance_wait_days,
        lambda: examining.beat(),  # noqa: PLW0108  # made below
    )  # fmt: skip
    examining = _periodic("examining", examiner.step)
    projector = Projector(engine)
    return Work(sending, building, examining, _periodic("projecting", projector.step), projector)


def _add_api(
    service: Service[ReportingSettings], connections: Connections, work: Work, access: Access, note_signer: NoteSigner
) -> None:
    requests, sources = connections.requests, connections.sources
    for router in (
        internal_routes.routes(
            service.keys,
            requests,
            sources,
            connections.platform,
            work.sending.wake,
            timedelta(seconds=service.settings.clock_span_seconds),
        ),
        make_rebuild_router(service.keys, work.projector, work.projecting.wake),
        make_acknowledgement_router(access, sources, note_signer),
        register_routes(access, connections.portal),
    ):
        service.app.include_router(router)


def _add_portal(
    service: Service[ReportingSettings],
    connections: Connections,
    access: Access,
    scheme: Scheme,
    public: str,
    page: str,
) -> None:
    """Add the portal: its API, its pages under `public`, and the page that checks receipts."""
    engine, requests = connections.portal, connections.requests
    sources, ledger = connections.sources, connections.ledger
    renderer, passwords = PageRenderer(scheme.names), Passwords()
    receipts = OrderReceipts(connections.charging, ledger)
    vkeys = _public_keys(service.settings.vkeys) if service.settings.vkeys else []
    joined = scheme.joined_at
    reading = PortalContext(engine, access, sources, joined, scheme.names)
    for router in (
        make_read_router(reading),
        make_statement_router(reading),
        make_receipt_router(access, engine, receipts, ledger, page),
        make_page_router(vkeys, scheme.names),
        make_account_router(engine, access, passwords, public),
        make_own_password_router(requests, access, passwords, renderer.page),
        make_sign_in_router(requests, access, passwords, renderer.page),
    ):
        service.app.include_router(router)
    context = PageContext(
        engine, renderer, access, sources, connections.charging, ledger, receipts, joined, page, public
    )
    portal.install(service.app, context, service.errors)


async def _erase_in_time(service: Service[ReportingSettings], stack: AsyncExitStack) -> None:
    """Destroy the keys of what is kept when their time is over; a key that is left too long is an alarm."""
    url, waits = service.settings.database.get_secret_value(), Waits.of(service.settings)
    pool = await stack.enter_async_context(open_pool(url, size=1, waits=waits))
    keys = KeptKeys(pool, "reporting", service.settings.kept_bytes_days)
    service.add_readiness("kept_keys", keys.readiness)
    service.repeat(keys.periodic())


def _start(
    service: Service[ReportingSettings], requests: AsyncEngine, metrics: Metrics, loops: Sequence[Periodic]
) -> None:
    def wake() -> None:
        for loop in loops:
            loop.wake()

    for loop in (*loops, _periodic("quarantine", SetAsideGauge(requests, metrics).step)):
        service.repeat(loop, service.settings.ready_commit_age_seconds)
    service.app.include_router(make_set_aside_router(service.keys, requests, open_quarantine(requests), wake, None))


def _public_keys(vkeys: Path) -> list[str]:
    """Lines of logs, witnesses and authors, for the page that checks receipts."""
    return [*map(str, read_vkeys(vkeys)), *map(str, read_authors(vkeys))]


def _open_gate(service: Service[ReportingSettings], access: Access) -> tuple[str, str]:
    """Make the gate require keys and sessions, and serve pages under the published address; returns it and /receipt's.

    Raises Refused where a proxy is named and no address: links would lead past it.
    """
    settings = service.settings
    service.gate.identify, service.gate.open_paths = access.identify, frozenset({KEY_PATH})
    if settings.trusted_proxies and not settings.public_url:
        raise Refused("DANBAO_TRUSTED_PROXIES is set, so a proxy is reached: set DANBAO_PUBLIC_URL to its address")
    if settings.public_url:
        service.gate.publish(settings.public_url)
    public = settings.public_url or f"http://127.0.0.1:{settings.port or 8103}"
    return public, settings.receipt_page or f"{public}/receipt"


def _periodic(name: str, step: Step) -> Periodic:
    return Periodic(name, step, POLL_SECONDS, describe=describe)
