"""Workers killed, cut off, fenced and misled: every event is charged once, and who is wrong holds up nobody else."""

import os
import secrets
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.util import calc_crc32c

from deploy.embedded.broker import find_program
from deploy.embedded.children import Child, start_child
from deploy.embedded.ports import free_port, is_listening
from services.demo.running.system import EMBEDDED_KAFKA
from shared.contracts.topics import orders_topic
from tests.faults.database_proxy import database_proxy
from tests.integration.charging.charging_harness import NOON, OTHER_RIDES, RIDES, ROOT, House, Sent, accepted
from tests.integration.charging.charging_service import Field, open_field
from tests.support.servers import Broker, client_settings
from tests.support.waiting import PATIENCE_SECONDS, eventually_async

pytestmark = pytest.mark.exhaustive

GAPS = """select run_id from charging.manifest group by run_id having max(number) <> count(*) or min(number) <> 1"""


@pytest.fixture
async def field(house: House, fresh_broker: Broker) -> AsyncIterator[Field]:
    async with open_field(house, client_settings(fresh_broker)) as opened:
        yield opened


def orders(first: int, last: int, uscc: str = RIDES) -> list[Sent]:
    return [accepted(f"o{n}", uscc=uscc, sequence=n + 1) for n in range(first, last)]


async def assert_exact(field: Field, events: int) -> None:
    """Counted once each: rows, manifests, positions, and gapless numbers."""
    await field.has_counted(events)
    assert await field.house.value("select count(*) from charging.entry where kind = 1") == events
    assert await field.house.value("select sum(events) from charging.position") == events
    assert await field.house.value("select sum(next_offset - first_offset) from charging.position") == events
    assert await field.house.fetch(GAPS) == []


async def test_killed_in_the_middle_and_started_again(field: Field) -> None:
    await field.make_topics(RIDES, OTHER_RIDES, partitions=2)
    await field.send(*orders(0, 6_000), *orders(0, 6_000, OTHER_RIDES))
    for _ in range(2):
        before = await field.counted()
        async with field.worker(wait=False, BATCH_EVENTS="500") as worker:

            async def has_moved(before: int = before) -> bool:
                return await field.counted() > before

            await eventually_async(has_moved, "a batch")
            worker.kill()
    assert await field.counted() < 12_000, "killed too late to show anything"
    async with field.worker():
        await assert_exact(field, 12_000)


async def test_two_workers_share_a_group_and_one_takes_over(field: Field) -> None:
    await field.make_topics(RIDES, OTHER_RIDES, partitions=4)
    async with field.worker(BATCH_EVENTS="200") as first, field.worker(BATCH_EVENTS="200"):
        await field.send(*orders(0, 2_000), *orders(0, 2_000, OTHER_RIDES))
        await assert_exact(field, 4_000)
        first.kill()
        await field.send(*orders(2_000, 3_000))
        await assert_exact(field, 5_000)


async def test_stopped_in_its_sleep_a_worker_finds_itself_fenced(field: Field) -> None:
    await field.make_topics(RIDES, partitions=2)
    async with field.worker(BATCH_EVENTS="100") as zombie:
        await field.send(*orders(0, 1_000))
        await field.has_counted(1_000)
        zombie.child.send_signal(signal.SIGSTOP)
        try:
            async with field.worker(wait=False):
                await field.send(*orders(1_000, 2_000))
                await field.has_counted(2_000)
                zombie.child.send_signal(signal.SIGCONT)
                await field.send(*orders(2_000, 3_000))
                await assert_exact(field, 3_000)
        finally:
            zombie.child.send_signal(signal.SIGCONT)


async def test_answers_to_commits_that_never_come(field: Field) -> None:
    await field.make_topics(RIDES, partitions=2)
    async with database_proxy(field.house.url) as proxy:
        async with field.worker(DATABASE=proxy.url, BATCH_EVENTS="300", SETTLE_SECONDS="0") as worker:
            proxy.cut_at(b"COMMIT;", 2)
            await field.send(*orders(0, 3_000))
            await assert_exact(field, 3_000)
            proxy.cut_at(b'COPY "charging"."entry"')
            await field.send(*orders(3_000, 6_000))
            await assert_exact(field, 6_000)
            assert proxy.done == 3
            assert worker.child.poll() is None
            await eventually_async(worker.is_ready, "readiness after it all")


