"""An archived day's files: leaves as the domain has them, what was altered is named, what was added is not dropped."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from benchmarks.archive import DAY, USCCS, fill
from services.archive import days as table
from services.archive import files
from services.archive.archive import Archive
from services.archive.read_archive import read_rows
from services.archive.rows import exact, leaf_hashes
from services.archive.time_order import sort_by_leaf
from shared.adapters.arrow.database import open_arrow
from shared.adapters.postgres.migrations import migrate
from shared.adapters.postgres.pool import Connection, open_pool
from shared.domain.calendar import since_epoch_us
from shared.domain.errors import Refused
from shared.domain.evidence.leaf import NO_INT64, order_leaf
from shared.domain.evidence.merkle import leaf_hash
from shared.domain.scheme.worker import join_token
from tests.integration.charging.charging_harness import ROOT, migrate_charging
from tests.support.servers import Postgres, drop_database, make_database

ORDERS = 20_000
PART = f"charging.entry_{DAY:%Y%m%d}"
ROWS_FILE = "rows-0001.parquet"


@dataclass
class Shelf:
    """A filled day, and where it is archived to."""

    url: str
    connection: Connection
    folder: Path
    archive: Archive

    @property
    def day(self) -> Path:
        return self.folder / DAY.isoformat()

    async def let_go(self) -> bool:
        return await table.let_go(self.connection, DAY, await table.read_days(self.connection))

    async def forge(self, path: Path, rows: pa.Table) -> None:
        """What somebody does who may write everything: the file, the index, and the record of its hash."""
        pq.write_table(rows, path)
        index = files.Index.decode((self.day / files.INDEX).read_bytes())
        measured = tuple(files.measure(self.day, file.name) for file in index.files)
        forged = files.Index(index.day, index.rows, index.enterprises, measured)
        (self.day / files.INDEX).write_bytes(forged.encode())
        await table.note(self.connection, DAY, "archived", index.rows, 1, files.digest(forged.encode()))


@pytest.fixture
async def shelf(postgres: Postgres, tmp_path: Path) -> AsyncIterator[Shelf]:
    name = await make_database(postgres)
    url = postgres.url(name)
    await migrate_charging(url)
    roles = {"danbao_ledger": "a password for tests", "danbao_auditor": "a password for tests"}
    await migrate(url, "ledger", ROOT / "services" / "ledger" / "migrations", roles)
    async with open_pool(url, size=1) as pool, pool.acquire() as connection:
        await fill(url, connection, ORDERS)
        yield Shelf(url, connection, tmp_path, Archive(url, connection, tmp_path, 1, workers=2, leaves=10_000))
    await drop_database(postgres, name)


def nothing(_: int) -> None:
    """Ignore the progress."""


@pytest.mark.exhaustive
async def test_what_was_altered_is_named_and_what_was_added_is_not_dropped(shelf: Shelf) -> None:
    index = await shelf.archive.write(DAY, nothing)
    assert (index.rows, len(index.rows_files)) == (ORDERS, 3)
    await shelf.connection.execute(
        f"insert into {PART} select * from jsonb_populate_record(null::{PART}, (select to_jsonb(e) ||"
        f' \'{{"order_id": "added"}}\' from {PART} e limit 1))'
    )
    assert not await shelf.let_go()
    assert await table.count_rows(shelf.connection, DAY) == ORDERS + 1
    assert (await table.read_days(shelf.connection)).records[DAY].what == "restored"
    with pytest.raises(Refused, match="do not give its root"):
        await shelf.archive.write(DAY, nothing)
    await shelf.connection.execute("set session_replication_role = replica")
    await shelf.connection.execute(f"delete from {PART} where order_id = 'added'")
    await shelf.archive.write(DAY, nothing)
    assert await shelf.let_go()
    assert (await shelf.archive.verify(DAY, nothing)).rows == ORDERS

    path = shelf.day / ROWS_FILE
    original, rows = path.read_bytes(), pq.read_table(path)
    path.write_bytes(original[:-9] + bytes([255 - original[-9]]) + original[-8:])
    with pytest.raises(Refused, match=f"{ROWS_FILE}: SHA-256"):
        await shelf.archive.restore(DAY, nothing)
    premium = pc.add(rows["premium"], pa.scalar(1, pa.int32()))
    await shelf.forge(path, rows.set_column(rows.schema.get_field_index("premium"), "premium", premium))
    with pytest.raises(Refused, match="do not give its root"):
        await shelf.archive.verify(DAY, nothing)
    with pytest.raises(Refused, match="do not give its root"):
        await shelf.archive.restore(DAY, nothing)
    await shelf.forge(path, rows.slice(1))
    with pytest.raises(Refused, match="not those of its batches"):
        await shelf.archive.verify(DAY, nothing)
    await shelf.forge(path, rows)
    assert await shelf.archive.restore(DAY, nothing)
    assert await table.count_rows(shelf.connection, DAY) == ORDERS


async def test_an_archive_of_the_first_version_is_read_as_before(shelf: Shelf) -> None:
    """Rows of the first version are ordered by batch and leaf, with the leaf's index, and lack the time of sending."""
    index = await shelf.archive.write(DAY, nothing)
    assert await shelf.let_go()
    for name in index.rows_files:
        rows = sort_by_leaf(pq.read_table(shelf.day / name)).drop_columns("recorded_at")
        assert rows["leaf_index"].to_pylist()[:3] == [0, 1, 2]
        await shelf.forge(shelf.day / name, rows)
    text = (shelf.day / files.INDEX).read_bytes().replace(b'"version": 2', b'"version": 1')
    (shelf.day / files.INDEX).write_bytes(text)
    await table.note(shelf.connection, DAY, "archived", index.rows, 1, files.digest(text))
    assert b'"version": 1' in text
    assert (await shelf.archive.verify(DAY, nothing)).rows == ORDERS
    assert await shelf.archive.restore(DAY, nothing)
    with pytest.raises(Refused, match="version 3, and this program reads up to 2"):
        files.Index.decode(text.replace(b'"version": 1', b'"version": 3'))


