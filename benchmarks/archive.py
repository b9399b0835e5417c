"""A day's rows to the archive, checked, and back: seconds against a plain COPY of them to a file, and bytes an order.

The rows are made in the database, in charging's order: batches of 8,000, in a batch by partition (three enterprises,
four each) and time; 20 orders a worker and day, 500 regions, 16 series. Tokens and received hashes are random. Included
are reading, writing, reading back, every leaf and root, the detaching and the drop; not the making of the rows.
"""

import asyncio
import json
import sys
import time
from collections.abc import Collection
from datetime import date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import msgspec

from benchmarks.table import Row
from deploy.embedded.postgres import EmbeddedPostgres
from services.archive import days as table
from services.archive.archive import Archive
from services.archive.read_archive import read_rows
from services.archive.rows import leaf_hashes
from services.charging.store.leaf_groups import Groups
from shared.adapters.arrow.database import open_arrow
from shared.adapters.postgres.migrations import migrate
from shared.adapters.postgres.pool import Connection, open_pool
from shared.contracts.manifests import PremiumsCharged
from shared.domain.calendar import SHANGHAI
from shared.runtime.settings import HOUSE

ORDERS: Final = 2_000_000
NAMES: Final = ("archive", "archive_bytes")
DAY: Final = date(2026, 10, 9)
BATCH: Final = 8_000
RUN: Final = "b" * 32
USCCS: Final = {number: f"9100000{number}FAKE00001F" for number in (1, 2, 3)}
ORDERS_A_WORKER: Final = 20
ORDER_IDS: Final = {
    "counting": "'B' || lpad(n::text, 19, '0')",
    "random": "lpad((('x' || left(md5(n::text), 15))::bit(60)::bigint)::text, 20, '7')",
}
_ROWS: Final = """insert into charging.entry (accepted_at, worker_key, batch, ended_at, sequence, leaf_index, premium,
        region, tariff_line, enterprise, token_key, industry, kind, reason, departed, order_id, worker_rest, received,
        series)
    select $2::timestamptz + (n + random()) * $3::interval, hashint8extended(w, 0), $1, null, n + 1,
        row_number() over (order by n % 3, hashint8(n) & 3, n) - 1, 4, 440100 + (w % 500)::int, 1, 1 + n % 3, 1, 1, 1,
        0, null, {order_id}, substr(sha256(int8send(w)), 1, 24), sha256(int8send(n)), 's' || n % 16
    from (select n, abs(hashint8extended(n, 7)) % $6::bigint as w
        from generate_series($4::bigint, $4::bigint + $5::bigint - 1) n) drawn
    order by 1"""


def rows(wanted: Collection[str] = NAMES, orders: int = ORDERS) -> list[Row]:
    """The rows of the table, both from one day."""
    measured = run(orders=orders)
    both = (
        Row("archive", "archiving a day, proved, against a plain COPY of its rows to a file", "times",
            measured["ratio"], 3.0, is_at_most=True, measured=measured),
        Row("archive_bytes", "an order in the archive, ids that count", "bytes",
            measured["bytes_an_order"], 40.0, is_at_most=True, measured=measured),
    )  # fmt: skip
    return [row for row in both if row.name in wanted]


def run(*, orders: int = 10_000_000, order_ids: str = "counting", processes: int = 2) -> dict[str, Any]:
    """Measure; `ratio` is archiving against COPY in the same run. Runs in the main thread."""
    with EmbeddedPostgres() as postgres, TemporaryDirectory(dir=".") as folder:
        postgres.create_database("bench")
        return asyncio.run(_measure(postgres.url("bench"), Path(folder), orders, order_ids, processes))


async def _measure(owner: str, folder: Path, orders: int, order_ids: str, processes: int) -> dict[str, Any]:
    for schema, role in (("charging", "danbao_charging"), ("ledger", "danbao_ledger")):
        roles = {role: "bench-password", "danbao_auditor": "bench-password"}
        await migrate(owner, schema, HOUSE / "services" / schema / "migrations", roles)
    async with open_pool(owner, size=1) as pool, pool.acquire() as connection:
        await fill(owner, connection, orders, order_ids)
        row_bytes = await connection.fetchval(f"select pg_total_relation_size('charging.entry_{DAY:%Y%m%d}')")
        copied = await _timed(_copy(connection, folder))
        archive = Archive(owner, connection, folder, 1, processes)
        written = await _timed(_archive(archive, connection))
        index = (await _timed(archive.verify(DAY, _nobody)))[1]
        checked = (await _timed(archive.verify(DAY, _nobody)))[0]
        restored = (await _timed(archive.restore(DAY, _nobody)))[0]
    return {
        "orders": orders,
        "order_ids": order_ids,
        "processes": processes,
        "copy_seconds": round(copied[0], 1),
        "archive_seconds": round(written[0], 1),
        "ratio": round(written[0] / copied[0], 2),
        "verify_seconds": round(checked, 1),
        "restore_seconds": round(restored, 1),
        "bytes_an_order": round(index.bytes / orders, 2),
        "bytes_an_order_in_the_table": round(row_bytes / orders, 1),
        "bytes_by_file": {file.name: file.bytes for file in index.files if not file.name.startswith("rows-")},
    }


