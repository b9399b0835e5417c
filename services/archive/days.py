"""Read which days may be archived and the state of each, and run the DDL that detaches and drops a partition.

It runs as `danbao_archivist`, a member of the tables' owners: no service has a privilege to drop a partition.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from services.archive.files import Index
from services.archive.jobs import Batch, part_of, restoring_of
from shared.adapters.postgres.pool import Connection
from shared.domain.errors import Refused

_PARTS: Final = """
    select to_date(substr(c.relname, 7), 'YYYYMMDD') as day, inhdetachpending as is_leaving
    from pg_inherits join pg_class c on c.oid = inhrelid where inhparent = 'charging.entry'::regclass order by 1"""
_DETACHED: Final = r"""
    select to_date(substr(relname, 7), 'YYYYMMDD') as day from pg_class
    where relnamespace = 'charging'::regnamespace and relkind = 'r' and relname ~ '^entry_\d{8}$'
        and not relispartition"""
_BATCHES: Final = """
    select m.batch, r.run, m.number, m.leaves, m.root, (
        select array_agg(d.insured_on) from charging.batch_day d where d.batch = m.batch) as days
    from charging.batch_day b join charging.manifest m using (batch) join charging.run r on r.id = m.run_id
    where b.insured_on = $1 order by m.batch"""
_UNPROVED: Final = """
    with covered as (
        select coalesce(max(size), 0) as size from ledger.checkpoint c
        where exists (select from ledger.cosignature o where o.size = c.size)
            or not exists (select from ledger.cosignature))
    select count(*) from charging.batch_day b
    join charging.manifest m using (batch) join charging.run r on r.id = m.run_id
    left join ledger.log_entry e on (e.run, e.number) = (r.run, m.number)
    where b.insured_on = $1 and (e.index is null or e.index >= (select size from covered))"""
_RECORDS: Final = "select distinct on (day) * from charging.archive order by day, id desc"


@dataclass(frozen=True, slots=True)
class Record:
    """The latest record of a day."""

    day: date
    what: str
    rows: int
    bytes: int
    index_sha256: str


@dataclass(frozen=True, slots=True)
class Days:
    """Days by state of their partition (attached, detaching, detached), their records, and the last closed day."""

    attached: frozenset[date]
    leaving: frozenset[date]
    detached: frozenset[date]
    records: dict[date, Record]
    last_closed: date | None

    def is_archived(self, day: date) -> bool:
        """Whether the day's rows are in files and no longer in the table."""
        return day in self.records and self.records[day].what != "restored" and day not in self.attached

    def due(self, after_days: int) -> list[date]:
        """Return days that are old enough and have a partition, including interrupted ones."""
        if self.last_closed is None:
            return []
        last = self.last_closed - timedelta(days=after_days)
        return sorted(day for day in self.attached | self.leaving | self.detached if day < last)


async def read_days(connection: Connection) -> Days:
    """Read the current state from the database."""
    parts = await connection.fetch(_PARTS)
    records = [
        Record(row["day"], row["what"], row["rows"], row["bytes"], row["index_sha256"].hex())
        for row in await connection.fetch(_RECORDS)
    ]
    return Days(
        frozenset(row["day"] for row in parts if not row["is_leaving"]),
        frozenset(row["day"] for row in parts if row["is_leaving"]),
        frozenset(row["day"] for row in await connection.fetch(_DETACHED)),
        {record.day: record for record in records},
        await connection.fetchval("select max(day) from ledger.day_closed"),
    )


async def check_day(connection: Connection, day: date, after_days: int, last_closed: date | None) -> None:
    """Raise `Refused` with the reason when a day's rows may not leave the table yet."""
    if last_closed is None or day >= last_closed - timedelta(days=after_days):
        raise Refused(f"{day} may still get rows: archived are days {after_days} days older than the last closed one")
    opened = await connection.fetchval("select opened_on from ledger.books")
    if opened <= day and not await connection.fetchval("select 1 from ledger.day_closed where day = $1", day):
        raise Refused(f"{day} is not closed")
    if count := await connection.fetchval(_UNPROVED, day):
        raise Refused(f"{day}: {count} manifests with rows of it are covered by no checkpoint yet")


