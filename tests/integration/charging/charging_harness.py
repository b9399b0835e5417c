"""Charging without Kafka: records made here, read and written as the consumer does it, on a real PostgreSQL."""

import json
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

import asyncpg
import msgspec

from services.charging.close.count_day import count_day
from services.charging.close.settlement import settle
from services.charging.ingest.batch_reader import EventReader
from services.charging.rows.kept_records import SealedRecord, open_record
from services.charging.store.batch_writer import write_batch
from services.charging.store.day_partitions import DayPartitions
from services.charging.store.first_arrivals import find_first_arrivals
from services.charging.store.manifests import Run, start_run
from services.charging.store.positions import Move
from shared.adapters.crypto.signing import AuthorSigner
from shared.adapters.files.regions import known_regions
from shared.adapters.files.scheme import load_scheme
from shared.adapters.postgres.migrations import migrate
from shared.adapters.postgres.pool import Connection, Pool, open_pool, with_login
from shared.contracts.manifests import DayClosing, DayCounted, PremiumsCharged
from shared.contracts.topics import orders_topic
from shared.domain.calendar import SHANGHAI
from shared.domain.scheme.rating import Scheme
from shared.intake.limits import IntakeLimits
from tests.support.authors import CHARGING
from tests.support.servers import Postgres, drop_database, make_database

ROOT = Path(__file__).resolve().parents[3]
SCHEME = [ROOT / "deploy" / "tariffs", ROOT / "deploy" / "demo", ROOT / "tests" / "corpus" / "scheme"]
"""The demo's, where one enterprise, RIDES, has to sign what it declares of 2027."""
ROLE, PASSWORD = "danbao_charging", "charging"
RIDES, OTHER_RIDES, FREIGHT = "91000000FAKE00001F", "91000000FAKE00002J", "91000000FAKE000072"
STRANGER = "91000000FAKE00999X"
GUANGDONG, BEIJING = "440106", "110105"
NOON = datetime(2026, 10, 3, 12, tzinfo=SHANGHAI)
CLUSTER = "cluster"
LIMITS = IntakeLimits(max_event_bytes=65_536, max_skew_seconds=300, max_age_days=30)