async def fill(owner: str, connection: Connection, orders: int, order_ids: str = "counting") -> None:
    """A sealed day of so many orders in an empty database, with its manifests."""
    await connection.executemany(
        "insert into charging.enterprise (id, uscc) overriding system value values ($1, $2)", list(USCCS.items())
    )
    await connection.execute("insert into charging.run (run, purpose) values ($1, 'orders')", RUN)
    await connection.execute("select charging.ensure_partitions($1, $1)", DAY)
    begin, step = datetime.combine(DAY, datetime.min.time(), SHANGHAI), timedelta(days=1) / (orders + 1)
    rows = _ROWS.replace("{order_id}", ORDER_IDS[order_ids])
    workers = max(1, orders // ORDERS_A_WORKER)
    numbers = range(1, -(-orders // BATCH) + 1)
    for number in numbers:
        first = (number - 1) * BATCH
        await connection.execute(rows, 1 << 32 | number, begin, step, first, min(BATCH, orders - first), workers)
    await connection.execute("select charging.seal_partition($1)", DAY)
    await connection.execute("vacuum analyze charging.entry")
    with open_arrow(owner) as database:
        for first in range(1, numbers.stop, 50):
            group = [1 << 32 | number for number in range(first, min(first + 50, numbers.stop))]
            table = read_rows(database, f"entry_{DAY:%Y%m%d}", dict.fromkeys(group, BATCH))
            hashes, at = leaf_hashes(table, USCCS), 0
            for batch in group:
                count = min(BATCH, orders - ((batch & 0xFFFFFFFF) - 1) * BATCH)
                leaves = [hashes[place * 32 : place * 32 + 32] for place in range(at, at + count)]
                at += count
                await _write_manifest(connection, batch, leaves)


async def _write_manifest(connection: Connection, batch: int, leaves: list[bytes]) -> None:
    number, groups = batch & 0xFFFFFFFF, Groups.of(leaves)
    reported = PremiumsCharged(
        run=RUN, number=number, kind="orders", leaves=len(leaves), root=groups.root.hex(), totals=[]
    )
    async with connection.transaction():
        await connection.execute(
            "insert into charging.manifest (batch, run_id, number, events, leaves, root, payload, groups)"
            " values ($1, 1, $2, 0, $3, $4, $5, $6)",
            batch, number, reported.leaves, groups.root, msgspec.json.encode(reported), bytes(groups),
        )  # fmt: skip
        await connection.execute("insert into charging.batch_day values ($1, $2)", DAY, batch)


async def _copy(connection: Connection, folder: Path) -> None:
    """All columns of the day to a file on the same disk, in PostgreSQL's own binary form."""
    path = folder / "copy.bin"
    sql = f"select * from charging.entry_{DAY:%Y%m%d}"
    await connection.copy_from_query(sql, output=str(path), format="binary")
    path.unlink()


async def _archive(archive: Archive, connection: Connection) -> None:
    await archive.write(DAY, _nobody)
    if not await table.let_go(connection, DAY, await table.read_days(connection)):
        raise RuntimeError("the part got rows meanwhile")


async def _timed(work: Any) -> tuple[float, Any]:
    began = time.perf_counter()
    result = await work
    return time.perf_counter() - began, result


def _nobody(_: int) -> None: ...


def main() -> None:
    """`python -m benchmarks.archive [orders] [counting|random] [processes]`

    The table's figure is that of `python -m benchmarks archive`: started as a script, this module is imported by each
    of the archive's processes, too, which takes them half a second that `danbao archive` does not take.
    """
    orders, order_ids, processes = (*sys.argv[1:], *("10000000", "counting", "2")[len(sys.argv) - 1 :])
    print(json.dumps(run(orders=int(orders), order_ids=order_ids, processes=int(processes)), indent=2))


if __name__ == "__main__":
    main()