async def read_batches(connection: Connection, day: date) -> list[Batch]:
    """Read every batch recorded with rows of the day, with its manifest, ascending."""
    return [
        Batch(row["batch"], row["run"], row["number"], row["leaves"], row["root"], tuple(row["days"]))
        for row in await connection.fetch(_BATCHES, day)
    ]


async def read_enterprises(connection: Connection) -> dict[int, str]:
    """Read the numbers by which rows refer to enterprises."""
    return {row["id"]: row["uscc"] for row in await connection.fetch("select id, uscc from charging.enterprise")}


async def count_rows(connection: Connection, day: date) -> int:
    """Count the rows of a day's table, attached or not."""
    return int(await connection.fetchval(f"select count(*) from charging.{part_of(day)}"))


async def index_late_rows(connection: Connection, day: date) -> None:
    """Summarise pages added to the sealed day's BRIN index by batch, which every query would scan otherwise."""
    index = f"charging.{part_of(day)}_batch"
    await connection.execute("select brin_summarize_new_values(to_regclass($1))", index)


async def exists(connection: Connection, table: str) -> bool:
    """Return whether charging's schema has a table of that name."""
    return await connection.fetchval("select to_regclass('charging.' || $1)", table) is not None


async def note_archived(connection: Connection, index: Index, sha256: str, nodes: dict[int, bytes]) -> None:
    """Record a day as archived, with the subtrees that replace its rows in batches of several days."""
    async with connection.transaction():
        await connection.executemany(
            "insert into charging.archived_nodes (day, batch, nodes) values ($1, $2, $3) on conflict do nothing",
            [(index.day, batch, packed) for batch, packed in sorted(nodes.items())],
        )
        await note(connection, index.day, "archived", index.rows, index.bytes, sha256)


async def note(connection: Connection, day: date, what: str, rows: int, size: int, sha256: str) -> None:
    """Append a record of a day."""
    await connection.execute(
        "insert into charging.archive (day, what, rows, bytes, index_sha256) values ($1, $2, $3, $4, $5)",
        day, what, rows, size, bytes.fromhex(sha256),
    )  # fmt: skip


async def let_go(connection: Connection, day: date, days: Days) -> bool:
    """Detach and drop an archived day's partition; False when it has other rows by now, and stays."""
    part = part_of(day)
    if day in days.leaving:
        await connection.execute(f"alter table charging.entry detach partition charging.{part} finalize")
    elif day in days.attached:
        # Concurrently: it waits for those who read the table, and nobody waits for it.
        await connection.execute(f"alter table charging.entry detach partition charging.{part} concurrently")
    return bool(await connection.fetchval("select charging.drop_archived($1)", day))


async def begin_restoring(connection: Connection, day: date) -> None:
    """Create an empty table for the day's rows; the table of an earlier attempt is dropped."""
    table = restoring_of(day)
    await connection.execute(f"drop table if exists charging.{table}")
    await connection.execute(f"create table charging.{table} (like charging.entry including all)")
    # Ops for several ranges: files are copied side by side, so pages that are neighbours hold batches that are not.
    index = f"{table}_by_batch on charging.{table} using brin (batch int8_minmax_multi_ops)"
    await connection.execute(f"create index {index}")


async def end_restoring(connection: Connection, day: date) -> None:
    """Attach the table as the day's partition, then build the lookup indexes, as at the day's count."""
    async with connection.transaction():
        await connection.execute(f"drop index charging.{restoring_of(day)}_by_batch")
        await connection.execute("select charging.attach_restored($1)", day)
    await seal(connection, day)


async def seal(connection: Connection, day: date) -> None:
    """Build the missing indexes of a day in the table."""
    await connection.execute("select charging.seal_partition($1)", day)


def split(batches: Sequence[Batch], leaves: int) -> list[list[Batch]]:
    """Split batches into groups of about this many leaves; no batch is divided."""
    groups: list[list[Batch]] = []
    room = 0
    for batch in batches:
        if not groups or room < batch.leaves:
            groups.append([])
            room = leaves
        groups[-1].append(batch)
        room -= batch.leaves
    return groups