async def test_a_log_made_anew_pauses_its_topic_alone(field: Field) -> None:
    await field.make_topics(RIDES, OTHER_RIDES)
    async with field.worker() as worker:
        await field.send(*orders(0, 50), *orders(0, 50, OTHER_RIDES))
        await field.has_counted(100)
        await field.delete_topics(RIDES)
        await field.make_topics(RIDES)
        await field.send(*orders(100, 110))

        async def is_paused() -> bool:
            return orders_topic(RIDES) in (await worker.get("/v1/status"))["paused"]

        await eventually_async(is_paused, "the pause")
        reason = (await worker.get("/v1/status"))["paused"][orders_topic(RIDES)]
        assert "50" in reason
        await worker.wait_for_reason(reason)
        assert (await worker.api.get("/readyz")).status_code == 503
        await field.send(*orders(50, 80, OTHER_RIDES))
        await field.has_counted(130)
        gauge = f'danbao_charging_topic_paused{{topic="{orders_topic(RIDES)}"}} 1.0'
        assert gauge in (await worker.api.get("/metrics")).text
    async with field.worker(wait=False) as worker:
        await worker.wait_for_reason("recreated")
        await field.send(*orders(80, 90, OTHER_RIDES))
        await field.has_counted(140)


def unreadable_batch(value: bytes, codec: int | None = None) -> bytes:
    """A record batch as a hostile producer may send it, with a right checksum.

    A header's name that is not UTF-8, or a codec that there is none of.
    """
    builder = DefaultRecordBatchBuilder(2, 0, False, -1, -1, -1, 1_000_000)
    builder.append(0, timestamp=round(NOON.timestamp() * 1000), key=b"k", value=value, headers=[("NAME", b"v")])
    data = bytearray(builder.build().replace(b"NAME", b"\xff\xfe\xfd\xfc"))
    if codec is not None:
        data = bytearray(data.replace(b"\xff\xfe\xfd\xfc", b"NAME"))
        data[21:23] = codec.to_bytes(2, "big")
    data[17:21] = calc_crc32c(bytes(data[21:])).to_bytes(4, "big")
    return bytes(data)


@pytest.mark.parametrize("codec", [None, 5], ids=["header name not UTF-8", "unknown codec"])
async def test_a_batch_that_cannot_be_unpacked_pauses_its_topic_alone(field: Field, codec: int | None) -> None:
    await field.make_topics(RIDES, OTHER_RIDES, partitions=1)
    async with field.worker() as worker:
        await field.send(*orders(0, 20), *orders(0, 20, OTHER_RIDES))
        await field.has_counted(40)
        producer = AIOKafkaProducer(**field.client)
        await producer.start()
        batch = producer.create_batch()
        batch.append(timestamp=0, key=b"k", value=b"v")
        batch.close()
        batch._build()
        batch._buffer = unreadable_batch(b"{}", codec)
        sending = await producer.send_batch(batch, orders_topic(RIDES), partition=0)
        try:
            await sending
        except KafkaError:
            return  # the broker itself refuses it: no log has the event
        finally:
            await producer.stop()
        for n in range(20, 40):
            await field.send(*orders(n, n + 1, OTHER_RIDES))
        await field.has_counted(60)
        await worker.wait_for_reason("cannot be read from 20 on")
        assert list((await worker.get("/v1/status"))["paused"]) == [orders_topic(RIDES)]


def start_broker(port: int) -> Child:
    """Start an empty broker with a new cluster id on this port."""
    url = f"tcp://127.0.0.1:{port}"
    command: list[str | Path] = [
        find_program(), "broker", "--cluster-id", f"other-{secrets.token_hex(4)}", "--listener-url", url,
        "--advertised-listener-url", url, "--storage-engine", "memory://tansu/", "--silent",
    ]  # fmt: skip
    child = start_child("a broker", command, env={"PATH": os.environ["PATH"]})
    child.wait_until(lambda: is_listening(port), PATIENCE_SECONDS)
    return child


async def test_another_cluster_under_the_same_address_ends_the_worker(house: House) -> None:
    port = free_port()
    broker = start_broker(port)
    try:
        async with (
            open_field(house, {**EMBEDDED_KAFKA, "DANBAO_KAFKA": f"127.0.0.1:{port}"}) as field,
            field.worker() as worker,
        ):
            await field.send(*orders(0, 50))
            await field.has_counted(50)
            broker.stop(signal.SIGKILL)
            broker = start_broker(port)
            await field.make_topics(RIDES)
            await field.send(*orders(50, 120))
            await eventually_async(worker.has_ended, "the end of the worker")
            assert worker.child.poll() == 70
            async with field.worker():
                await eventually_async(lambda: has_rows(house, 120), "every order of both clusters")
            assert await house.value("select count(distinct cluster_id) from charging.position") == 2
    finally:
        broker.stop(signal.SIGKILL)


async def has_rows(house: House, count: int) -> bool:
    return bool(await house.value("select count(*) = $1 from charging.entry", count))


async def test_without_a_codec_it_does_not_start_and_says_which(field: Field) -> None:
    (field.folder / "cramjam.py").write_text("raise ImportError('not on this machine')")
    path = f"{field.folder}{os.pathsep}{ROOT}"
    async with field.worker(wait=False, PYTHONPATH=path) as worker:
        await eventually_async(worker.has_ended, "the end of the worker")
        assert worker.child.poll() not in (0, None)
        assert "codecs missing on this machine: snappy, lz4, zstd" in worker.log.read_text()
