"""`python -m services.charging` as a child process, on a real broker; and what an enterprise's producer does."""

import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from deploy.embedded.children import Child, start_child
from deploy.embedded.ports import free_port
from services.demo.running.system import settings_of
from shared.adapters.kafka.security import Client, client_options
from shared.contracts.topics import orders_topic
from tests.integration.charging.charging_harness import ROOT, SCHEME, House, Sent
from tests.support.access_keys import write_access_keys
from tests.support.authors import as_operator, write_author_files
from tests.support.servers import logged_in_as, make_topics_of
from tests.support.waiting import eventually_async

TOPICS_FROM = {"DANBAO_SCHEME", "DANBAO_ORDER_PARTITIONS"}
"""The settings that decide which topics there are."""
KEY = "a key of the services"
AUTHORISED = {"Authorization": f"Bearer {KEY}"}


@dataclass
class Process:
    """One start of the service."""

    child: Child
    api: httpx.AsyncClient
    log: Path

    async def get(self, path: str, **parameters: Any) -> Any:
        return (await self.api.get(path, params=parameters)).raise_for_status().json()

    async def post(self, path: str, **body: Any) -> Any:
        return (await self.api.post(path, json=body)).raise_for_status().json()

    async def reasons(self) -> dict[str, str]:
        """Why it is not ready; it need not listen yet."""
        try:
            reasons: dict[str, str] = (await self.api.get("/readyz")).json()["reasons"]
        except httpx.TransportError:
            return {"http": "not listening"}
        return reasons

    async def wait_for_reason(self, *words: str, part: str = "charging") -> None:
        """Wait until this part is not ready for a reason with these words; readyz keeps an answer for a second."""

        async def is_given() -> bool:
            reason = (await self.reasons()).get(part, "")
            return all(word in reason for word in words)

        await eventually_async(is_given, f"readyz to say {words} of {part}")

    async def is_listening(self) -> bool:
        return "http" not in await self.reasons()

    async def is_ready(self) -> bool:
        return not await self.reasons()

    async def has_ended(self) -> bool:
        return self.child.poll() is not None

    def kill(self) -> None:
        self.child.stop(signal.SIGKILL)


@dataclass
class Field:
    """One database and one broker (by its client settings), with as many workers as are started."""

    house: House
    broker: Mapping[str, str]
    folder: Path
    started: int = 0

    @property
    def client(self) -> Client:
        """What a client of the test's own is made with."""
        return client_options(settings_of(self.broker))

    @property
    def is_idempotent(self) -> bool:
        """Whether producers on this broker are."""
        return self.broker["DANBAO_KAFKA_IDEMPOTENT"] == "true"

    @asynccontextmanager
    async def worker(self, wait: bool = True, **settings: str) -> AsyncIterator[Process]:
        """Start a worker with these settings (without the prefix); it is stopped at the end."""
        self.started += 1
        port, log = free_port(), self.folder / f"charging-{self.started}.log"
        keys = write_author_files(self.folder, self.house.author)
        keys["ACCESS_KEYS"] = str(write_access_keys(self.folder / f"access-{self.started}.toml", KEY))
        env = environment(self.house.url, logged_in_as("charging", self.broker), port, {**keys, **settings})
        await make_topics_of({**self.broker, **{n: v for n, v in env.items() if n in TOPICS_FROM}})
        child = start_child("charging", [sys.executable, "-m", "services.charging"], env=env, cwd=ROOT, log=log)
        try:
            url, person = f"http://127.0.0.1:{port}", as_operator("charging")
            async with httpx.AsyncClient(base_url=url, headers=AUTHORISED, auth=person, timeout=20) as client:
                process = Process(child, client, log)
                if wait:
                    await eventually_async(process.is_ready, f"readiness: {log.read_text()[-2000:]}")
                yield process
        except BaseException as error:
            error.add_note(f"{log.name} ends with: {child.last_words()}")
            raise
        finally:
            child.stop()

    async def send(self, *sent: Sent, codec: str | None = None, partition: int | None = None) -> None:
        """Produce to the enterprises' topics and wait for the acknowledgements."""
        async with open_producer(self.client, codec, is_idempotent=self.is_idempotent) as producer:
            for event in sent:
                time_ms = round(event.at.timestamp() * 1000) if event.time_ms is None else event.time_ms
                await producer.send(
                    orders_topic(event.uscc), event.value, event.key, partition, time_ms, headers=list(event.headers)
                )

    async def make_topics(self, *usccs: str, partitions: int = 1) -> None:
        await self._admin("create_topics", [NewTopic(orders_topic(uscc), partitions, 1) for uscc in usccs])

    async def delete_topics(self, *usccs: str) -> None:
        await self._admin("delete_topics", [orders_topic(uscc) for uscc in usccs])

    async def _admin(self, verb: str, what: Sequence[object]) -> None:
        admin = AIOKafkaAdminClient(**self.client)
        await admin.start()
        try:
            await getattr(admin, verb)(what)
        finally:
            await admin.close()

    async def counted(self) -> int:
        """Events within committed batches."""
        return int(await self.house.value("select coalesce(sum(events), 0) from charging.manifest"))

    async def has_counted(self, events: int) -> None:
        async def is_so() -> bool:
            return await self.counted() >= events

        await eventually_async(is_so, f"{events} events charged")
        assert await self.counted() == events


@asynccontextmanager
async def open_producer(
    client: Client, codec: str | None = None, *, is_idempotent: bool = False
) -> AsyncIterator[AIOKafkaProducer]:
    producer = AIOKafkaProducer(
        **client, compression_type=codec, max_request_size=32 * 1024 * 1024, linger_ms=5,
        max_batch_size=512 * 1024, enable_idempotence=is_idempotent,
    )  # fmt: skip
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


@asynccontextmanager
async def open_field(house: House, broker: Mapping[str, str]) -> AsyncIterator[Field]:
    with TemporaryDirectory(prefix="danbao charging ") as folder:
        yield Field(house, broker, Path(folder))


def environment(url: str, broker: Mapping[str, str], port: int, settings: Mapping[str, str]) -> dict[str, str]:
    """The whole environment of the service."""
    danbao = {
        "DATABASE": url,
        "PORT": str(port),
        "SCHEME": ":".join(map(str, SCHEME)),
        "ORDER_PARTITIONS": "2",
        "SETTLE_SECONDS": "0.3",
        "SCHEDULER": "false",  # the days of these tests may be to come
        **settings,
    }
    own = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    own["PYTHONPATH"] = danbao.pop("PYTHONPATH", str(ROOT))
    return own | dict(broker) | {f"DANBAO_{name}": value for name, value in danbao.items()}
