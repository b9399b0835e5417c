"""A played month leaves for files and comes back: proofs, audit and lookups on the way, and what was tampered with."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from services.archive.archive import Archive
from services.audit.run import audit_all
from services.demo.demo import audit_sources
from services.demo.running.migrate import ARCHIVIST
from services.demo.running.system import ROLES
from shared.adapters.postgres.pool import with_login
from shared.domain.errors import Refused
from shared.runtime.exits import CommandFailed
from tests.e2e.conftest import Month

pytestmark = pytest.mark.exhaustive
AFTER_DAYS = 24
LAST = date(2026, 10, 31)
GONE = date(2026, 10, 4)
ENTRIES = "select * from charging.entry order by accepted_at, enterprise, order_id, worker_key, kind"
PROOFS = """
    select distinct on (insured_on, kind) uscc, order_id, kind, insured_on
    from (select uscc, order_id, kind, (accepted_at at time zone 'Asia/Shanghai')::date as insured_on
        from charging.entry join charging.enterprise e on e.id = enterprise
        join (select batch from charging.batch_day group by 1 having count(*) > 1) several using (batch)) r
    where insured_on = any($1) order by insured_on, kind, order_id"""


@asynccontextmanager
async def open_archive(month: Month, folder: Path, after_days: int = AFTER_DAYS) -> AsyncIterator[Archive]:
    """The archive as its own login, which is no superuser and owns nothing else, reaches it."""
    password = (month.system.directory / ROLES / ARCHIVIST).read_text().strip()
    administrator = month.system.settings.database.get_secret_value()
    url = with_login(administrator, ARCHIVIST, password)
    connection = await asyncpg.connect(url)
    try:
        yield Archive(url, connection, folder, after_days, workers=2, leaves=400)
    finally:
        await connection.close()


async def fetch(month: Month, sql: str, *values: object) -> list[Any]:
    connection = await asyncpg.connect(month.system.settings.database.get_secret_value())
    try:
        return list(await connection.fetch(sql, *values))
    finally:
        await connection.close()


async def proofs_of(month: Month, days: list[date]) -> dict[Any, Any]:
    """A row of each kind and day, in batches that have rows of several days, with its proof as charging returns it."""
    proofs = {}
    for row in await fetch(month, PROOFS, days):
        path = f"/v1/orders/{row['uscc']}/{row['order_id']}/proof"
        proofs[row["uscc"], row["order_id"], str(row["insured_on"])] = await month.system.apis.charging.get(
            path, day=str(row["insured_on"])
        )
    return proofs


async def is_said_to_be_archived(month: Month, gone: list[Any], day: date) -> None:
    """No query about an order or worker of that day is answered as if there were none."""
    uscc, order_id, worker = gone[0]
    charging = month.system.apis.charging
    for path, params in (
        (f"/v1/orders/{uscc}/{order_id}", {"day": str(day)}),
        (f"/v1/orders/{uscc}/{order_id}/proof", {"day": str(day)}),
        (f"/v1/orders/{uscc}/{order_id}/proof", {}),
        (f"/v1/workers/{worker}/covers", {"at": f"{day}T12:00:00+08:00"}),
        (f"/v1/days/{day}/employee-exclusions", {"province": "44"}),
        (f"/v1/days/{day}/findings", {}),
    ):
        with pytest.raises(CommandFailed, match=r"\(410\).* archived"):
            await charging.get(path, **params)
    with pytest.raises(CommandFailed, match="danbao archive restore"):
        await charging.post("/v1/rerate", {"first_on": str(day), "last_on": str(day), "apply": False})
    with pytest.raises(asyncpg.RaiseError, match=f"danbao archive restore {day}"):
        await fetch(month, "select charging.ensure_partitions($1, $1)", day)


def nothing(_: int) -> None:
    """Ignore the progress."""


async def test_days_leave_prove_themselves_and_come_back(month: Month, tmp_path: Path) -> None:
    before = await fetch(month, ENTRIES)
    stays = [GONE + timedelta(days=n) for n in range(3, 10)]
    proofs = await proofs_of(month, stays)
    assert len(proofs) > 10
    gone = await fetch(
        month,
        "select uscc, order_id, encode(int8send(worker_key) || worker_rest, 'hex') as worker from charging.entry"
        " join charging.enterprise e on e.id = enterprise"
        " where (accepted_at at time zone 'Asia/Shanghai')::date = $1 and kind = 1 limit 1",
        GONE,
    )
    sources = replace(audit_sources(month.system), archive=tmp_path)
    async with open_archive(month, tmp_path) as archive:
        due = await archive.due()
        assert due[-1] == LAST - timedelta(days=AFTER_DAYS + 1)
        days = due[-4:]
        indexes = {day: await archive.archive(day, nothing) for day in days}
        left = await fetch(month, ENTRIES)
        assert len(left) + sum(index.rows for index in indexes.values()) == len(before)
        assert await archive.due() == due[:-4]
        several = await fetch(month, "select * from charging.archived_nodes")
        assert several
        assert {row["day"] for row in several} <= set(days)
        assert await proofs_of(month, stays) == proofs
        await is_said_to_be_archived(month, gone, GONE)
        for day in days:
            assert (await archive.verify(day, nothing)) == indexes[day]
        verdict = await audit_all(sources)
        assert [check.findings for check in verdict.checks if not check.has_passed] == []
        for day in days:
            assert await archive.restore(day, nothing)
            assert not await archive.restore(day, nothing)
    assert await fetch(month, ENTRIES) == before
    verdict = await audit_all(sources)
    assert [check.findings for check in verdict.checks if not check.has_passed] == []


async def test_what_was_cut_short_after_the_record_is_finished_without_writing_again(
    month: Month, tmp_path: Path
) -> None:
    async with open_archive(month, tmp_path) as archive:
        first, second = (await archive.due())[-2:]
        (tmp_path / f"{first}.partial").mkdir()
        index = await archive.write(first, nothing)
        written = (tmp_path / str(first) / "index.json").stat().st_mtime_ns
        assert await archive.archive(first, nothing) == index
        assert (tmp_path / str(first) / "index.json").stat().st_mtime_ns == written
        await archive.write(second, nothing)
        await fetch(month, f"alter table charging.entry detach partition charging.entry_{second:%Y%m%d} concurrently")
        assert second in await archive.due()
        await archive.archive(second, nothing)
        assert {first, second}.isdisjoint(await archive.due())
        for day in (first, second):
            await fetch(month, f"create table charging.restoring_{day:%Y%m%d} ()")  # of a restore that was cut short
            assert await archive.restore(day, nothing)


async def test_a_day_that_may_still_get_rows_stays(month: Month, tmp_path: Path) -> None:
    async with open_archive(month, tmp_path) as archive:
        with pytest.raises(Refused, match="may still get rows"):
            await archive.archive(LAST, nothing)
        with pytest.raises(Refused, match="not archived"):
            await archive.verify(LAST, nothing)
