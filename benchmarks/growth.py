"""Measures whether an order costs more the more orders the table holds: one insured day, written from memory.

Two writers, each a process with charging's own reader and writer: rows, key, leaves, root, manifest, positions and
outbox in each transaction, fsync on. There is no broker. Orders are read from bytes in memory, and only the writing
is timed.

The first rows are left out: until the first checkpoint the disk has nothing to write but WAL, and no page is written
whole. A checkpoint is requested after a tenth of the rows and at the beginning of the second and the last third of the
others; a third begins when its checkpoint is done. Compared are the medians of the first and the last third's windows,
so a few windows in which the disk was slow do not count. The spread is that of the same ratio over every fifth window,
five times.
`python -m benchmarks.growth ROWS`.
"""

import asyncio
import gc
import json
import multiprocessing
import sys
import time
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import chain
from statistics import median, quantiles
from typing import Any, Final

from benchmarks.authors import CHARGING
from benchmarks.orders import SCHEME, Event, Writer, ride_hailing_enterprises
from benchmarks.processes import cpu_seconds
from benchmarks.records import LIMITS, Record, moves
from benchmarks.table import Row
from deploy.embedded.postgres import EmbeddedPostgres
from services.charging.ingest.batch_reader import EventReader
from services.charging.store.batch_writer import write_batch
from services.charging.store.manifests import start_run
from shared.adapters.files.regions import known_regions
from shared.adapters.files.scheme import load_scheme
from shared.adapters.postgres.migrations import migrate
from shared.adapters.postgres.pool import Pool, open_pool, with_login
from shared.contracts.topics import orders_topic
from shared.domain.calendar import SHANGHAI
from shared.runtime.settings import HOUSE

ROWS: Final = 20_000_000
"""In `make bench`: 50 million take eight minutes, and the whole table must not take longer than 40."""
WRITERS: Final = 2
BATCH: Final = 8_000
WINDOWS: Final = 100
"""Into how many windows all rows are divided."""
LEAD: Final = 0.1
"""The share of the rows before the first checkpoint."""
SAMPLES: Final = 5
READ_SECONDS: Final = 0.25
CHECKPOINT_SECONDS: Final = 600.0
DAY: Final = date(2026, 10, 9)
CLUSTER: Final = "bench"
NAMES: Final = ("growth", "growth_cpu")
_BEGIN: Final = datetime(DAY.year, DAY.month, DAY.day, tzinfo=SHANGHAI)


Written = tuple[float, int, float]
"""When a batch was committed, its rows, and the seconds that writing it took."""
Checkpoint = tuple[float, float]
"""When it was requested, and when it was done."""


class TooFewRowsError(RuntimeError):
    """Fewer windows than samples in a third were written after the first checkpoint."""


@dataclass(frozen=True)
class Progress:
    """What PostgreSQL had used, and how many rows it had committed, at an instant."""

    at: float
    rows: int
    cpu: dict[str, float]


def rows(wanted: Collection[str] = NAMES, count: int = ROWS) -> list[Row]:
    """Measure the wanted rows of the table, both from one day."""
    figures = run(count)
    rates = ", ".join(f"{rate:,}" for rate in figures["thirds_rows_per_second"])
    what = f"writing the last third of {count / 1e6:g} million rows of one day against the first, after a checkpoint"
    spread = (figures["ratio_least"], figures["ratio_most"])
    measured = [
        Row("growth", what, "x", figures["ratio"], 0.9, runs=SAMPLES, spread=spread, measured=figures,
            detail=f"medians of the thirds {rates} rows/s of a writer's time",
            noise="a cost that does not grow gives 1.0, only 0.1 from the target; the disk moves windows by more"),
    ]  # fmt: skip
    if cpu := figures["thirds_database_cpu_us_a_row"]:
        measured.append(
            Row("growth_cpu", "PostgreSQL's CPU a row in the last third against the first", "x",
                round(cpu[-1] / cpu[0], 3), 1.1, is_at_most=True, measured=figures,
                detail=f"thirds {', '.join(f'{used:.2f}' for used in cpu)} us a row",
                noise="a cost that does not grow gives 1.0, only 0.1 from the target")
        )  # fmt: skip
    return [row for row in measured if row.name in wanted]


def run(count: int) -> dict[str, Any]:
    """Measure; rates are rows a second of one writer's time. In the main thread."""
    with EmbeddedPostgres() as postgres:
        postgres.create_database("bench")
        return asyncio.run(_measure(postgres, count))


