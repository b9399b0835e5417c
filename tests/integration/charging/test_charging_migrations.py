"""Migrations that carry rows over: what was known before is known after."""

import shutil
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path

import asyncpg
import pytest

from services.charging.rows.kept_records import open_record
from shared.adapters.postgres.migrations import migrate
from tests.integration.charging.charging_harness import PASSWORD, ROOT
from tests.support.servers import Postgres, drop_database, make_database

SCRIPTS = ROOT / "services" / "charging" / "migrations"
ROLES = {"danbao_charging": PASSWORD, "danbao_auditor": PASSWORD}
NOON = datetime.fromisoformat("2026-10-03T12:00:00+08:00")
_ROWS = """
    insert into charging.enterprise (uscc) values ('91000000FAKE00001F');
    select charging.ensure_parts('2026-10-03', '2026-10-03');
    begin;
    insert into charging.run (run, purpose) values (repeat('a', 32), 'orders');
    insert into charging.manifest (batch, run_id, number, events, leaves, root, payload, groups) values
        (4294967297, 1, 1, 2, 2, sha256(''), '', repeat('x', 36)::bytea);
    insert into charging.batch_received values (4294967297, 1, '2026-10-03T12:30:00+08:00');
    insert into charging.entry (accepted_at, worker_key, batch, ended_at, leaf_index, premium, region, tariff_line,
        enterprise, token_key, industry, kind, reason, order_id, worker_rest, received)
    select at, 1, 4294967297, case kind when 2 then at + interval '1 s' end, row_number() over () - 1,
        case kind when 1 then 100 else 0 end, 440100, 1, 1, 1, 1, kind, 0, name, '', ''
    from (values ('late', '2026-10-03T12:00:00+08:00'::timestamptz, 1), ('late', '2026-10-03T12:00:00+08:00', 2),
        ('at once', '2026-10-03T12:29:01+08:00', 1)) as given (name, at, kind);
    commit;
"""


@pytest.fixture
async def url(postgres: Postgres):  # type: ignore[no-untyped-def]
    name = await make_database(postgres)
    yield postgres.url(name)
    await drop_database(postgres, name)


async def test_a_batchs_earliest_record_becomes_the_time_of_its_late_orders(url: str, tmp_path: Path) -> None:
    await _migrate_before("0009", url, tmp_path)
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(_ROWS)
        await migrate(url, "charging", SCRIPTS, ROLES)
        rows = await connection.fetch("select order_id, kind, recorded_at from charging.entry order by 1, 2")
        assert [tuple(row) for row in rows] == [
            ("at once", 1, None),
            ("late", 1, NOON + timedelta(minutes=30)),
            ("late", 2, None),
        ]
        with pytest.raises(asyncpg.IntegrityConstraintViolationError, match="history is never changed"):
            await connection.execute("update charging.entry set recorded_at = null")
    finally:
        await connection.close()


_KEPT = """
    begin;
    insert into charging.run (run, purpose) values (repeat('a', 32), 'orders');
    insert into charging.manifest (batch, run_id, number, events, leaves, root, payload, groups) values
        (4294967297, 1, 1, 2, 2, sha256(''), '', repeat('x', 36)::bytea);
    insert into charging.parked values (4294967297, 0, 'orders.v1.91000000FAKE00001F', 0, 7, 99, 'a key',
        '[["driver", "WmhhbmcgU2Fu"]]', 'Zhang San', 'not_json', 'a 13800138000 detail'),
        (4294967297, 1, 'orders.v1.91000000FAKE00001F', 0, 8, 99, null, '[]', null, 'empty', 'no bytes');
    insert into charging.resent values (4294967297, 0, 0, 9);
    insert into charging.conflict values (4294967297, 2, 'orders.v1.91000000FAKE00001F', 0, 9, 99, 'Zhang San', null, 1,
        'o1', null, 7);
    commit;
"""


async def test_what_was_kept_in_clear_is_sealed(url: str, tmp_path: Path) -> None:
    await _migrate_before("0012", url, tmp_path)
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(_KEPT)
        await migrate(url, "charging", SCRIPTS, ROLES)
        records = {}
        for table in ("charging.parked", "charging.conflict"):
            rows = await connection.fetch(f"select * from {table} join charging.kept_key on day = sealed_on")
            for row in rows:
                assert "Zhang" not in str(tuple(row))
                record = open_record(row["key"], table, row["batch"], row["leaf_index"], row["sealed"])
                assert row["received"] == sha256(record.value or b"").digest()
                records[row["leaf_index"]] = (record.value, record.key, record.headers)
            pages = await connection.fetchval(f"select pg_read_binary_file(pg_relation_filepath('{table}'))")
            assert b"Zhang San" not in pages, "the table was written anew"
        assert records == {
            0: (b"Zhang San", b"a key", [("driver", b"Zhang San")]), 1: (None, None, []), 2: (b"Zhang San", None, []),
        }  # fmt: skip
        assert await connection.fetchval("select detail from charging.parked where leaf_index = 0") == "a … detail"
        with pytest.raises(asyncpg.IntegrityConstraintViolationError, match="history is never changed"):
            await connection.execute("update charging.parked set reason = 'empty'")
    finally:
        await connection.close()


async def _migrate_before(version: str, url: str, tmp_path: Path) -> None:
    before = tmp_path / "migrations"
    shutil.copytree(SCRIPTS, before)
    for later in (before / "versions").glob("*.py"):
        if later.name >= version:
            later.unlink()
    await migrate(url, "charging", before, ROLES)
