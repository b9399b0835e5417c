"""A day of orders in the books, as the services write it: what closes and audits are measured on.

Orders are read from memory and written by charging's own reader and writer, two runs at a time, each batch with its
leaves, root and manifest; the ledger books the manifests. A worker has a home region and one enterprise, and every
tenth order of another one; orders are spread over 24 hours, 500 regions and 30 orders a worker. Of a hundred orders two
are cancelled, half of them so that the charge is taken back; of a thousand one is sent again under another time.
"""

import asyncio
import multiprocessing
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from datetime import date, timedelta
from hashlib import sha256
from typing import Final

import msgspec
from sqlalchemy.ext.asyncio import AsyncEngine

from benchmarks.authors import CHARGING
from benchmarks.orders import SCHEME, insured_regions
from benchmarks.records import LIMITS, Record, moves
from services.charging.close.settlement import settle
from services.charging.ingest.batch_reader import EventReader
from services.charging.store.batch_writer import write_batch
from services.charging.store.day_partitions import DayPartitions
from services.charging.store.manifests import start_run
from services.demo.generator.wire import SECOND, Acceptance, accepted, cancelled
from services.ledger.books.booking import receive_manifest
from services.ledger.books.open_days import open_books
from shared.adapters.files.regions import known_regions
from shared.adapters.files.scheme import load_scheme
from shared.adapters.postgres.engine import open_engine
from shared.adapters.postgres.migrations import migrate
from shared.adapters.postgres.pool import Pool, open_pool, with_login
from shared.contracts.manifests import PremiumsCharged
from shared.contracts.topics import orders_topic
from shared.domain.calendar import day_number, day_start, since_epoch_us
from shared.runtime.settings import HOUSE

DAY: Final = date(2026, 10, 1)
BATCH: Final = 8_000
RUNS: Final = 2
ORDERS_A_WORKER: Final = 30
ENTERPRISES: Final = (
    ("91000000FAKE00001F", "ride_hailing"),
    ("91000000FAKE00002J", "ride_hailing"),
    ("91000000FAKE00003M", "ride_hailing"),
    ("91000000FAKE00006Y", "instant_delivery"),
)
"""Enrolled in every province."""
CLUSTER: Final = "bench"
ROLES: Final = {role: f"bench-{role}" for role in ("danbao_charging", "danbao_ledger", "danbao_auditor")}
_BEGIN: Final = day_start(DAY)


def login(owner: str, role: str) -> str:
    """The URL of a service's role on the owner's database."""
    return with_login(owner, role, ROLES[role])


async def make_day(owner: str, orders: int) -> None:
    """Migrate charging and ledger, write the day of so many orders, book its manifests. In the main thread."""
    for schema in ("charging", "ledger"):
        roles = {role: password for role, password in ROLES.items() if role in {f"danbao_{schema}", "danbao_auditor"}}
        await migrate(owner, schema, HOUSE / "services" / schema / "migrations", roles)
    async with open_pool(login(owner, "danbao_charging"), size=1) as pool:
        enterprises = sorted(load_scheme(SCHEME).enterprises)
        await pool.execute("insert into charging.enterprise (uscc) select unnest($1::text[])", enterprises)
        await DayPartitions(pool, 1).ensure([day_number(DAY)])
    with ProcessPoolExecutor(RUNS, mp_context=multiprocessing.get_context("spawn")) as processes:
        loop = asyncio.get_running_loop()
        await asyncio.gather(*(loop.run_in_executor(processes, write_run, owner, run, orders) for run in range(RUNS)))
    async with (
        open_pool(login(owner, "danbao_charging"), size=1) as pool,
        open_engine(login(owner, "danbao_ledger"), size=1) as engine,
    ):
        await _settle_all(pool)
        await open_books(engine, DAY)
        await _book_all(pool, engine)
    async with open_pool(owner, size=1) as pool:
        await pool.execute("vacuum analyze")  # as autovacuum has done by the time of a close


def write_run(owner: str, run: int, orders: int) -> None:
    """Write every second batch of the day as a separate run; called in a separate process."""
    asyncio.run(_write_run(owner, run, orders))


