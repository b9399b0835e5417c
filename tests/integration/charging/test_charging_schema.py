"""The schema: what the service's role may not do, what nobody may do, and that the code knows its columns."""

import asyncpg
import pytest

from services.charging.rows.order_columns import (
    COPY_COLUMNS,
    INHERITED_COLUMNS,
    KEY_COLUMNS,
    ORDER_COLUMNS,
    content_sql,
)
from services.charging.store.derived_rows import ChargeRow
from tests.integration.charging.charging_harness import House, Sent, accepted, cancelled, declared

HISTORY = (
    "enterprise", "run", "manifest", "batch_day", "entry", "entry_20261003", "parked", "resent", "conflict",
    "declaration", "participant", "resend", "day_count", "day_settlement", "accounted_day", "number_range",
    "judged_day", "number_gap", "moved_on", "assessment",
)  # fmt: skip


@pytest.fixture
async def full(house: House) -> House:
    """A house with a row in every table."""
    one = await house.worker()
    await one.charge(accepted("o1"), cancelled("o1"), accepted("o1", token_key=2), declared("d1"), Sent(b"nonsense"))
    await one.charge(
        accepted("o1", accepted_at="2026-10-03T12:00:01+08:00"), cancelled("o9"), accepted("o3", sequence=13)
    )
    await house.pool.execute("insert into charging.resent select batch, leaf_index, 0, 9 from charging.parked")
    seen = "select charging.move_on('cluster', topic, 0, next_offset, 99, null, 'r', 'w', 'y') from charging.position"
    await house.pool.execute(f"{seen} limit 1")
    await house.close("2026-10-03")
    await house.pool.execute("""insert into charging.assessment
        select batch, 0, 1, 'main', 2, 2, '2026-10-03', 44, 1, 234, 100, 'presumed' from charging.manifest limit 1""")
    await house.close("2026-10-04", previous=await house.cut())
    return house


async def test_no_history_is_updated_or_deleted_by_the_role(full: House) -> None:
    for table in HISTORY:
        assert table == "entry_20261003" or await full.value(f"select count(*) from charging.{table}") > 0, table
        column = await full.value(
            "select attname from pg_attribute where attrelid = $1::regclass and attnum > 0 order by -attnum limit 1",
            f"charging.{table}",
        )
        for sql in (
            f"update charging.{table} set {column} = {column}",
            f"delete from charging.{table}",
            f"truncate charging.{table} cascade",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await full.pool.execute(sql)


async def test_nor_by_the_owner(full: House) -> None:
    owner = await asyncpg.connect(full.owner_url)
    try:
        for table in HISTORY:
            columns = await owner.fetchval(
                "select string_agg(format('%I = %I', attname, attname), ', ') from pg_attribute"
                " where attrelid = $1::regclass and attnum > 0 and attidentity = ''"
                " and not attisdropped", f"charging.{table}"
            )  # fmt: skip
            for sql in (
                f"update charging.{table} set {columns}",
                f"delete from charging.{table}",
                f"truncate charging.{table} cascade",
            ):
                with pytest.raises(asyncpg.IntegrityConstraintViolationError, match="history is never changed"):
                    await owner.execute(sql)
    finally:
        await owner.close()


async def test_the_role_owns_nothing_and_makes_nothing(full: House) -> None:
    for sql in (
        "create table charging.mine (a int)",
        "drop trigger history on charging.manifest",
        "alter table charging.entry disable trigger all",
        "drop table charging.entry_20261003",
        "update charging.position set first_offset = 0",
        "delete from charging.position",
        "update charging.unsettled set batch = 0",
        "insert into charging.alembic_version values ('x')",
        "select charging.refuse_change()",
        "insert into charging.moved_on (cluster_id) values ('x')",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await full.pool.execute(sql)


async def test_the_auditor_reads_every_table_and_writes_none(full: House) -> None:
    # Other schemas' tests give the role another password, and it is one for the whole server.
    auditor = await asyncpg.connect(full.owner_url)
    try:
        await auditor.execute("set role danbao_auditor")
        for table in {*HISTORY, "position", "unsettled", "outbox"} - {"entry_20261003"}:
            await auditor.fetch(f"select * from charging.{table}")
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await auditor.execute(f"delete from charging.{table}")
    finally:
        await auditor.close()


async def test_the_code_knows_the_columns_of_the_rows(house: House) -> None:
    stored = await house.fetch("""select attname, format_type(atttypid, atttypmod), not attnotnull from pg_attribute
        where attrelid = 'charging.entry'::regclass and attnum > 0 and not attisdropped""")
    types = {"timestamptz": "timestamp with time zone"}
    known = [(column.name, types.get(column.sql_type, column.sql_type), column.is_nullable) for column in ORDER_COLUMNS]
    assert sorted(known) == sorted(map(tuple, stored))
    key = """select attname from pg_index join pg_attribute a on attrelid = indrelid and attnum = any(indkey)
        where indrelid = 'charging.entry'::regclass and indisprimary order by array_position(indkey, attnum)"""
    assert tuple(name for (name,) in await house.fetch(key)) == KEY_COLUMNS


def test_the_content_is_what_the_event_says_but_its_number() -> None:
    """Charging decides the others: a resent event may come in another batch, under another number and tariff."""
    others = {
        "batch", "leaf_index", "kind", "premium", "tariff_line", "received", "recorded_at", "series", "sequence"
    } | {*KEY_COLUMNS}  # fmt: skip
    compared = content_sql("i")
    assert {name for name in COPY_COLUMNS if f"i.{name}" not in compared} | {"kind"} == others
    assert "case i.kind when 3 then i.reason end" in compared


def test_a_derived_row_repeats_what_its_charge_says_of_the_order() -> None:
    of_charge = {"kind", "premium", "tariff_line", "uscc"}
    of_cause = {"received", "ended_at", "departed"}
    assert {*INHERITED_COLUMNS} == {*ChargeRow.__struct_fields__} - of_charge - of_cause


async def test_a_part_is_a_day_in_shanghai_and_made_once(house: House) -> None:
    for _ in range(2):
        await house.pool.execute("select charging.ensure_partitions('2026-10-31', '2026-11-01')")
    parts = """select c.relname, pg_get_expr(c.relpartbound, c.oid) from pg_inherits join pg_class c on c.oid = inhrelid
        where inhparent = 'charging.entry'::regclass order by 1"""
    assert await house.fetch(parts) == [
        ("entry_20261031", "FOR VALUES FROM ('2026-10-30 16:00:00+00') TO ('2026-10-31 16:00:00+00')"),
        ("entry_20261101", "FOR VALUES FROM ('2026-10-31 16:00:00+00') TO ('2026-11-01 16:00:00+00')"),
    ]
    with pytest.raises(asyncpg.RaiseError, match="mistake"):
        await house.pool.execute("select charging.ensure_partitions('2022-01-01', '2026-11-01')")
