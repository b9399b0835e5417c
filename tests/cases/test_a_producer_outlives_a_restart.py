"""The program of docs/enterprises.md gets its order acknowledged after an outage, and does not spin meanwhile."""

import asyncio
import os
import re
import secrets
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from deploy.embedded.broker import START_SECONDS, find_program
from deploy.embedded.children import Child, start_child
from deploy.embedded.ports import free_port, is_listening
from services.demo.running.system import settings_of
from shared.adapters.kafka.clients import ensure_topics
from shared.adapters.kafka.security import client_options
from shared.contracts.topics import orders_topic
from shared.runtime.settings import Settings
from tests.faults.proxy import Proxy, open_proxy
from tests.support.waiting import eventually_async
from tests.tidy.source import ROOT

TOPIC = orders_topic("91000000FAKE00001F")
OUTAGE_SECONDS = 8
MOST_CPU_SHARE = 0.4
"""Of a core, with the start of the program; it was three quarters of a core while nobody answered."""


@asynccontextmanager
async def broker(port: int, published: int, log: Path) -> AsyncIterator[Child]:
    """Run a broker that clients reach by another port, with the enterprise's topic."""
    command: list[str | Path] = [
        find_program(), "broker", "--cluster-id", secrets.token_hex(8), "--listener-url", f"tcp://127.0.0.1:{port}",
        "--advertised-listener-url", f"tcp://127.0.0.1:{published}", "--storage-engine", "memory://tansu/", "--silent",
    ]  # fmt: skip
    child = start_child("the broker", command, env={"PATH": os.environ.get("PATH", os.defpath)}, log=log)
    try:
        child.wait_until(lambda: is_listening(port), START_SECONDS)
        yield child
    finally:
        child.stop()


def settings(proxy: Proxy) -> Settings:
    """Settings of a client that goes through the proxy."""
    return settings_of({"DANBAO_KAFKA": f"127.0.0.1:{proxy.listening}"})


async def make_topic(proxy: Proxy) -> None:
    """Make the topic of the enterprise."""
    await ensure_topics(settings(proxy), {TOPIC: 1})


async def keys_of(proxy: Proxy) -> list[bytes | None]:
    """Keys of the topic's records."""
    consumer = AIOKafkaConsumer(**client_options(settings(proxy)), auto_offset_reset="earliest")
    partition = TopicPartition(TOPIC, 0)
    await consumer.start()
    try:
        consumer.assign([partition])
        records = await consumer.getmany(partition, timeout_ms=5_000)
        return [record.key for record in records.get(partition, [])]
    finally:
        await consumer.stop()


@pytest.mark.exhaustive
async def test_its_order_is_acknowledged_by_the_broker_that_came_back(tmp_path: Path) -> None:
    """Found with containers: the port is open, nobody answers, then another process of the broker does."""
    (code,) = re.findall(
        r"^```python\n(.*?)^```$", (ROOT / "docs/enterprises.md").read_text(), re.MULTILINE | re.DOTALL
    )
    port = free_port()
    async with open_proxy(f"postgresql://nobody:none@127.0.0.1:{port}/none") as proxy:
        async with broker(port, proxy.listening, tmp_path / "first.log"):
            await make_topic(proxy)
            proxy.stall()
            environment = {**os.environ, "DANBAO_KAFKA": f"127.0.0.1:{proxy.listening}"}
            program = await asyncio.create_subprocess_exec(
                sys.executable, "-c", code, env=environment, stdout=asyncio.subprocess.PIPE
            )
            began = asyncio.get_running_loop().time()

            async def is_over() -> bool:
                return asyncio.get_running_loop().time() - began > OUTAGE_SECONDS

            await eventually_async(is_over, "the outage to last")
        ticks = Path(f"/proc/{program.pid}/stat").read_text().rpartition(")")[2].split()[11:13]
        assert sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK") < MOST_CPU_SHARE * OUTAGE_SECONDS
        proxy.cut()
        async with broker(port, proxy.listening, tmp_path / "second.log"):
            proxy.go_on()
            await make_topic(proxy)
            out, _ = await asyncio.wait_for(program.communicate(), 90)
            assert program.returncode == 0
            assert out.split()[-1] in await keys_of(proxy)
