"""Row-level security: every table of reporting, read as every view role. What is not guarded, no view role may read."""

from collections.abc import AsyncIterator
from typing import Final

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.reporting.access.viewers import Role, Viewer, viewing
from shared.adapters.postgres.engine import open_engine
from tests.integration.reporting.reporting_harness import (
    BLUE,
    GREEN,
    WORKER,
    migrate_reporting,
    portal_url,
)
from tests.integration.reporting.viewer_credentials import viewer_with_key

BOTH, PROVINCE, ENTERPRISE, COUNTRY = {"province", "enterprise"}, {"province"}, {"enterprise"}, set[str]()
GUARDED: Final = {
    "report": BOTH,
    "share": BOTH,
    "delivery": BOTH,
    "receipt": BOTH,
    "statement_issued": BOTH,
    "discrepancy": BOTH,
    "discrepancy_order": BOTH,
    "discrepancy_sighting": BOTH,
    "discrepancy_state": BOTH,
    "discrepancy_standing": BOTH,
    "discrepancy_now": BOTH,
    "day_figure": BOTH,
    "injury_notice": COUNTRY,
    "injury_check": COUNTRY,
    "reported_total": COUNTRY,
    "total_check": COUNTRY,
    "look": COUNTRY,
    "remittance": BOTH,
    "daily_sum": BOTH,
    "daily_reason": BOTH,
    "participation": BOTH,
    "daily_hours": BOTH,
    "first_time": PROVINCE,
    "monthly_sum": BOTH,
    "whole_sum": BOTH,
    "monthly_first_time": PROVINCE,
    "statement_sum": BOTH,
    "arrival": ENTERPRISE,
}
"""By whose scope the rows of a table are seen; the national regulator and operators see all of them, workers none."""
OPEN_TO_OFFICES: Final = {"day_projected"}
"""Days, and nothing of anybody's."""
PLACES: Final = [(province, enterprise) for province in ("44", "11", None) for enterprise in (BLUE, GREEN, None)]
VIEWERS: Final = [
    (Role.NATIONAL, None),
    (Role.OPERATOR, None),
    (Role.PROVINCE, "44"),
    (Role.ENTERPRISE, BLUE),
    (Role.WORKER, WORKER),
]
_LOOSENED: Final = """
do $$
declare
    each record;
begin
    for each in select conrelid::regclass as relation, conname, contype, conkey from pg_constraint
                where connamespace = 'reporting'::regnamespace and conrelid <> 0 order by contype <> 'p' loop
        if not exists (select from pg_attribute where attrelid = each.relation and attnum = any(each.conkey)
                       and attidentity <> '') or each.contype not in ('n', 'p') then
            execute format('alter table %s drop constraint if exists %I cascade', each.relation, each.conname);
        end if;
    end loop;
end $$
"""
_RELATIONS: Final = """
select c.relname, c.relkind, c.relrowsecurity and c.relforcerowsecurity as is_guarded,
    coalesce('security_invoker=true' = any(c.reloptions), false) as is_invoker,
    array(select attname::text from pg_attribute where attrelid = c.oid and attnum > 0 and not attisdropped) as columns,
    array(select r.rolname::text from pg_roles r where r.rolname like 'danbao\\_view\\_%'
          and has_any_column_privilege(r.rolname, c.oid, 'select')) as readers,
    exists (select from pg_roles r where r.rolname like 'danbao\\_view\\_%'
            and (has_table_privilege(r.rolname, c.oid, 'delete, truncate')
                 or has_any_column_privilege(r.rolname, c.oid, 'insert, update'))) as is_written
from pg_class c where c.relnamespace = 'reporting'::regnamespace and c.relkind in ('r', 'p', 'v', 'm', 'f')
"""


@pytest.fixture
async def owner(database: str) -> AsyncIterator[asyncpg.Connection]:
    """Reporting's schema, and its owner."""
    await migrate_reporting(database)
    connection = await asyncpg.connect(database)
    yield connection
    await connection.close()


@pytest.fixture
async def engine(database: str, owner: asyncpg.Connection) -> AsyncIterator[AsyncEngine]:
    """As the portal logs in."""
    async with open_engine(portal_url(database), size=1) as opened:
        yield opened


async def test_what_a_view_role_may_read_is_guarded_and_nothing_may_it_write(owner: asyncpg.Connection) -> None:
    relations = {row["relname"]: row for row in await owner.fetch(_RELATIONS)}
    readable = {name for name, row in relations.items() if row["readers"]}
    assert readable == set(GUARDED) | OPEN_TO_OFFICES
    unguarded = {name for name in GUARDED if not (relations[name]["is_guarded"] or relations[name]["is_invoker"])}
    assert unguarded == set()
    assert {name for name, row in relations.items() if row["is_written"]} == set()


async def test_each_viewer_sees_its_own_rows_of_every_table(owner: asyncpg.Connection, engine: AsyncEngine) -> None:
    columns = {row["relname"]: set(row["columns"]) for row in await owner.fetch(_RELATIONS)}
    viewers = [await viewer_with_key(owner, *who) for who in VIEWERS]
    await owner.execute(_LOOSENED)
    for table in GUARDED:
        if table not in {"discrepancy_now", "discrepancy_standing"}:  # a view, and what a trigger keeps
            await seed(owner, table, columns[table])
    wrong = []
    for viewer in viewers:
        async with viewing(engine, viewer) as connection:
            for table, rule in GUARDED.items():
                key = "id" if table == "discrepancy_now" else "ctid"
                rows = await connection.execute(text(f"select {key}::text from reporting.{table}"))
                seen = {number_of(value) for value in rows.scalars()}
                if seen != {number for number, place in enumerate(PLACES, 1) if is_seen(viewer, rule, *place)}:
                    wrong.append((viewer.role, table, seen))
    assert wrong == []


async def seed(owner: asyncpg.Connection, table: str, columns: set[str]) -> None:
    """A row for each place, in order, with nothing in it but what says whose it is."""
    for number, (province, enterprise) in enumerate(PLACES, 1):
        known = {"province": province, "enterprise": enterprise, "report_id": str(number), "discrepancy_id": number}
        if table in {"discrepancy", "discrepancy_state"}:
            known |= {"id": number, "state": "open"}
        row = {name: value for name, value in known.items() if name in columns}
        names, places = ", ".join(row), ", ".join(f"${n}" for n in range(1, len(row) + 1))
        values = f"({names}) overriding system value values ({places})" if row else "default values"
        await owner.execute(f"insert into reporting.{table} {values}", *row.values())


def number_of(value: str) -> int:
    """Of a row, by its place in the table, or its id."""
    return int(value.strip("()").rpartition(",")[2])


def is_seen(viewer: Viewer, rule: set[str], province: str | None, enterprise: str | None) -> bool:
    match viewer.role:
        case Role.NATIONAL | Role.OPERATOR:
            return True
        case Role.PROVINCE:
            return "province" in rule and province == viewer.scope
        case Role.ENTERPRISE:
            return "enterprise" in rule and enterprise == viewer.scope
        case Role.WORKER:
            return False


async def test_the_scope_does_not_outlive_the_transaction(engine: AsyncEngine, owner: asyncpg.Connection) -> None:
    async with viewing(engine, await viewer_with_key(owner, *VIEWERS[2])):
        pass
    async with engine.connect() as connection:  # the pool's only connection, again
        reported = text(
            "select current_user, current_setting('danbao.view', true), current_setting('transaction_read_only')"
        )
        assert tuple((await connection.execute(reported)).one()) == ("danbao_portal", "", "off")