async def test_files_are_given_up_only_after_their_time(shelf: Shelf) -> None:
    await shelf.archive.write(DAY, nothing)
    assert await shelf.archive.past_retention(DAY + timedelta(days=9), 1) == []  # its rows are in the table
    assert await shelf.let_go()
    assert await shelf.archive.past_retention(DAY + timedelta(days=1826), 1826) == []
    assert await shelf.archive.past_retention(DAY + timedelta(days=1827), 1826) == [DAY]
    await shelf.archive.prune(DAY)
    assert not shelf.day.exists()
    assert [state["state"] for state in await shelf.archive.states()] == ["pruned"]
    with pytest.raises(Refused, match="was pruned"):
        await shelf.archive.restore(DAY, nothing)
    assert await shelf.archive.past_retention(date(2040, 1, 1), 1826) == []


async def test_leaves_by_the_column_are_those_of_the_domain(shelf: Shelf) -> None:
    """Each column missing and there, texts of many lengths, signs that are no ASCII."""
    stored = await shelf.connection.fetch(f"select * from {PART} order by batch, leaf_index limit 400")
    rows = []
    for number, record in enumerate(stored):
        row = dict(record)
        row["worker"] = join_token(row["worker_key"], row["worker_rest"])
        row |= {
            "departed": [None, True, False][number % 3],
            "ended_at": None if number % 2 else row["accepted_at"] + timedelta(microseconds=number),
            "sequence": None if number % 5 == 0 else number,
            "order_id": "单" * (number % 4) + "x" * (number % 7) + "y",
            "series": None if number % 3 else "s" * (number % 6),
            "agency_uscc": None if number % 4 else "9" * 18,
            "employer_insurance_no": None if number % 8 else f"GS{number}",
            "premium": -number if number % 9 == 0 else number,
        }
        rows.append(row)
    schema = pa.schema(
        [(name, pa.int16()) for name in ("kind", "enterprise", "tariff_line", "token_key", "industry", "reason")]
        + [(name, pa.int32()) for name in ("premium", "region")]
        + [(name, pa.timestamp("us", "UTC")) for name in ("accepted_at", "ended_at")]
        + [("sequence", pa.int64()), ("departed", pa.bool_()), ("worker", pa.binary()), ("received", pa.binary())]
        + [(name, pa.string()) for name in ("order_id", "series", "agency_uscc", "employer_insurance_no")]
    )
    table = exact(pa.Table.from_pylist(rows, schema))
    hashes = leaf_hashes(table, USCCS)
    assert leaf_hashes(pa.concat_tables([table] * 50), USCCS) == hashes * 50  # more than are encoded together
    for number, row in enumerate(rows):
        assert hashes[number * 32 : number * 32 + 32] == leaf_hash(_leaf(row)), row