async def _measure(postgres: EmbeddedPostgres, count: int) -> dict[str, Any]:
    owner = postgres.url("bench")
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
            writing = asyncio.gather(
                *(loop.run_in_executor(processes, write, login, number, count) for number in range(WRITERS))
            )
            readings, checkpoints = await _request_checkpoints(pool, postgres.server.pid, count, writing)
            written = sorted(chain.from_iterable(await writing))
    return {
        **compare_thirds(divide(written, checkpoints), count, readings),
        "checkpoint_seconds": [round(done - requested, 1) for requested, done in checkpoints],
        "rows": count,
        "writers": WRITERS,
        "seconds": round(time.monotonic() - began),
    }


async def _request_checkpoints(
    pool: Pool, server: int, count: int, writing: asyncio.Future[list[list[Written]]]
) -> tuple[list[Progress], list[Checkpoint]]:
    """Request a checkpoint before each third, until all is written; returns the progress and when each was done."""
    borders = [count * (LEAD + (1 - LEAD) * third / 3) for third in range(3)]
    readings: list[Progress] = []
    checkpoints: list[Checkpoint] = []
    while not writing.done():
        committed = await pool.fetchval("select coalesce(sum(events), 0)::bigint from charging.manifest")
        readings.append(Progress(time.time(), committed, cpu_seconds({"database": [server]})))
        if len(checkpoints) < len(borders) and committed >= borders[len(checkpoints)]:
            requested = time.time()
            await pool.execute("checkpoint", timeout=CHECKPOINT_SECONDS)
            checkpoints.append((requested, time.time()))
        await asyncio.wait([writing], timeout=READ_SECONDS)
    if len(checkpoints) < len(borders):
        raise TooFewRowsError(f"{count} rows were written before the third checkpoint: measure with more")
    return readings, checkpoints


def divide(written: Sequence[Written], checkpoints: Sequence[Checkpoint]) -> list[list[Written]]:
    """Divide the batches by checkpoints; those before the first, and those committed during one, are left out."""
    ends = [*(requested for requested, _ in checkpoints[1:]), float("inf")]
    return [
        [batch for batch in written if done < batch[0] < end] for (_, done), end in zip(checkpoints, ends, strict=True)
    ]


def _rates(written: Sequence[Written], window: float) -> list[float]:
    """Rows a second of one writer's time, of each window of so many rows in the order of commits."""
    rates, rows, seconds = [], 0, 0.0
    for _, number, taken in written:
        rows, seconds = rows + number, seconds + taken
        if rows >= window:
            rates.append(rows / seconds)
            rows, seconds = 0, 0.0
    return rates


def compare_thirds(thirds: Sequence[Sequence[Written]], count: int, readings: Sequence[Progress]) -> dict[str, Any]:
    """Medians of the thirds, and the ratio of the last to the first with its spread.

    Raises:
        TooFewRowsError: A third has fewer windows than there are samples.
    """
    rates = [_rates(third, count / WINDOWS) for third in thirds]
    if min(map(len, rates)) < SAMPLES:
        raise TooFewRowsError(
            f"thirds of {', '.join(str(len(third)) for third in rates)} windows: measure with more rows"
        )
    samples = [median(rates[-1][first::SAMPLES]) / median(rates[0][first::SAMPLES]) for first in range(SAMPLES)]
    has_cpu = bool(readings[0].cpu)
    return {
        "ratio": round(median(rates[-1]) / median(rates[0]), 3),
        "ratio_least": round(min(samples), 3),
        "ratio_most": round(max(samples), 3),
        "thirds_rows_per_second": [round(median(third)) for third in rates],
        "thirds_quartiles_rows_per_second": [[round(rate) for rate in quantiles(third, n=4)] for third in rates],
        "thirds_database_cpu_us_a_row": [
            _cpu_a_row(readings, third[0][0], third[-1][0]) for third in thirds if has_cpu
        ],
        "thirds_rows": [sum(number for _, number, _ in third) for third in thirds],
    }


def _cpu_a_row(readings: Sequence[Progress], begin: float, end: float) -> float:
    """Microseconds of PostgreSQL's CPU a row, between the readings nearest to both instants."""
    first, last = (min(readings, key=lambda reading: abs(reading.at - instant)) for instant in (begin, end))
    if first.rows == last.rows:
        raise TooFewRowsError("a third lies between two readings: measure with more rows")
    return round((last.cpu["database"] - first.cpu["database"]) / (last.rows - first.rows) * 1e6, 2)


def write(login: str, writer: int, count: int) -> list[Written]:
    """Write every WRITERS-th batch of the day, in a separate process."""
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