@dataclass
class Record:
    """What a Kafka client hands over."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Any = ()


@dataclass(frozen=True)
class Sent:
    """An event on its way: its bytes, and the time the log gives it."""

    value: bytes | None
    at: datetime = NOON
    uscc: str = RIDES
    time_ms: int | None = None
    headers: Sequence[tuple[str, bytes | None]] = ()
    key: bytes | None = b"k"


def worker(number: int, rest: int = 0) -> str:
    """A token; two of one `number` share the eight bytes that are stored in the key."""
    return f"{number:016x}{rest:048x}"


def event(kind: str, order_id: str, at: datetime = NOON, *, uscc: str = RIDES, **data: Any) -> dict[str, Any]:
    """A CloudEvent as a dictionary; `data` None removes a field."""
    body = {
        "order_id": order_id,
        "worker_id": worker(1),
        "token_key": 1,
        "industry": "ride_hailing",
        "acceptance_region": GUANGDONG,
        "accepted_at": at.isoformat(),
        **data,
    }
    return {
        "specversion": "1.0",
        "id": f"{kind} {order_id}",
        "source": f"urn:uscc:{uscc}",
        "type": f"order.{kind}.v1",
        "data": {name: value for name, value in body.items() if value is not None},
    }


def accepted(order_id: str, at: datetime = NOON, **data: Any) -> Sent:
    """An acceptance whose record has the time of the acceptance."""
    uscc = data.pop("uscc", RIDES)
    body = event("accepted", order_id, at, uscc=uscc, **{"series": "main", "sequence": 1, **data})
    return Sent(json.dumps(body).encode(), at, uscc)


def completed(order_id: str, at: datetime = NOON, seconds: float = 600, **data: Any) -> Sent:
    uscc = data.pop("uscc", RIDES)
    end = at + timedelta(seconds=seconds)
    return Sent(
        json.dumps(event("completed", order_id, at, uscc=uscc, completed_at=end.isoformat(), **data)).encode(),
        end,
        uscc,
    )


def cancelled(order_id: str, at: datetime = NOON, seconds: float = 30, **data: Any) -> Sent:
    uscc = data.pop("uscc", RIDES)
    end = at + timedelta(seconds=seconds)
    body = {"cancelled_at": end.isoformat(), "reason": "customer", "departed": False, **data}
    return Sent(json.dumps(event("cancelled", order_id, at, uscc=uscc, **body)).encode(), end, uscc)


def declared(declaration_id: str, day: str = "2026-10-03", orders: int = 1, uscc: str = RIDES) -> Sent:
    total = {"province": "44", "industry": "ride_hailing", "orders": orders, "premium_yuan": "0.01"}
    series = {"series": "main", "used": [{"first": 1, "last": 9}]}
    data = {"declaration_id": declaration_id, "day": day, "series": [series], "totals": [total]}
    body = {
        "specversion": "1.0", "id": declaration_id, "source": f"urn:uscc:{uscc}", "type": "day.declared.v1",
        "data": data,
    }  # fmt: skip
    return Sent(json.dumps(body).encode(), NOON, uscc)


@lru_cache
def demo_scheme() -> Scheme:
    return load_scheme(SCHEME)


@dataclass
class House:
    """One database with charging's schema, and workers that write into it."""

    owner_url: str
    url: str
    pool: Pool
    scheme: Scheme
    offsets: dict[str, int] = field(default_factory=dict)
    workers: list["Worker"] = field(default_factory=list)
    author: AuthorSigner = CHARGING

    async def worker(self) -> "Worker":
        """One more start of a worker."""
        async with self.pool.acquire() as connection:
            run = await start_run(connection, "orders", self.author)
            settlement_run = await start_run(connection, "settlement", self.author)
        ids = {row["uscc"]: row["id"] for row in await self.pool.fetch("select uscc, id from charging.enterprise")}
        made = Worker(
            self,
            run,
            settlement_run,
            EventReader(self.scheme, known_regions(), ids, LIMITS),
            DayPartitions(self.pool, 1),
        )
        self.workers.append(made)
        return made

    async def place(self, sent: Sequence[Sent]) -> list[Record]:
        """Append to the logs, one partition a topic; the records as a poll brings them."""
        records = []
        for event in sent:
            topic = orders_topic(event.uscc)
            offset = self.offsets.setdefault(topic, 0)
            self.offsets[topic] += 1
            time_ms = round(event.at.timestamp() * 1000) if event.time_ms is None else event.time_ms
            records.append(Record(topic, 0, offset, time_ms, event.key, event.value, event.headers))
        for topic in {record.topic for record in records}:
            await self.pool.execute(
                "insert into charging.position values ($1, $2, 0, 0, 0) on conflict do nothing", CLUSTER, topic
            )
        return sorted(records, key=lambda record: (record.topic, record.offset))

    async def close(
        self,
        day: str,
        cut: dict[str, int] | None = None,
        previous: dict[str, int] | None = None,
        attempt: int = 1,
        gap_days: int = 3,
    ) -> DayCounted:
        """Count a day, over everything unless a cut is given; the answer as it is sent."""
        closing = DayClosing(
            day=datetime.fromisoformat(day).date(),
            attempt=attempt,
            cut=await self.cut() if cut is None else cut,
            previous_cut=previous or {},
        )
        await count_day(self.pool, self.scheme, closing, self.author, gap_days)
        sql = "select payload from charging.outbox where topic = 'days.counted.v1' order by id desc limit 1"
        return msgspec.json.decode(await self.pool.fetchval(sql), type=DayCounted)

    async def cut(self) -> dict[str, int]:
        """The last number of every run, those of closes too: what the ledger has booked when it has booked all."""
        sql = "select run, max(number) as last from charging.run join charging.manifest on run_id = id group by run"
        return {row["run"]: row["last"] for row in await self.pool.fetch(sql)}

    async def corrections(self) -> list[PremiumsCharged]:
        """The manifests of re-ratings, in the order in which they were written."""
        sql = """select payload from charging.manifest join charging.run on id = run_id
            where purpose = 'correction' order by run_id, number"""
        return [msgspec.json.decode(payload, type=PremiumsCharged) for (payload,) in await self.fetch(sql)]

    async def fetch(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in await self.pool.fetch(sql, *values)]

    async def value(self, sql: str, *values: object) -> Any:
        return await self.pool.fetchval(sql, *values)

    async def kept(self, table: str) -> dict[tuple[str, int], SealedRecord]:
        """What is parked or in conflict as it came, by topic and offset: unsealed with the keys of its days."""
        sql = f"select * from charging.{table} join charging.kept_key on day = sealed_on"
        return {
            (row["topic"], row["record_offset"]): open_record(
                row["key"], f"charging.{table}", row["batch"], row["leaf_index"], row["sealed"]
            )
            for row in await self.pool.fetch(sql)
        }