async def test_rows_by_the_column_are_those_of_the_table(shelf: Shelf) -> None:
    """Each column missing and there, texts of many lengths, the ends of each range; of some batches of several."""
    await shelf.connection.execute("set session_replication_role = replica")
    await shelf.connection.execute(f"""update {PART} set
        ended_at = case when leaf_index % 2 = 0 then accepted_at + leaf_index * interval '1 us' end,
        sequence = case leaf_index % 5 when 0 then null when 1 then 9223372036854775807 when 2 then 0 else sequence end,
        departed = case leaf_index % 3 when 0 then true when 1 then false end,
        kind = case when leaf_index % 7 = 0 then 4 else kind end,
        recorded_at = case when leaf_index % 7 = 1 then accepted_at + leaf_index * interval '61 s' end,
        premium = case when leaf_index % 7 = 0 then -premium else premium end,
        order_id = repeat('单', leaf_index % 4) || repeat(E'x|\\n', leaf_index % 6) || leaf_index,
        series = case when leaf_index % 3 = 0 then repeat('s', leaf_index % 6) end,
        agency_uscc = case when leaf_index % 4 = 0 then '91000001FAKE00001F' end,
        employer_insurance_no = case when leaf_index % 8 = 0 then 'GS' || leaf_index end where leaf_index < 300""")
    wanted = [1 << 32 | 1, 1 << 32 | 3]
    stored = await shelf.connection.fetch(
        f"select *, int8send(worker_key) || worker_rest as worker from {PART} where batch = any($1)"
        " order by batch, leaf_index",
        wanted,
    )
    with open_arrow(shelf.url) as database:
        for leaves in (8_000, 20_000):  # each batch by itself, and both together
            rows = read_rows(database, PART.removeprefix("charging."), dict.fromkeys(wanted, leaves))
            expected = [{name: row[name] for name in rows.column_names} for row in stored]
            assert rows.to_pylist() == expected
        assert read_rows(database, PART.removeprefix("charging."), {}).num_rows == 0


def _leaf(row: dict[str, Any]) -> bytes:
    def encoded(name: str) -> bytes | None:
        return None if row[name] is None else row[name].encode()

    return order_leaf(
        row["kind"], USCCS[row["enterprise"]].encode(), since_epoch_us(row["accepted_at"]),
        NO_INT64 if row["ended_at"] is None else since_epoch_us(row["ended_at"]),
        NO_INT64 if row["sequence"] is None else row["sequence"], row["premium"], row["region"], row["tariff_line"],
        row["token_key"], row["industry"], row["reason"], -1 if row["departed"] is None else int(row["departed"]),
        row["worker"], row["received"], row["order_id"].encode(), encoded("series"), encoded("agency_uscc"),
        encoded("employer_insurance_no"),
    )  # fmt: skip