async def _write_run(owner: str, run: int, orders: int) -> None:
    async with open_pool(login(owner, "danbao_charging"), size=1) as pool:
        ids = {row["uscc"]: row["id"] for row in await pool.fetch("select uscc, id from charging.enterprise")}
        for uscc, _ in ENTERPRISES:
            await pool.execute(
                "insert into charging.position values ($1, $2, $3, 0, 0)", CLUSTER, orders_topic(uscc), run
            )
        reader = EventReader(load_scheme(SCHEME), known_regions(), ids, LIMITS)
        async with pool.acquire() as connection:
            started = await start_run(connection, "orders", CHARGING)
            for records in _polls(run, orders):
                batch = reader.read(records, started.next_batch())
                await write_batch(connection, CLUSTER, started, batch, moves(records), use_copy=True)


def _polls(run: int, orders: int) -> Iterator[list[Record]]:
    """Records of a run as polls bring them, sorted by topic and offset."""
    offsets = dict.fromkeys((orders_topic(uscc) for uscc, _ in ENTERPRISES), 0)
    days = _Day(orders, run)
    for first in range(run * BATCH, orders, RUNS * BATCH):
        records: dict[str, list[Record]] = {topic: [] for topic in offsets}
        for number in range(first, min(first + BATCH, orders)):
            for topic, key, value, at_ms in days.events(number):
                records[topic].append(Record(topic, run, offsets[topic], at_ms, key, value))
                offsets[topic] += 1
        yield [record for topic in sorted(records) for record in records[topic]]


class _Day:
    """What happens on the day, by an order's number; each run has its own series, without a gap."""

    def __init__(self, orders: int, run: int) -> None:
        self._run, self._given = run, Counter[tuple[str, str]]()
        self._step = timedelta(days=1) / (orders + 1)
        self._regions = insured_regions()
        self._tokens = [sha256(f"worker {n}".encode()).hexdigest() for n in range(max(1, orders // ORDERS_A_WORKER))]

    def events(self, number: int) -> Iterator[tuple[str, bytes, bytes, int]]:
        """Topic, key, value and record time of each event of an order."""
        at, worker = _BEGIN + number * self._step, number * 7919 % len(self._tokens)
        uscc, industry = ENTERPRISES[(worker + (number % 10 == 3)) % len(ENTERPRISES)]
        order = Acceptance(
            accepted=since_epoch_us(at),
            topic=orders_topic(uscc),
            uscc=uscc,
            order_id=f"B{number:019}",
            worker=self._tokens[worker],
            industry=industry,
            region=self._regions[worker * 31 % len(self._regions)],
            series=f"{self._run}-{number % 8}",
        )
        self._given[uscc, order.series] += 1
        order.sequence = self._given[uscc, order.series]
        yield _event(order, accepted(order), order.accepted)
        if number % 50 == 0:
            end = order.accepted + (30 if number % 100 else 300) * SECOND
            yield _event(order, cancelled(order, end, "customer", departed=False), end)
        if number % 1000 == 7:
            again = replace(order, accepted=order.accepted + SECOND)
            yield _event(again, accepted(again), again.accepted)


def _event(order: Acceptance, value: bytes, sent: int) -> tuple[str, bytes, bytes, int]:
    """Topic, key, value and record time; `sent` is microseconds since 1970."""
    return order.topic, order.order_id.encode(), value, sent // 1000


async def _settle_all(pool: Pool) -> None:
    """What a worker does every few seconds: by the time of a close nothing waits."""
    async with pool.acquire() as connection:
        run = await start_run(connection, "settlement", CHARGING)
    while await pool.fetchval("select exists (select from charging.unsettled)"):
        await settle(pool, load_scheme(SCHEME), run)


async def _book_all(pool: Pool, engine: AsyncEngine) -> None:
    for row in await pool.fetch("select payload from charging.manifest order by run_id, number"):
        await receive_manifest(engine, msgspec.json.decode(row["payload"], type=PremiumsCharged))
