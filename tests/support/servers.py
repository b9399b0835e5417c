"""The servers a test runs against: the embedded ones, Apache Kafka (`--kafka=apache`), or those of the environment.

`DANBAO_DATABASE` names a PostgreSQL server by the URL of a role that may make databases and roles; each test
gets a separate database there. `DANBAO_KAFKA` names an Apache Kafka cluster; tests that need an empty one erase all
its topics, which has to be allowed with `DANBAO_TEST_ERASE_KAFKA=yes`.
"""

import asyncio
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, Protocol
from urllib.parse import quote, urlsplit, urlunsplit

import asyncpg
from aiokafka.admin import AIOKafkaAdminClient

from deploy.embedded.broker import EmbeddedBroker
from deploy.embedded.postgres import EmbeddedPostgres
from services.demo.running.system import EMBEDDED_KAFKA, settings_of, topics_of
from shared.adapters.files.scheme import load_scheme
from shared.adapters.kafka.clients import ensure_topics
from shared.adapters.kafka.security import Client, client_options
from shared.contracts.topic_rights import SETUP
from tests.support.apache_kafka import ApacheKafka
from tests.support.waiting import PATIENCE_SECONDS, eventually_async

Kind = Literal["embedded", "apache"]
"""Which broker: the embedded one, or any Apache Kafka."""
APACHE_KAFKA: Final = {
    # Records carry the times of their events here, and large ones have to come through (tests/support/apache_kafka.py).
    "DANBAO_ORDER_TIMESTAMPS": "",
    # The shortest session a broker grants unless configured otherwise; a zombie is waited for that long.
    "DANBAO_KAFKA_SESSION_TIMEOUT_MS": "6000",
    "DANBAO_KAFKA_HEARTBEAT_MS": "500",
    "DANBAO_KAFKA_METADATA_MAX_AGE_MS": "1000",
    "DANBAO_KAFKA_IDEMPOTENT": "true",
}


class Postgres(Protocol):
    """A PostgreSQL server of which we are the owner."""

    def url(self, database: str, role: str = ..., password: str | None = ...) -> str:
        """The URL of one of its databases; the owner's when no role is named."""


class Broker(Protocol):
    """A Kafka-protocol broker."""

    @property
    def bootstrap(self) -> str:
        """`host:port` for clients."""


@dataclass(frozen=True, slots=True)
class OtherPostgres:
    """A server that somebody else runs."""

    owner_url: str

    def url(self, database: str, role: str = "", password: str | None = None) -> str:
        """The owner's URL with another database, and with another login where one is named."""
        parts = urlsplit(self.owner_url)
        netloc = parts.netloc
        if role:
            login = quote(role, safe="") + (f":{quote(password, safe='')}" if password else "")
            netloc = f"{login}@{netloc.rpartition('@')[2]}"
        return urlunsplit(parts._replace(netloc=netloc, path=f"/{database}"))


@dataclass(frozen=True, slots=True)
class OtherBroker:
    """A cluster that somebody else runs."""

    bootstrap: str


@contextmanager
def postgres_server() -> Iterator[Postgres]:
    """The server of `DANBAO_DATABASE`, or an embedded one for as long as the context lasts."""
    if other := os.environ.get("DANBAO_DATABASE"):
        yield OtherPostgres(other)
    else:
        with EmbeddedPostgres({"fsync": "off"}) as server:  # a server killed loses nothing by it, only a machine does
            yield server


@contextmanager
def kafka_broker(kind: Kind, named: str | None) -> Iterator[Broker]:
    """The cluster that is named, or a broker of this kind for as long as the context lasts."""
    if named:
        yield OtherBroker(named)
    elif kind == "apache":
        with ApacheKafka() as kafka:
            yield kafka
    else:
        with EmbeddedBroker() as broker:
            yield broker


def client_settings(broker: Broker, principal: str = SETUP) -> dict[str, str]:
    """Settings that a service needs for this broker: DANBAO_ variables, its address among them.

    Where brokers have identities it logs in as the principal: that of the setup job, whom nothing is forbidden, unless
    a service's is given.
    """
    if isinstance(broker, ApacheKafka):
        return {**APACHE_KAFKA, **broker.variables(principal)}
    own = EMBEDDED_KAFKA if isinstance(broker, EmbeddedBroker) else APACHE_KAFKA
    return {"DANBAO_KAFKA": broker.bootstrap, **own}


def logged_in_as(principal: str, settings: Mapping[str, str]) -> dict[str, str]:
    """These settings with another principal's login, where the broker has identities."""
    if "DANBAO_KAFKA_LOGINS" not in settings:
        return dict(settings)
    login = f"{principal}-a"
    file = str(Path(settings["DANBAO_KAFKA_LOGINS"]) / login)
    own = {"DANBAO_KAFKA_USER": login, "DANBAO_KAFKA_PASSWORD_FILE": file}
    return {**{name: value for name, value in settings.items() if name != "DANBAO_KAFKA_LOGINS"}, **own}


async def make_topics_of(settings: Mapping[str, str]) -> None:
    """Make every topic of this scheme where services may not: on a broker with identities, as the setup job does."""
    if "DANBAO_KAFKA_LOGINS" in settings:
        known = settings_of(settings)
        await ensure_topics(known, topics_of(known, load_scheme(known.scheme)))


def client_of(broker: Broker) -> Client:
    """What a client of the test's own is made with."""
    return client_options(settings_of(client_settings(broker)))


def may_be_emptied(broker: Broker) -> bool:
    """Whether all topics of this broker are ours to remove."""
    return not isinstance(broker, OtherBroker) or os.environ.get("DANBAO_TEST_ERASE_KAFKA") == "yes"


async def erase_topics(client: Client) -> None:
    """Remove every topic and wait until none is listed."""
    admin = AIOKafkaAdminClient(**client)
    await admin.start()

    async def ours() -> list[str]:
        return [topic for topic in await admin.list_topics() if not topic.startswith("__")]

    async def none_left() -> bool:
        return not await ours()

    try:
        if topics := await ours():
            await admin.delete_topics(topics)
        await eventually_async(none_left, "removal of all topics")
    finally:
        await admin.close()


async def make_database(server: Postgres) -> str:
    """Make an empty database; returns its name."""
    name = f"test_{secrets.token_hex(6)}"
    await _command(server, f'create database "{name}"')
    return name


async def drop_database(server: Postgres, name: str) -> None:
    """Drop the database and end its open connections."""
    await _command(server, f'drop database if exists "{name}" with (force)')


async def _command(server: Postgres, statement: str) -> None:
    connection = await asyncpg.connect(server.url("postgres"))
    try:
        await asyncio.wait_for(connection.execute(statement), PATIENCE_SECONDS)
    finally:
        await connection.close()
