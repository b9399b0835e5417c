"""The ledger as a separate process, on a real broker and a real database, killed in between."""

import asyncio
import os
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import msgspec
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from sqlalchemy import text

from services.demo.running.system import settings_of
from shared.adapters.crypto.signing import make_note_key
from shared.adapters.kafka.clients import ensure_topics
from shared.contracts.manifests import DayClosing, Outcome
from shared.contracts.topics import (
    DAYS_CLOSED,
    DAYS_CLOSING,
    DAYS_COUNTED,
    INTERNAL,
    MANIFESTS,
    REMITTANCES,
    STATEMENTS,
)
from shared.domain.evidence.signed_note import ED25519
from tests.attacks.messages.poison_messages import poison
from tests.faults.proxy import open_proxy
from tests.integration.ledger.ledger_harness import (
    ENTERPRISE,
    OTHER,
    Charging,
    Ledger,
    due,
    new_run,
    open_ledger,
    total,
)
from tests.support.access_keys import write_access_keys
from tests.support.authors import LEDGER, as_operator, headers_of, write_author_files
from tests.support.servers import Broker, client_of, client_settings, make_topics_of
from tests.support.waiting import PATIENCE_SECONDS, eventually_async

OPENED_ON = date(2026, 9, 29)
LAST = date(2026, 9, 30)
KEY = "a key for one test"
AUTHORISED = {"Authorization": f"Bearer {KEY}"}
SOME_POISON = {
    "hello", "nothing", "null", "zeros", "no text", "deep", "half a surrogate", "a number of 5,000 digits",
    "a tariff line beyond int4", "a premium beyond int8", "a cut to 2^70", "15 digits of yuan, beyond int8",
    "an id with a zero byte",
}  # fmt: skip


@pytest.fixture
async def ledger(database: str) -> AsyncIterator[Ledger]:
    async with open_ledger(database, OPENED_ON) as opened:
        yield opened


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@dataclass
class Process:
    """One start of `python -m services.ledger`."""

    child: asyncio.subprocess.Process
    api: httpx.AsyncClient

    async def ready(self) -> bool:
        try:
            return (await self.api.get("/readyz")).status_code == 200
        except httpx.TransportError:
            return False

    async def get(self, path: str, **params: str) -> Any:
        return (await self.api.get(path, params=params)).raise_for_status().json()

    async def post(self, path: str, body: dict[str, str]) -> Any:
        return (await self.api.post(path, json=body)).raise_for_status().json()

    async def stop(self, number: int) -> int:
        if self.child.returncode is None:
            self.child.send_signal(number)
        return await asyncio.wait_for(self.child.wait(), PATIENCE_SECONDS)


