"""Somebody with all privileges alters what the portal shows: the audit names the row, in every table of the model."""

from collections.abc import AsyncIterator
from datetime import date
from pathlib import Path

import asyncpg
import pytest

from services.audit.reporting.portal import check_read_model
from services.audit.verdict import Verdict
from shared.contracts.manifests import DayClosed
from shared.contracts.topics import STATEMENTS
from tests.integration.portal.read_model_harness import play, projected
from tests.integration.reporting.other_services import OtherServices
from tests.integration.reporting.reporting_harness import House, make_keys, reporting_house, statement

FIRST = date(2026, 9, 25)
ONE = "ctid = (select min(ctid) from reporting.{table})"
CHANGES = {
    "daily_sum": ("premium = premium + 1", "charged = charged + 1", "province = '99'", "insured_on = insured_on - 400"),
    "daily_reason": ("orders = orders + 1", "reason = 'other'"),
    "participation": ("workers = workers - 1",),
    "daily_hours": ("orders[3] = orders[3] + 1",),
    "first_time": ("workers = workers + 1",),
    "monthly_sum": ("premium = premium - 1",),
    "whole_sum": ("excluded = excluded + 1",),
    "monthly_first_time": ("workers = workers + 1",),
    "discrepancy_standing": ("state = 'corrected'", "province = '99'"),
}


@pytest.fixture
async def house(database: str, platform_database: str, tmp_path: Path) -> AsyncIterator[House]:
    async with reporting_house(database, platform_database, make_keys(tmp_path), OtherServices()) as house:
        yield house


async def found(owner: asyncpg.Connection, days: list[DayClosed]) -> list[str]:
    return (await check_read_model(owner, days, Verdict())).findings


async def test_a_figure_altered_in_the_read_model_is_named(house: House, database: str) -> None:
    days = list(play(5, FIRST, 12))
    await house.receive(*days, statement(12))
    assert await house.read(STATEMENTS, b"not a message, so a finding") is not None
    await house.settled()
    await house.examined()
    await projected(house)
    owner = await asyncpg.connect(database)
    try:
        assert await found(owner, days) == []
        for table, changes in CHANGES.items():
            for change in (f"update reporting.{table} set {change} where" for change in changes):
                await alter(owner, days, table, f"{change} {ONE.format(table=table)}")
            await alter(owner, days, table, f"delete from reporting.{table} where {ONE.format(table=table)}")
        await alter(owner, days, "day_projected", "insert into reporting.day_projected values ('2026-12-31')")
        late = "delete from reporting.day_projected where day = '2026-09-30'"
        await alter(owner, days, "daily_sum", late)
        assert await found(owner, days) == [], "every change was taken back"
    finally:
        await owner.close()


async def alter(owner: asyncpg.Connection, days: list[DayClosed], table: str, sql: str) -> None:
    """One change, past every trigger and key; it is named, and taken back."""
    change = owner.transaction()
    await change.start()
    await owner.execute("set local session_replication_role = replica")
    assert (await owner.execute(sql))[-2:] == " 1", sql
    reported = await found(owner, days)
    assert any(f"reporting.{table}" in line for line in reported), (sql, reported[:5])
    await change.rollback()
