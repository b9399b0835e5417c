"""Charging, topic to durable commit, beside raw COPY of the very same rows into the same table and key.

Orders are preloaded into the embedded broker; then one or more workers, each a process of its own as in production,
charge them: positions, rows with leaves, Merkle root, manifest and outbox in every transaction, fsync on. The rate
counts from the first commit to the last, by the database's clock; joining the group is not in it. The rival copies the
stored rows into an empty table of the same shape, one stream, batches as large, one commit each.
"""

import asyncio
import sys
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from aiokafka import AIOKafkaProducer

from deploy.embedded.children import start_child
from deploy.embedded.ports import free_port
from deploy.embedded.stack import EmbeddedStack
from services.charging.rows import ENTRY_COLUMNS
from shared.adapters.kafka import ensure_topics
from shared.adapters.migrations import migrate
from shared.adapters.postgres import Pool, open_pool, with_login
from shared.adapters.scheme_files import load_scheme
from shared.contracts.topics import orders_topic
from shared.domain.calendar import SHANGHAI
from shared.runtime.settings import HOUSE, Settings

BATCH: Final = 8_000
DAY: Final = datetime(2026, 10, 9, 11, 0, tzinfo=SHANGHAI)
TIME_OUT_SECONDS: Final = 90.0
ENTERPRISES: Final = 3
_SCHEME: Final = (HOUSE / "deploy" / "tariffs", HOUSE / "deploy" / "demo")


def run(*, orders: int = 400_000, workers: int = 1) -> dict[str, Any]:
    """Measure; returns rates (per second), their ratio, and what was measured. Runs in the main thread."""
    with EmbeddedStack() as stack, TemporaryDirectory(prefix="danbao-bench-") as folder:
        return asyncio.run(_measure(stack, Path(folder), orders, workers))


async def _measure(stack: EmbeddedStack, folder: Path, orders: int, workers: int) -> dict[str, Any]:
    owner = stack.database()
    roles = {"danbao_charging": "bench-charging", "danbao_auditor": "bench-auditor"}
    await migrate(owner, "charging", HOUSE / "services" / "charging" / "migrations", roles)
    await _preload(stack.kafka, orders)
    children = [
        start_child(
            f"charging-{number}",
            [sys.executable, "-m", "services.charging"],
            env=_environment(stack, with_login(owner, "danbao_charging", "bench-charging")),
            cwd=HOUSE,
            log=folder / f"charging-{number}.log",
        )
        for number in range(workers)
    ]
    try:
        async with open_pool(owner, size=2) as pool:
            await _wait_for(pool, orders, children)
            charging = await _charging_rate(pool)
            mean_batch = await pool.fetchval("select round(avg(events))::int from charging.manifest")
            for child in children:
                child.stop()
            copy = await _copy_rate(pool)
    finally:
        for child in children:
            child.stop()
    return {
        "charging_orders_per_second": round(charging),
        "copy_rows_per_second": round(copy),
        "ratio": round(charging / copy, 3),
        "orders": orders,
        "workers": workers,
        "events_per_batch": mean_batch,
    }


def _environment(stack: EmbeddedStack, database: str) -> dict[str, str]:
    return {
        "DANBAO_KAFKA": stack.kafka,
        "DANBAO_DATABASE": database,
        "DANBAO_PORT": str(free_port()),
        "DANBAO_SERVICE_KEY": "bench",
        "DANBAO_SCHEME": ":".join(map(str, _SCHEME)),
        "DANBAO_KAFKA_SESSION_TIMEOUT_MS": "2000",
        "DANBAO_KAFKA_HEARTBEAT_MS": "300",
        "DANBAO_KAFKA_METADATA_MAX_AGE_MS": "1000",
        "DANBAO_KAFKA_IDEMPOTENT": "false",
    }


async def _preload(bootstrap: str, orders: int) -> None:
    """Orders of several enterprises, accepted over two hours, as ordinary events of 380 bytes."""
    enterprises = _ride_hailing_enterprises()
    settings = Settings(kafka=bootstrap, kafka_idempotent=False)
    await ensure_topics(settings, {orders_topic(uscc): settings.order_partitions for uscc in enterprises})
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap, linger_ms=5, max_batch_size=512 * 1024, acks="all", enable_idempotence=False
    )
    await producer.start()
    try:
        last = None
        for topic, key, value, at in _events(enterprises, orders):
            last = await producer.send(topic, value, key=key, timestamp_ms=at)
        assert last is not None
        await producer.flush()
    finally:
        await producer.stop()


def _ride_hailing_enterprises() -> list[str]:
    """The demo's first enterprises: ride-hailing, enrolled everywhere."""
    return sorted(load_scheme(_SCHEME).enterprises)[:ENTERPRISES]


def _events(enterprises: list[str], orders: int) -> Iterator[tuple[str, bytes, bytes, int]]:
    tokens = [sha256(f"worker {number}".encode()).hexdigest() for number in range(20_000)]
    step = timedelta(hours=2) / orders
    for number in range(orders):
        uscc, at = enterprises[number % len(enterprises)], DAY + number * step
        order = f"B{number:019}"
        value = (
            f'{{"specversion":"1.0","id":"{number}","source":"urn:uscc:{uscc}","type":"order.accepted.v1","data":'
            f'{{"order_id":"{order}","worker_id":"{tokens[number * 7 % 20_000]}","token_key":1,"industry":'
            f'"ride_hailing","acceptance_region":"440106","accepted_at":"{at.isoformat()}","series":"main","sequence":'
            f"{number + 1}}}}}"
        )
        yield orders_topic(uscc), order.encode(), value.encode(), int(at.timestamp() * 1000)


async def _wait_for(pool: Pool, orders: int, children: list[Any]) -> None:
    deadline = time.monotonic() + TIME_OUT_SECONDS
    while await pool.fetchval("select coalesce(sum(events), 0) from charging.manifest") < orders:
        for child in children:
            if child.poll() is not None:
                raise RuntimeError(f"a worker ended: {child.last_words()}")
        if time.monotonic() > deadline:
            raise TimeoutError(f"{orders} orders were not charged within {TIME_OUT_SECONDS} s")
        await asyncio.sleep(0.05)


async def _charging_rate(pool: Pool) -> float:
    """Events after the first commit, over the time from the first commit to the last."""
    row = await pool.fetchrow(
        """select sum(events) - min(events) filter (where first) as events,
            extract(epoch from max(committed_at) - min(committed_at)) as seconds
        from (select *, committed_at = min(committed_at) over () as first
            from charging.manifest where events > 0) m"""
    )
    return float(row["events"]) / float(row["seconds"])


async def _copy_rate(pool: Pool) -> float:
    """The same rows in the same order of batches, into an empty partitioned table with the same key."""
    columns = ", ".join(ENTRY_COLUMNS)
    rows = [tuple(row) for row in await pool.fetch(f"select {columns} from charging.entry order by batch, leaf_index")]
    await pool.execute(
        """create table charging.rival (like charging.entry including all) partition by range (accepted_at);
        create table charging.rival_day (like charging.entry including all);
        alter table charging.rival attach partition charging.rival_day default"""
    )
    batches = [sorted(rows[start : start + BATCH]) for start in range(0, len(rows), BATCH)]
    async with pool.acquire() as connection:
        began = time.perf_counter()
        for batch in batches:
            await connection.copy_records_to_table(
                "rival", schema_name="charging", columns=ENTRY_COLUMNS, records=batch
            )
        return len(rows) / (time.perf_counter() - began)
