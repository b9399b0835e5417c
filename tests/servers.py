"""The servers a test runs against: the embedded ones, or those named in the environment.

`DANBAO_DATABASE` names a PostgreSQL server by the URL of a role that may make databases and roles; each test
gets a database of its own there. `DANBAO_KAFKA` names a Kafka cluster; tests that need an empty one erase all
its topics, which has to be allowed with `DANBAO_TEST_ERASE_KAFKA=yes`.
"""

import asyncio
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import quote, urlsplit, urlunsplit

import asyncpg
from aiokafka.admin import AIOKafkaAdminClient

from deploy.embedded.broker import EmbeddedBroker
from deploy.embedded.postgres import EmbeddedPostgres
from tests.waiting import eventually_async


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
        with EmbeddedPostgres() as server:
            yield server


@contextmanager
def kafka_broker() -> Iterator[Broker]:
    """The cluster of `DANBAO_KAFKA`, or an embedded broker for as long as the context lasts."""
    if other := os.environ.get("DANBAO_KAFKA"):
        yield OtherBroker(other)
    else:
        with EmbeddedBroker() as broker:
            yield broker


def may_be_emptied(broker: Broker) -> bool:
    """Whether all topics of this broker are ours to remove."""
    return isinstance(broker, EmbeddedBroker) or os.environ.get("DANBAO_TEST_ERASE_KAFKA") == "yes"


async def erase_topics(bootstrap: str) -> None:
    """Remove every topic and wait until none is listed."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
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
    """Drop the database with whoever is still logged in to it."""
    await _command(server, f'drop database if exists "{name}" with (force)')


async def _command(server: Postgres, statement: str) -> None:
    connection = await asyncpg.connect(server.url("postgres"))
    try:
        await asyncio.wait_for(connection.execute(statement), 30)
    finally:
        await connection.close()
