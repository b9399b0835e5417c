"""Migrations that carry rows over: what was known before is known after."""

import shutil
from datetime import datetime, timedelta
from pathlib import Path

import asyncpg
import pytest

from shared.adapters.postgres.migrations import migrate
from tests.integration.charging_house import PASSWORD, ROOT
from tests.servers import Postgres, drop_database, make_database

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
    before = tmp_path / "migrations"
    shutil.copytree(SCRIPTS, before)
    for later in (before / "versions").glob("*.py"):
        if later.name >= "0009":
            later.unlink()
    await migrate(url, "charging", before, ROLES)
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
