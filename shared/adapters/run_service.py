"""Runs a service with the project's adapters: author keys from files, PostgreSQL's errors, Kafka's login and broker."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from faststream.kafka import KafkaBroker

from shared.adapters.crypto.certificate_ends import CertificateWatch
from shared.adapters.files.vkeys import read_authors
from shared.adapters.kafka.faststream_broker import is_answering, is_consuming, start_broker
from shared.adapters.kafka.login import check_login
from shared.adapters.postgres.pool import AWAY, BadData
from shared.runtime import service
from shared.runtime.http.errors import DriverErrors
from shared.runtime.periodic import end_tasks
from shared.runtime.service import Adapters, Compose, S, Service

ADAPTERS: Final = Adapters(read_authors, check_login, DriverErrors(bad_values=(BadData,), away=AWAY))
PING_SECONDS: Final = 2.0


def make_service(name: str, settings: S, compose: Compose[S]) -> Service[S]:
    """A service that is not running yet."""
    return Service(name, settings, _watched(compose), ADAPTERS)


def run_service(name: str, read_settings: Callable[[], S], compose: Compose[S]) -> int:
    """Read the settings, run the service, return its exit status."""
    return service.run_service(name, read_settings, _watched(compose), ADAPTERS)


def _watched(compose: Compose[S]) -> Compose[S]:
    """The service with a watch of when its certificates end."""

    @asynccontextmanager
    async def composed(service: Service[S]) -> AsyncIterator[None]:
        watch = CertificateWatch(service.name, service.settings)
        service.registry.register(watch)
        service.add_warning("certificates", watch.warning)
        async with compose(service):
            yield

    return composed


@asynccontextmanager
async def running_broker(service: Service[S], broker: KafkaBroker) -> AsyncIterator[None]:
    """Start the broker as a task of the service (joining a group takes seconds) and stop it at the end."""
    started = service.background("broker", start_broker(broker))

    async def check() -> str | None:
        if not started.done():
            return "joining"
        if not is_consuming(broker):
            return "not consuming"
        return None if await is_answering(broker, PING_SECONDS) else "broker does not answer"

    service.add_readiness("kafka", check)
    try:
        yield
    finally:
        await end_tasks([started])
        await broker.stop()