@dataclass
class Worker:
    """One run, without Kafka."""

    house: House
    run: Run
    settlement_run: Run
    reader: EventReader
    partitions: DayPartitions

    async def charge(self, *sent: Sent, use_copy: bool = True) -> PremiumsCharged:
        """One batch of these events; returns its manifest."""
        return await self.take(await self.house.place(sent), use_copy=use_copy)

    async def take(
        self, records: Sequence[Record], *, use_copy: bool = True, connection: Connection | None = None
    ) -> PremiumsCharged:
        """One batch of these records."""
        arrivals = await find_first_arrivals(self.house.pool, records)
        batch = self.reader.read(records, self.run.next_batch(), arrivals)
        await self.partitions.ensure(batch.days)
        moves = moves_of(records)
        if connection is not None:
            return (await write_batch(connection, CLUSTER, self.run, batch, moves, use_copy=use_copy)).manifest
        async with self.house.pool.acquire() as own:
            return (await write_batch(own, CLUSTER, self.run, batch, moves, use_copy=use_copy)).manifest

    async def settle(self) -> int | None:
        return await settle(self.house.pool, self.house.scheme, self.settlement_run)


def moves_of(records: Sequence[Record]) -> list[Move]:
    """From the first to behind the last record of each topic."""
    by_topic: dict[str, list[Record]] = {}
    for record in records:
        by_topic.setdefault(record.topic, []).append(record)
    return [Move(topic, 0, mine[0].offset, mine[-1].offset + 1, len(mine)) for topic, mine in by_topic.items()]


async def migrate_charging(owner_url: str) -> None:
    scripts = ROOT / "services" / "charging" / "migrations"
    await migrate(owner_url, "charging", scripts, {ROLE: PASSWORD, "danbao_auditor": PASSWORD})


@asynccontextmanager
async def charging_template(server: Postgres) -> AsyncIterator[str]:
    """The name of a database with charging's schema, to be copied: a copy is quicker than a migration."""
    name = await make_database(server)
    await migrate_charging(server.url(name))
    yield name
    await drop_database(server, name)


@asynccontextmanager
async def copied_database(server: Postgres, template: str) -> AsyncIterator[str]:
    """The owner's URL of a copy, dropped afterwards."""
    name = f"test_{secrets.token_hex(6)}"
    owner = await asyncpg.connect(server.url("postgres"))
    try:
        await owner.execute(f'create database "{name}" template "{template}"')
        # Roles belong to the server: a system that ran on it meanwhile has given them other passwords.
        await owner.execute(f"alter role {ROLE} password '{PASSWORD}'")
        await owner.execute(f'grant temporary on database "{name}" to {ROLE}')
        yield server.url(name)
    finally:
        await owner.execute(f'drop database if exists "{name}" with (force)')
        await owner.close()


@asynccontextmanager
async def open_house(owner_url: str, scheme: Scheme | None = None) -> AsyncIterator[House]:
    """A database with the schema, and every enterprise of the scheme registered in it."""
    scheme = scheme or demo_scheme()
    url = with_login(owner_url, ROLE, PASSWORD)
    async with open_pool(url, size=6) as pool:
        await pool.execute(
            "insert into charging.enterprise (uscc) select unnest($1::text[])", sorted(scheme.enterprises)
        )
        yield House(owner_url, url, pool, scheme)


def reported(manifest: PremiumsCharged | DayCounted) -> dict[tuple[str, str | None], int]:
    """Orders by outcome and reason."""
    counts: dict[tuple[str, str | None], int] = {}
    for total in manifest.totals:
        key = (total.outcome.value, total.reason)
        counts[key] = counts.get(key, 0) + total.orders
    return counts
