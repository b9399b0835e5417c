"""Whether an order costs more the more orders lie before it: one insured day, filled by the writer alone, from memory.

Two writers, each a process with charging's own reader and writer: rows, key, leaves, root, manifest, positions and
outbox in each transaction, fsync on. There is no broker. Orders are read from bytes beside the writing, and only the
writing is timed: rows of a million by the seconds that their transactions took. `python -m benchmarks.growth ROWS`.
"""

import asyncio
import gc
import json
import multiprocessing
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import date, datetime, timedelta
from itertools import chain
from typing import Any, Final

from benchmarks.authors import CHARGING
from benchmarks.orders import SCHEME, Event, Writer, ride_hailing_enterprises
from benchmarks.records import LIMITS, Record, moves
from benchmarks.table import Row
from deploy.embedded.postgres import EmbeddedPostgres
from services.charging.ingest.batch_reader import EventReader
from services.charging.store.batch_writer import write_batch
from services.charging.store.manifests import start_run
from shared.adapters.files.regions import known_regions
from shared.adapters.files.scheme import load_scheme
from shared.adapters.postgres.migrations import migrate
from shared.adapters.postgres.pool import open_pool, with_login
from shared.contracts.topics import orders_topic
from shared.domain.calendar import SHANGHAI
from shared.runtime.settings import HOUSE

ROWS: Final = 20_000_000
"""In `make bench`: 50 million take eight minutes, and the whole table must not take longer than 40."""
WRITERS: Final = 2
BATCH: Final = 8_000
WINDOW: Final = 1_000_000
DAY: Final = date(2026, 10, 9)
CLUSTER: Final = "bench"
_BEGIN: Final = datetime(DAY.year, DAY.month, DAY.day, tzinfo=SHANGHAI)


Written = tuple[float, int, float]
"""When a batch was committed, its rows, and the seconds that writing it took."""


def rows(_: object = None, count: int = ROWS) -> list[Row]:
    """The row of the table."""
    found = run(count)
    what = f"writing the last of {count // 1_000_000} million rows of one day beside the second million"
    return [Row("growth", what, "x", found["ratio"], 0.9, measured=found)]


def run(count: int) -> dict[str, Any]:
    """Measure; rates are rows a second of one writer's time. In the main thread."""
    with EmbeddedPostgres() as postgres:
        postgres.create_database("bench")
        return asyncio.run(_measure(postgres.url("bench"), count))


async def _measure(owner: str, count: int) -> dict[str, Any]:
    roles = {"danbao_charging": "bench-charging", "danbao_auditor": "bench-auditor"}
    await migrate(owner, "charging", HOUSE / "services" / "charging" / "migrations", roles)
    async with open_pool(owner, size=1) as pool:
        await pool.execute(
            "insert into charging.enterprise (uscc) select unnest($1::text[])", ride_hailing_enterprises()
        )
        await pool.execute("select charging.ensure_partitions($1, $1)", DAY)
    login, began = with_login(owner, "danbao_charging", "bench-charging"), time.monotonic()
    with ProcessPoolExecutor(WRITERS, mp_context=multiprocessing.get_context("spawn")) as processes:
        loop = asyncio.get_running_loop()
        reported = await asyncio.gather(
            *(loop.run_in_executor(processes, write, login, n, count) for n in range(WRITERS))
        )
    rates = _rates(sorted(chain.from_iterable(reported)))
    return {
        "ratio": round(rates[-1] / rates[1], 3),
        "second_million_rows_per_second": rates[1],
        "last_million_rows_per_second": rates[-1],
        "each_tenth_rows_per_second": [_mean(rates, tenth) for tenth in range(10)],
        "rows": count,
        "writers": WRITERS,
        "seconds": round(time.monotonic() - began),
    }


def _rates(written: Sequence[Written]) -> list[int]:
    """Rows a second of writing, of each million in the order of commits."""
    rates, count, seconds = [], 0, 0.0
    for _, number, taken in written:
        count, seconds = count + number, seconds + taken
        if count >= WINDOW:
            rates.append(round(count / seconds))
            count, seconds = 0, 0.0
    return rates


def _mean(rates: Sequence[int], tenth: int) -> int:
    part = rates[len(rates) * tenth // 10 : max(len(rates) * (tenth + 1) // 10, len(rates) * tenth // 10 + 1)]
    return round(sum(part) / len(part))


def write(login: str, writer: int, count: int) -> list[Written]:
    """Every second batch of the day; in a process of its own."""
    return asyncio.run(_write(login, writer, count))


async def _write(login: str, writer: int, count: int) -> list[Written]:
    written = []
    gc.disable()  # as in a worker
    async with open_pool(login, size=1) as pool, pool.acquire() as connection:
        ids = {row["uscc"]: row["id"] for row in await connection.fetch("select uscc, id from charging.enterprise")}
        reader, run = (
            EventReader(load_scheme(SCHEME), known_regions(), ids, LIMITS),
            await start_run(connection, "orders", CHARGING),
        )
        for uscc in ids:
            sql = "insert into charging.position values ($1, $2, $3, 0, 0)"
            await connection.execute(sql, CLUSTER, orders_topic(uscc), writer)
        for records in _polls(writer, count):
            batch = reader.read(records, run.next_batch())
            began = time.perf_counter()
            await write_batch(connection, CLUSTER, run, batch, moves(records), use_copy=True)
            written.append((time.time(), len(records), time.perf_counter() - began))
    return written


def _polls(writer: int, count: int) -> Iterator[list[Record]]:
    """Records as polls bring them, sorted by topic and offset."""
    orders, step = Writer(), timedelta(days=1) / (count + 1)
    offsets = dict.fromkeys(map(orders_topic, ride_hailing_enterprises()), 0)
    for first in range(writer * BATCH, count, WRITERS * BATCH):
        events = [orders.accepted(number, _BEGIN + number * step) for number in range(first, min(first + BATCH, count))]
        yield list(_records(writer, sorted(events, key=_topic), offsets))


def _topic(event: Event) -> str:
    return event[0]


def _records(writer: int, events: Sequence[Event], offsets: dict[str, int]) -> Iterator[Record]:
    for topic, key, value, at_ms in events:
        yield Record(topic, writer, offsets[topic], at_ms, key, value)
        offsets[topic] += 1


if __name__ == "__main__":
    print(json.dumps(run(int(sys.argv[1]) if len(sys.argv) > 1 else ROWS), indent=2))