@asynccontextmanager
async def started(ledger: Ledger, broker: Broker, **more: str) -> AsyncIterator[Process]:
    """Start the service and wait until it is ready; killed at the end if it still runs."""
    port, folder = free_port(), tempfile.TemporaryDirectory()
    log_key = Path(folder.name) / "log.pem"
    make_note_key(log_key, "log.example/test", ED25519)
    settings = {
        "LOG_KEYS": str(log_key),
        **write_author_files(Path(folder.name), LEDGER),
        "DATABASE": ledger.url,
        "PORT": str(port),
        "ACCESS_KEYS": str(write_access_keys(Path(folder.name) / "access.toml", KEY)),
        "CHARGING_URL": f"http://127.0.0.1:{free_port()}",
        "SCHEDULER": "false",
        "CLOCK_SPAN_SECONDS": "3155760000",
        "BOOKS_OPEN_ON": OPENED_ON.isoformat(),
    } | more
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DANBAO_")}
    await make_topics_of(client_settings(broker))
    environment |= client_settings(broker, "ledger") | {f"DANBAO_{name}": value for name, value in settings.items()}
    command = (sys.executable, "-m", "services.ledger")
    child = await asyncio.create_subprocess_exec(*command, env=environment, stderr=asyncio.subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    person = as_operator("ledger")
    async with httpx.AsyncClient(base_url=url, headers=AUTHORISED, auth=person, timeout=20.0, trust_env=False) as api:
        process = Process(child, api)
        try:
            await eventually_async(process.ready, "the ledger is ready")
            yield process
        finally:
            await process.stop(signal.SIGKILL)
            folder.cleanup()


@asynccontextmanager
async def answering(broker: Broker, charging: Charging) -> AsyncIterator[AIOKafkaProducer]:
    """Charging's side of the topics: publishes, and answers every `days.closing.v1` by counting."""
    await ensure_topics(settings_of(client_settings(broker)), dict.fromkeys(INTERNAL, 1))
    producer = AIOKafkaProducer(**client_of(broker))
    consumer = AIOKafkaConsumer(DAYS_CLOSING, **client_of(broker), auto_offset_reset="earliest")

    async def answer() -> None:
        async for record in consumer:
            counted = charging.count(msgspec.json.decode(record.value, type=DayClosing))
            await publish(producer, DAYS_COUNTED, counted)

    await producer.start()
    await consumer.start()
    task = asyncio.create_task(answer())
    try:
        yield producer
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await consumer.stop()
        await producer.stop()


async def read_all(broker: Broker, topic: str) -> list[bytes]:
    """Every message that a topic of one partition holds now."""
    consumer = AIOKafkaConsumer(topic, **client_of(broker), auto_offset_reset="earliest")
    await consumer.start()
    try:
        (partition,) = consumer.assignment()
        end = (await consumer.end_offsets([partition]))[partition]
        payloads: list[bytes] = []
        while await consumer.position(partition) < end:
            payloads += [record.value async for record in _some(consumer)]
        return payloads
    finally:
        await consumer.stop()


async def _some(consumer: AIOKafkaConsumer) -> AsyncIterator[Any]:
    for records in (await consumer.getmany(timeout_ms=500)).values():
        for record in records:
            yield record


async def publish(producer: AIOKafkaProducer, topic: str, *messages: object) -> None:
    for message in messages:
        value = message if isinstance(message, bytes) else msgspec.json.encode(message)
        await producer.send_and_wait(topic, value, headers=[*headers_of(topic, value)])


async def alarms_of(process: Process) -> list[str]:
    """The alarms of the books; that of the calendar goes by the day on which the test runs."""
    alarms: list[str] = (await process.get("/v1/status"))["alarms"]
    return [alarm for alarm in alarms if not alarm.startswith("calendar_unpublished:")]


async def close(process: Process, day: date) -> None:
    """Close a day through the API and wait until the books say so."""
    answer = await process.post(f"/v1/days/{day}/close", {"as_of": due(day).isoformat()})
    assert answer["state"] in {"closing", "closed"}

    async def is_closed() -> bool:
        return bool((await process.get(f"/v1/days/{day}"))["state"] == "closed")

    await eventually_async(is_closed, f"{day} is closed")


@pytest.mark.exhaustive
async def test_a_month_from_manifests_to_money_with_a_kill_in_between(ledger: Ledger, fresh_broker: Broker) -> None:
    charging, run = ledger.charging, new_run()
    written = [charging.write(run, total(orders=n, day=OPENED_ON), total(orders=1, day=LAST)) for n in (50, 60, 70)]
    charging.settle_at_close(LAST, total(Outcome.REVERSED, 3, day=LAST))

    async def booked(process: Process) -> bool:
        return bool((await process.get("/v1/status"))["runs"].get(run) == 3)

    async with answering(fresh_broker, charging) as producer:
        async with started(ledger, fresh_broker) as process:
            await publish(producer, MANIFESTS, written[1], b"not a manifest", written[0])
            answer = await process.post(f"/v1/days/{OPENED_ON}/close", {"as_of": due(OPENED_ON).isoformat()})
            assert answer["state"] == "closing"
            assert await process.stop(signal.SIGKILL) < 0
        async with started(ledger, fresh_broker) as process:
            await publish(producer, MANIFESTS, *written, written[0])
            await eventually_async(lambda: booked(process), "all manifests are booked")
            await close(process, OPENED_ON)
            await close(process, LAST)
            assert (await process.get(f"/v1/days/{LAST}"))["decided_by"] == "operator"
            wish = {"period": "2026-09", "as_of": "2026-10-02T12:00:00+08:00"}
            assert (await process.post("/v1/statements", wish))["state"] == "issued"
            assert (await process.post("/v1/statements", wish))["state"] == "already_issued"
            billed = text("select person from ledger.period_issued join ledger.decision using (decision_id)")
            async with ledger.owner.connect() as connection:
                assert await connection.scalar(billed) == "operator"
            (statement,) = (await process.get("/v1/statements", period="2026-09"))["statements"]
            assert (statement["orders"], statement["amount_yuan"]) == (180, "12.60")
            reported = {"enterprise": ENTERPRISE, "province": "44", "received_on": "2026-10-10"}
            await publish(producer, REMITTANCES, {**reported, "remittance_id": "r1", "amount_yuan": "12.00"})
            await publish(producer, REMITTANCES, {**reported, "remittance_id": "r1", "amount_yuan": "12.00"})

            async def paid() -> bool:
                params = {"period": "2026-09", "as_of": "2026-10-25"}
                (item,) = (await process.get("/v1/payment-states", **params))["items"]
                return (item["outstanding_yuan"], item["arrears_yuan"]) == ("0.60", "0.60")

            await eventually_async(paid, "the remittance is booked")
            assert await alarms_of(process) == ["message_refused: premiums.charged.v1: undecodable: 1"]
            (message,) = (await process.get("/v1/refused"))["messages"]
            assert (message["redacted"], message["reviewer"]) == ("14 bytes that are no JSON", None)
            review = f"/v1/refused/{message['refused_id']}/review"
            assert await process.post(review, {"note": "a test"}) == {"state": "reviewed"}
            assert await process.post(review, {"note": "again"}) == {"state": "already_reviewed"}
            assert await alarms_of(process) == []
            assert "danbao_ledger_manifests_total" in (await process.api.get("/metrics")).text
            assert await process.stop(signal.SIGTERM) == 0
    closed = [msgspec.json.decode(payload)["day"] for payload in await read_all(fresh_broker, DAYS_CLOSED)]
    assert sorted(set(closed)) == ["2026-09-29", "2026-09-30"]
    assert len(await read_all(fresh_broker, STATEMENTS)) == 1


async def test_the_api_wants_a_key_and_refuses_nonsense(ledger: Ledger, fresh_broker: Broker) -> None:
    async with started(ledger, fresh_broker) as process:
        for path in ("/v1/status", "/v1/statements", "/v1/refused"):
            assert (await process.api.get(path, headers={"Authorization": ""})).status_code == 401
        assert (await process.api.post("/v1/days/2026-09-29/close", json={"as_of": "2026-10-01T12:00:00"})).is_error
        assert (await process.api.get("/v1/totals", params={"period": "2026-13"})).status_code == 422
        assert (await process.get("/v1/days/2026-09-29"))["state"] == "open"
        refused = await process.post(f"/v1/days/{LAST}/close", {"as_of": due(LAST).isoformat()})
        assert (refused["state"], refused["reason"]) == ("refused", "2026-09-29 has to be closed first")
        assert (await process.post("/v1/late-fees", {"as_of": "2026-09-30"})) == {"booked": 0, "amount_yuan": "0.00"}
        assert (await process.api.post("/v1/refused/9/review", json={"note": "none"})).status_code == 404
        assert (await process.get("/v1/statements", enterprise=OTHER))["statements"] == []


async def test_poison_on_the_ledgers_topics_leaves_it_at_work(ledger: Ledger, fresh_broker: Broker) -> None:
    """Manifests, remittances and answers that cannot be used are quarantined; what follows them is booked."""
    run, topics = new_run(), (MANIFESTS, REMITTANCES, DAYS_COUNTED)
    bad = {topic: [body for name, body in poison(topic).items() if name in SOME_POISON] for topic in topics}
    async with answering(fresh_broker, ledger.charging) as producer, started(ledger, fresh_broker) as process:
        for topic, bodies in bad.items():
            await publish(producer, topic, *bodies)
        await publish(producer, MANIFESTS, ledger.charging.write(run, total(orders=5, day=OPENED_ON)))

        async def is_booked() -> bool:
            return bool((await process.get("/v1/status"))["runs"].get(run) == 1)

        await eventually_async(is_booked, "the manifest to be booked")
        await close(process, OPENED_ON)
        kept = await ledger.rows("select topic, count(*) from ledger.refused_message group by 1")
        assert {row[0]: row[1] for row in kept} == {topic: len(bodies) for topic, bodies in bad.items()}
        assert process.child.returncode is None
        assert await process.ready()


@pytest.mark.exhaustive
async def test_a_message_that_nobody_gets_done_is_seen_in_readiness(ledger: Ledger, fresh_broker: Broker) -> None:
    manifest = ledger.charging.write(run := new_run(), total(orders=5, day=OPENED_ON))
    async with started(ledger, fresh_broker, READY_COMMIT_AGE_SECONDS="1") as process:

        async def is_reported() -> bool:
            return MANIFESTS in dict((await process.api.get("/readyz")).json()["reasons"])

        async def is_booked() -> bool:
            return bool((await process.get("/v1/status"))["runs"] == {run: 1})

        async with ledger.owner.begin() as locking, answering(fresh_broker, ledger.charging) as producer:
            await locking.execute(text("lock table ledger.day_line in access exclusive mode"))
            await publish(producer, MANIFESTS, manifest)
            await eventually_async(is_reported, "the ledger to say which message waits")
        await eventually_async(is_booked, "the manifest to be booked")
        await eventually_async(process.ready, "the ledger is ready")


@pytest.mark.exhaustive
async def test_a_database_that_goes_silent_is_given_up_and_the_books_go_on(
    ledger: Ledger, fresh_broker: Broker
) -> None:
    """Old connections get no more answers, without an error or a reset; a new connection would get one."""
    charging, run = ledger.charging, new_run()
    waits = {"DATABASE_ANSWER_SECONDS": "1", "DATABASE_SILENCE_SECONDS": "4", "READY_COMMIT_AGE_SECONDS": "1"}
    async with open_proxy(ledger.url) as proxy, answering(fresh_broker, charging) as producer:
        url = proxy.url(urlsplit(ledger.url).path[1:])
        async with started(ledger, fresh_broker, DATABASE=url, **waits) as process:
            proxy.silence()
            await publish(producer, MANIFESTS, *(charging.write(run, total(orders=5, day=OPENED_ON)) for _ in range(9)))

            async def is_unready() -> bool:
                return not await process.ready()

            async def is_booked() -> bool:
                status = await process.api.get("/v1/status")
                # A request that meets a dead connection gets 503 and is repeated.
                return status.status_code != 503 and bool(status.raise_for_status().json()["runs"] == {run: 9})

            await eventually_async(is_unready, "the ledger to miss its database")
            proxy.go_on()
            await eventually_async(process.ready, "the ledger is ready")
            await eventually_async(is_booked, "every manifest to be booked")
            await close(process, OPENED_ON)
